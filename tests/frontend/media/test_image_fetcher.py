"""What is fetched of the URLs that clients name, from a real server, and what is refused with which sentence."""

import asyncio
import gzip
import logging
import os
import ssl
from typing import Any

import pytest

from frontend.errors import FrontendError, InvalidImage, TooManyUploads
from frontend.http.logging import configure_logging
from frontend.http.public_network import PublicNetwork
from frontend.media.image_fetcher import ImageFetcher
from tests.frontend.http.test_public_network import Names
from tests.frontend.media.image_files import file_of, photo
from tests.frontend.media.image_server import (
    ADDRESS,
    NAME,
    Answer,
    Certificates,
    ImageServer,
    serving,
    stands_for_public,
)
from tests.waiting import SECONDS, until

PNG = file_of(photo(40, 30))
MAX_BYTES = 100_000
FETCHED = "the image cannot be fetched: "


def network_of(*answers: list[str]) -> PublicNetwork:
    """Where every name is the server's, or these, one after the other."""
    return PublicNetwork(stands_for_public, Names(*answers) if answers else lambda host: [ADDRESS])


@pytest.fixture
def fetcher(certificates: Certificates) -> ImageFetcher:
    return fetcher_with(certificates.client())


def fetcher_with(tls: ssl.SSLContext, *schemes: str, **options: Any) -> ImageFetcher:
    options = {"network": network_of(), "seconds": SECONDS, **options}
    return ImageFetcher(schemes or ("https",), MAX_BYTES, tls, connect_seconds=SECONDS, **options)


async def fetch(fetcher: ImageFetcher, url: str) -> bytes:
    async with fetcher.fetched(url, "image") as file:
        return file


async def refusal(fetcher: ImageFetcher, url: str) -> str:
    """The sentence of the error that names the field."""
    with pytest.raises(InvalidImage) as refused:
        await fetch(fetcher, url)
    assert refused.value.field == "image"
    assert "SECRET" not in refused.value.message
    return refused.value.message


# What comes


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP"])
async def test_the_file_is_what_the_url_answers(
    fetcher: ImageFetcher, image_server: ImageServer, format_name: str
) -> None:
    file = file_of(photo(40, 30), format_name)
    assert await fetch(fetcher, image_server.file_at("/a", file, "Content-Type: text/plain")) == file


async def test_the_request_says_only_what_it_must(fetcher: ImageFetcher, image_server: ImageServer) -> None:
    image_server.file_at("/a%20b", PNG)
    await fetch(fetcher, image_server.url("/a b?signature=1%2F2#part"))
    request, *headers = image_server.heads[0].decode().strip().split("\r\n")
    assert request == "GET /a%20b?signature=1%2F2 HTTP/1.1"
    assert sorted(headers) == [
        "Accept-Encoding: identity",
        "Accept: image/png, image/jpeg, image/webp",
        "Connection: close",
        f"Host: {NAME}:{image_server.port}",
        "User-Agent: Tritonreel",
    ]


async def test_neither_cookies_nor_proxies_are_used(
    fetcher: ImageFetcher, image_server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", "/nonexistent")
    url = image_server.file_at("/a", PNG, "Set-Cookie: a=b; Domain=images.test")
    assert [await fetch(fetcher, url), await fetch(fetcher, url)] == [PNG, PNG]
    assert [b"cookie" in head.lower() for head in image_server.heads] == [False, False]


async def test_a_body_may_come_in_chunks_or_end_with_the_connection(
    fetcher: ImageFetcher, image_server: ImageServer
) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (PNG[:1], PNG[1:20], PNG[20:]))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    assert await fetch(fetcher, image_server.bytes_at("/a", chunked)) == PNG
    assert await fetch(fetcher, image_server.bytes_at("/b", b"HTTP/1.0 200 OK\r\n\r\n" + PNG)) == PNG


async def test_a_few_interim_answers_may_come_before(fetcher: ImageFetcher, image_server: ImageServer) -> None:
    answer = b"HTTP/1.1 103 Early\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\n\r\n" + PNG
    assert await fetch(fetcher, image_server.bytes_at("/a", answer)) == PNG


async def test_the_host_may_be_an_address(fetcher: ImageFetcher, image_server: ImageServer) -> None:
    image_server.file_at("/a", PNG)
    assert await fetch(fetcher, image_server.url("/a", ADDRESS)) == PNG


async def test_data_uris_need_no_network(certificates: Certificates) -> None:
    fetcher = ImageFetcher((), MAX_BYTES, certificates.client())
    assert await fetch(fetcher, "DATA:;base64,AAAA") == b"\0\0\0"
    assert await refusal(fetcher, "data:;base64,?") == "the data: URI is not valid base64"
    for url in ("https://images.test/a.png?SECRET", "http://images.test/a.png", "photo.png", ""):
        assert await refusal(fetcher, url) == "must be a data: URI in base64, this server does not fetch other URLs"


# URLs


@pytest.mark.parametrize(
    ("url", "message"),
    [
        *(
            (url, "must be a URL that begins with https://, or a data: URI in base64")
            for url in (
                *("http://images.test/a.png?SECRET", "file:///etc/passwd", "ftp://images.test/a.png", "a.png", ""),
                *("//images.test/a.png", " https://images.test/", "gopher://127.0.0.1:70/", "unix:/run/docker.sock"),
            )
        ),
        *(
            (url, "must not have a user name or password in its URL")
            for url in (
                *("https://SECRET@images.test/", "https://user:SECRET@images.test/", "https://images.test@other/"),
                "https://127.0.0.1\\@images.test/",
            )
        ),
        *(
            (url, "must have a valid host name in its URL, and a valid port if it has one")
            for url in (
                *("https://", "https:///a.png", "https:a.png", "https://:443/", "https://im ages.test/"),
                *("https://127.1/", "https://2130706433/", "https://0177.1/", "https://a..b/", "https://*/"),
                *("https://images.test:0/", "https://images.test:99999/", "https://[fe80::1%25eth0]/"),
            )
        ),
        *(
            (url, "is not a valid URL")
            for url in (
                *("https://0177.0.0.1/", "https://images.test:a/", "https://[::1", "https://[images.test]/"),
                *("https://images.test/\r\nHost: a", "https://images.test/\0", "https://images.test/" + "a" * 70_000),
                *("https://\u2488/", "https://\ud800/"),
            )
        ),
    ],
    ids=lambda value: repr(value[:40]),
)
async def test_only_plain_https_urls_are_fetched(fetcher: ImageFetcher, url: str, message: str) -> None:
    assert await refusal(fetcher, url) == message


async def test_http_is_for_servers_that_are_set_to_it(certificates: Certificates) -> None:
    async with serving() as image_server:
        url = image_server.file_at("/a", PNG)
        assert await fetch(fetcher_with(certificates.client(), "https", "http"), url) == PNG
        assert "begins with https://" in await refusal(fetcher_with(certificates.client()), url)
    assert image_server.ended == 1


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "127.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "0x7f000001",
        ),
        *("169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "100.64.0.1", "224.0.0.1", "0.0.0.0", "[::]", "[ff02::1]"),
        *("0x7f000001", "no-such-name.invalid"),
    ],
)
async def test_what_is_not_public_is_not_told_from_what_is_not_found(certificates: Certificates, host: str) -> None:
    """By the rule and the resolver that servers have."""
    fetcher = fetcher_with(certificates.client(), network=PublicNetwork())
    assert (await refusal(fetcher, f"https://{host}/a.png?SECRET")).endswith(" has no public address")


# Redirects


async def test_redirects_are_followed(fetcher: ImageFetcher, image_server: ImageServer) -> None:
    image_server.file_at("/end", PNG)
    for hop, status in enumerate((301, 302, 303, 307, 308)):
        image_server.redirect_at(
            f"/{hop}", f"/{hop + 1}" if hop < 4 else image_server.url("/end", "other.images.test"), status
        )
    with pytest.raises(InvalidImage, match=r"the URL that images\.test redirects to has a certificate"):
        await fetch(fetcher, image_server.url("/0"))
    image_server.redirect_at("/4", "//" + image_server.url("/end").partition("//")[2])
    assert await fetch(fetcher, image_server.url("/0")) == PNG


async def test_more_than_five_are_not(fetcher: ImageFetcher, image_server: ImageServer) -> None:
    url = image_server.redirect_at("/a", "/a?SECRET")
    assert await refusal(fetcher, url) == f"{FETCHED}{NAME} redirects more than 5 times"
    assert len(image_server.heads) == 6


async def test_each_is_resolved_and_checked_again(certificates: Certificates, image_server: ImageServer) -> None:
    """The name is the server's at first, and that of a private one for the redirect."""
    async with serving(certificates.server(), "127.0.0.1", image_server.port) as private:
        private.file_at("/b", PNG)
        network = network_of([ADDRESS], ["127.0.0.1"])
        fetcher = fetcher_with(certificates.client(), network=network)
        url = image_server.redirect_at("/a", "/b?SECRET")
        assert await refusal(fetcher, url) == f"{FETCHED}the URL that {NAME} redirects to has no public address"
    assert (len(image_server.heads), private.ended) == (1, 0)


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://images.test/a.png?SECRET",
            "file:///etc/passwd",
            "data:image/png;base64,AAAA",
            "ftp:",
            "https://a..b/",
        ),
        *("https://user:SECRET@images.test/", "https://[::1", "https://images.test:99999/", "ftp://images.test/"),
    ],
)
@pytest.mark.parametrize("schemes", [("https",), ("https", "http")])
async def test_one_that_leads_off_https_is_not_followed(
    certificates: Certificates, image_server: ImageServer, location: str, schemes: tuple[str, ...]
) -> None:
    url = image_server.redirect_at("/a", location)
    fetcher = fetcher_with(certificates.client(), *schemes)
    assert await refusal(fetcher, url) == f"{FETCHED}the URL that {NAME} redirects to is not one that is fetched"
    assert len(image_server.heads) == 1


async def test_one_may_lead_to_https(certificates: Certificates, image_server: ImageServer) -> None:
    image_server.file_at("/b", PNG)
    async with serving() as plain:
        url = plain.redirect_at("/a", image_server.url("/b"))
        assert await fetch(fetcher_with(certificates.client(), "https", "http"), url) == PNG


# Answers that are refused

OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(bytes(10_000_000))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 404 SECRET\r\n\r\nSECRET", f"{FETCHED}{NAME} answered with status 404"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", f"{FETCHED}{NAME} answered with status 403"),
        (b"HTTP/1.1 500 Oh\r\n\r\n", f"{FETCHED}{NAME} answered with status 500"),
        (b"HTTP/1.1 206 Partial Content\r\n\r\n" + PNG, f"{FETCHED}{NAME} answered with status 206"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", f"{FETCHED}{NAME} answered with status 204"),
        (b"HTTP/1.1 302 Found\r\n\r\n", f"{FETCHED}{NAME} answered with status 302"),
        (
            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n",
            f"{FETCHED}{NAME} does not speak HTTP",
        ),
        (
            OK + b"Content-Type: Text/HTML; charset=utf-8\r\n\r\n<html>SECRET",
            f"{FETCHED}{NAME} answered with a web page: give the URL of the image file itself",
        ),
        (OK + b"Content-Type: image/png\r\n\r\n<html>SECRET</html>", "must be a PNG, JPEG or WebP image"),
        (OK + b"Content-Type: image/svg+xml\r\n\r\n<svg/>", "must be a PNG, JPEG or WebP image"),
        (OK + b"Content-Length: 0\r\n\r\n", "must be a PNG, JPEG or WebP image"),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB, f"{FETCHED}{NAME} compresses it, although it was asked not to"),
        (OK + b"Content-Encoding: identity, br\r\n\r\n", f"{FETCHED}{NAME} compresses it"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", f"{FETCHED}{NAME} does not speak HTTP as it should"),
        (OK + b"Content-Length: 100001\r\n\r\n", f"{FETCHED}{NAME} sends more than 100,000 bytes, which is the limit"),
        (OK + b"Content-Length: " + b"9" * 19 + b"\r\n\r\n", f"{FETCHED}{NAME} sends more than 100,000 bytes"),
        (OK + b"Content-Length: -1\r\n\r\n", f"{FETCHED}{NAME} does not speak HTTP as it should"),
        (OK + b"\r\n" + PNG + bytes(MAX_BYTES), f"{FETCHED}{NAME} sends more than 100,000 bytes"),
        (OK + b"Content-Length: 5000\r\n\r\n" + PNG[:50], f"{FETCHED}{NAME} does not speak HTTP as it should"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", f"{FETCHED}{NAME} does not speak HTTP as it should"),
        (b"", f"{FETCHED}{NAME} does not speak HTTP as it should"),
        (OK + b"a: " + b"b" * 1_000_000, f"{FETCHED}{NAME} does not speak HTTP as it should"),
        (b"HTTP/1.1 103 Early\r\n\r\n" * 10_000 + OK + b"\r\n" + PNG, f"{FETCHED}{NAME} does not speak HTTP as it"),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n8\r\n\x89PNG\r\n\x1a\n\r\n" + b"1\r\na\r\n" * 50_000,
            f"{FETCHED}{NAME} sends it in too many small pieces",
        ),
    ],
    ids=range(24),
)
async def test_another_answer_is_refused(
    fetcher: ImageFetcher, image_server: ImageServer, answer: bytes, message: str
) -> None:
    assert (await refusal(fetcher, image_server.bytes_at("/a", answer) + "?SECRET")).startswith(message)


def beginning(head: bytes, then: bytes = b"") -> Answer:
    """Sends this, and then the other for as long as the client is there; nothing more if that is empty."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while then:
            writer.write(then)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()

    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (beginning(OK + b"Content-Length: 100001\r\n\r\n"), "sends more than 100,000 bytes"),
        (beginning(OK + b"\r\n" + PNG, bytes(10_000)), "sends more than 100,000 bytes"),
        (beginning(OK + b"\r\n" + bytes(16)), "must be a PNG"),
        (beginning(OK + b"Content-Encoding: gzip\r\n\r\n"), "compresses it"),
        (beginning(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n"), "answered with status 404"),
    ],
)
async def test_it_does_not_wait_for_what_cannot_change_that(
    fetcher: ImageFetcher, image_server: ImageServer, answer: Answer, reason: str
) -> None:
    """None of these answers ever ends."""
    assert reason in await refusal(fetcher, image_server.answer_at("/a", answer))
    await until(lambda: image_server.ended == 1)


@pytest.mark.parametrize(
    "answer",
    [beginning(b""), beginning(OK + b"\r\n"), beginning(OK, b"a: b\r\n"), beginning(OK + b"\r\n" + PNG, b"a")],
    ids=["silent", "no body", "headers drop by drop", "body drop by drop"],
)
async def test_one_time_is_for_all_of_it(certificates: Certificates, image_server: ImageServer, answer: Answer) -> None:
    fetcher = fetcher_with(certificates.client(), seconds=0.5)
    image_server.answer_at("/b", answer)
    reason = f"the URL that {NAME} redirects to did not send it within 0.5 seconds"
    message = await refusal(fetcher, image_server.redirect_at("/a", "/b?SECRET"))
    assert message in (FETCHED + reason, f"{FETCHED}{NAME} did not send it within 0.5 seconds")
    await until(lambda: image_server.ended == len(image_server.heads))


# TLS


@pytest.mark.parametrize(
    ("name", "days", "reason"), [("other.test", 1, "Hostname mismatch"), (NAME, 0, "certificate has expired")]
)
async def test_the_certificate_must_be_the_hosts(
    certificates: Certificates, fetcher: ImageFetcher, name: str, days: int, reason: str
) -> None:
    async with serving(certificates.server(name, days)) as image_server:
        message = await refusal(fetcher, image_server.file_at("/a", PNG))
    assert message.startswith(f"{FETCHED}{NAME} has a certificate that is not accepted: {reason}")
    assert image_server.heads == []


async def test_nobody_knows_its_authority(image_server: ImageServer) -> None:
    message = await refusal(fetcher_with(ssl.create_default_context()), image_server.file_at("/a", PNG))
    assert message.startswith(f"{FETCHED}{NAME} has a certificate that is not accepted: ")
    assert image_server.heads == []


async def test_a_server_without_tls_is_refused(fetcher: ImageFetcher) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, ADDRESS, 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        message = await refusal(fetcher, f"https://{NAME}:{port}/a")
    assert message == f"{FETCHED}{NAME} does not speak TLS as it should"


async def test_what_is_no_tls_any_more_is_refused(fetcher: ImageFetcher, image_server: ImageServer) -> None:
    async def broken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\n" + PNG)
        await writer.drain()
        below = writer.transport.get_extra_info("socket").fileno()
        os.write(below, b"\x17\x03\x03\x00\x20" + bytes(32))

    assert (
        await refusal(fetcher, image_server.answer_at("/a", broken))
        == f"{FETCHED}{NAME} does not speak TLS as it should"
    )


async def test_nobody_listens(fetcher: ImageFetcher) -> None:
    async with serving() as image_server:
        pass
    assert await refusal(fetcher, f"https://{NAME}:{image_server.port}/a") == f"{FETCHED}{NAME} cannot be reached"


# Many at a time


async def test_a_few_are_fetched_or_held_at_once(certificates: Certificates, image_server: ImageServer) -> None:
    url = image_server.file_at("/a", PNG)
    fetcher, leave = fetcher_with(certificates.client()), asyncio.Event()
    held: list[bytes] = []

    async def hold() -> None:
        async with fetcher.fetched(url, "image") as file:
            held.append(file)
            await leave.wait()

    holding = [asyncio.create_task(hold()) for _ in range(20)]
    await until(lambda: len(held) == 8)
    assert len(image_server.heads) == 8
    leave.set()
    await asyncio.gather(*holding)
    assert held == [PNG] * 20


async def test_who_waits_too_long_is_to_come_again(certificates: Certificates, image_server: ImageServer) -> None:
    url = image_server.file_at("/a", PNG)
    fetcher = fetcher_with(certificates.client())
    contexts = [fetcher.fetched(url, "image") for _ in range(8)]
    for context in contexts:
        await context.__aenter__()
    fetcher._seconds = 0.05
    with pytest.raises(TooManyUploads, match="fetches as many images as it can"):
        await fetch(fetcher, url)
    fetcher._seconds = SECONDS
    await contexts[0].__aexit__(None, None, None)
    assert await fetch(fetcher, url) == PNG
    for context in contexts[1:]:
        await context.__aexit__(None, None, None)


async def test_a_refused_one_leaves_its_place(fetcher: ImageFetcher, image_server: ImageServer) -> None:
    url = image_server.bytes_at("/a", b"HTTP/1.1 404 Not Found\r\n\r\n")
    for _ in range(9):
        await refusal(fetcher, url)
    assert await fetch(fetcher, image_server.file_at("/b", PNG)) == PNG


async def test_cancelling_ends_the_connection_and_leaves_the_place(
    fetcher: ImageFetcher, image_server: ImageServer
) -> None:
    url = image_server.answer_at("/a", beginning(OK + b"\r\n" + PNG))
    fetching = [asyncio.create_task(fetch(fetcher, url)) for _ in range(8)]
    await until(lambda: len(image_server.heads) == 8)
    for task in fetching:
        task.cancel()
    await until(lambda: image_server.ended == 8)
    assert await fetch(fetcher, image_server.file_at("/b", PNG)) == PNG


# Logs


async def test_no_signature_of_a_url_reaches_the_log(
    fetcher: ImageFetcher, image_server: ImageServer, caplog: pytest.LogCaptureFixture
) -> None:
    configure_logging("debug", "json")
    logging.getLogger().addHandler(caplog.handler)
    image_server.file_at("/b", PNG)
    await fetch(fetcher, image_server.redirect_at("/a", "/b?signature=SECRET") + "?signature=SECRET")
    with pytest.raises(FrontendError):
        await fetch(fetcher, image_server.redirect_at("/c", "/c?signature=SECRET"))
    logging.getLogger("control").debug("it is heard")
    assert "it is heard" in caplog.text
    assert "SECRET" not in caplog.text
