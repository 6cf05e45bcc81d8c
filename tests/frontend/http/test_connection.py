"""What slow, silent, odd and honest clients meet, over real sockets."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse

from frontend.app import create_app
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.http.raw_client import GENEROUS, GET, RawClient, post
from tests.frontend.http.test_disconnect import wait_for
from tests.frontend.test_video_request import URL

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
STALL_SECONDS = 1.5
PROMPT = b'{"prompt": "x"}'


@pytest.fixture(scope="module")
def generator() -> FakeGenerator:
    return FakeGenerator()


@pytest.fixture(scope="module")
def app(generator: FakeGenerator) -> FastAPI:
    """With short deadlines, and two routes with large answers."""
    settings = Settings(
        triton_metrics_url=NOWHERE,
        max_body_bytes=MIB,
        request_head_timeout_seconds=1,
        keep_alive_timeout_seconds=1,
        transfer_stall_seconds=STALL_SECONDS,
        transfer_min_bytes_per_second=1000,
    )
    app = create_app(settings, generator)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * MIB

    async def pause() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(2 * STALL_SECONDS)
        yield b"last"

    app.add_api_route("/parts", lambda: StreamingResponse(parts()))
    app.add_api_route("/whole", lambda: Response(b"x" * 20 * MIB))
    app.add_api_route("/pause", lambda: StreamingResponse(pause()))
    return app


@pytest.fixture(scope="module")
def url(serve: Serve, app: FastAPI) -> Iterator[str]:
    with serve(app) as url:
        yield url


@pytest.fixture(autouse=True)
def fresh(generator: FakeGenerator) -> None:
    generator.jobs.clear()
    generator.cancelled.clear()


def drip(client: RawClient, data: bytes, until: Callable[[], bool]) -> None:
    """Send `data` a byte at a time, ten a second, as long as it is listened to."""
    for byte in data:
        client.try_to_send(bytes([byte]))
        time.sleep(0.1)
        if until():
            return


class TestHead:
    def test_a_silent_connection_is_closed(self, url: str) -> None:
        with RawClient(url) as client:
            assert client.is_closed_within()

    def test_a_silent_connection_is_not_closed_at_once(self, url: str) -> None:
        with RawClient(url) as client:
            assert not client.is_closed_within(0.5)

    @pytest.mark.parametrize("begin", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: "], ids=repr)
    def test_dripping_does_not_help(self, url: str, begin: bytes) -> None:
        with RawClient(url) as client:
            client.send(begin)
            started = time.monotonic()
            answered = threading.Event()
            dripping = threading.Thread(target=drip, args=(client, b"a" * 1000, answered.is_set))
            dripping.start()
            answer = client.answer()
            answered.set()
            dripping.join()
            assert (answer.status, answer.error["code"]) == (408, "request_timeout")
            assert answer.headers["Connection"] == "close"
            assert time.monotonic() - started < GENEROUS
            assert client.is_closed_within()

    def test_the_second_request_of_a_connection_has_the_same_time(self, url: str) -> None:
        with RawClient(url) as client:
            assert client.send(GET).answer().status == 200
            assert client.send(GET[:-2]).answer().status == 408

    def test_half_a_request_behind_a_whole_one_has_the_same_time(self, url: str) -> None:
        with RawClient(url) as client:
            client.send(GET + GET[:-2])
            assert [client.answer().status for _ in range(2)] == [200, 408]

    def test_an_idle_connection_is_kept_for_a_while(self, url: str) -> None:
        with RawClient(url) as client:
            for _ in range(3):
                assert client.send(GET).answer().status == 200
                time.sleep(0.3)
            assert client.is_closed_within()

    @pytest.mark.parametrize(
        ("request_bytes", "status", "code"),
        [
            (b"nonsense\r\n\r\n", 400, "malformed_request"),
            (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed_request"),  # no Host
            (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n", 431, "headers_too_large"),
            (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
        ],
        ids=["nonsense", "no host", "long", "many"],
    )
    def test_a_bad_head_is_answered_and_ends_the_connection(
        self, url: str, request_bytes: bytes, status: int, code: str
    ) -> None:
        with RawClient(url) as client:
            answer = client.send(request_bytes).answer()
            assert (answer.status, answer.error["code"]) == (status, code)
            assert answer.headers["Connection"] == "close"
            assert client.is_closed_within()

    def test_an_upgrade_is_ignored(self, url: str) -> None:
        with RawClient(url) as client:
            upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            assert client.send(GET[:-2] + upgrade).answer().status == 200


class TestBody:
    @pytest.mark.parametrize("path", [URL, "/v1/videos"])
    @pytest.mark.parametrize("size", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
    def test_a_body_that_stops_is_answered(self, url: str, generator: FakeGenerator, path: str, size: str) -> None:
        with RawClient(url) as client:
            client.send(post(path, size) + b'9\r\n{"prompt"\r\n')
            answer = client.answer()
            assert (answer.status, answer.error["code"]) == (408, "request_timeout")
            assert answer.headers["Connection"] == "close"
            assert client.is_closed_within()
        assert generator.jobs == {}

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_dripping_body_is_answered(self, url: str, chunked: bool) -> None:
        with RawClient(url) as client:
            client.send(post(URL, "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000"))
            started = time.monotonic()
            answered = threading.Event()

            def send() -> None:
                while not answered.is_set():
                    client.try_to_send(b"1\r\n \r\n" if chunked else b" ")
                    time.sleep(0.1)

            dripping = threading.Thread(target=send)
            dripping.start()
            answer = client.answer()
            answered.set()
            dripping.join()
            assert answer.status == 408
            assert time.monotonic() - started > 1

    def test_a_form_that_drips_is_answered(self, url: str) -> None:
        with RawClient(url) as client:
            client.send(post("/v1/videos", "Content-Length: 9999", content_type="multipart/form-data; boundary=b"))
            client.send(b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n')
            assert client.answer().status == 408

    def test_it_is_logged_and_counted_as_what_it_is(self, url: str) -> None:
        with RawClient(url) as client:
            assert client.send(post(URL, "Content-Length: 99")).answer().headers["X-Request-Id"]
        wait_for(lambda: 'status="408"' in httpx.get(url + "/metrics").text, "counted")

    def test_slow_but_fast_enough_is_served(self, url: str) -> None:
        body = PROMPT + b" " * 15_000
        with RawClient(url) as client:
            client.send(post(URL, f"Content-Length: {len(body)}"))
            for first in range(
                0, len(body), 1000
            ):  # at twice the rate that is asked for, for longer than a stall may be
                client.send(body[first : first + 1000])
                time.sleep(0.25)
            assert client.answer().status == 200

    def test_no_clock_runs_while_a_job_does(self, url: str, generator: FakeGenerator) -> None:
        generator.step_gate.clear()
        with RawClient(url) as client:
            client.send(post(URL, f"Content-Length: {len(PROMPT)}") + PROMPT)
            assert not client.is_closed_within(2 * STALL_SECONDS)
            generator.step_gate.set()
            client.socket.settimeout(GENEROUS)
            assert client.answer().status == 200
            assert client.send(GET).answer().status == 200
        assert generator.cancelled == []

    def test_a_body_that_nobody_reads_ends_the_connection(self, url: str) -> None:
        with RawClient(url) as client:
            answer = client.send(post("/nothing", "Content-Length: 1000") + b"x").answer()
            assert (answer.status, answer.headers["Connection"]) == (404, "close")
            assert client.is_closed_within()

    @pytest.mark.parametrize("size", [b"nonsense", b"-1", b"fffffffffffffffffffffff"])
    def test_a_broken_chunk_ends_the_request(self, url: str, generator: FakeGenerator, size: bytes) -> None:
        with RawClient(url) as client:
            client.send(post(URL, "Transfer-Encoding: chunked") + b"1\r\n{\r\n")
            answer = client.send(size + b"\r\n").answer()
            assert (answer.status, answer.error["code"]) == (400, "malformed_request")
            assert client.is_closed_within()
        assert generator.jobs == {}

    def test_small_chunks_without_end_are_given_up(self, url: str) -> None:
        with RawClient(url) as client:
            client.send(post(URL, "Transfer-Encoding: chunked"))
            client.try_to_send(b"1\r\n \r\n" * 20_000)
            assert client.answer().status == 400


class TestTooLarge:
    def send_all(self, url: str, head: bytes, piece: bytes, pieces: int) -> tuple[int, str, str]:
        """Send everything before reading anything, as simple clients do."""
        with RawClient(url) as client:
            client.send(head)
            for _ in range(pieces):
                client.try_to_send(piece)
            answer = client.answer()
            return answer.status, answer.error["code"], answer.headers["Connection"]

    @pytest.mark.parametrize("path", [URL, "/v1/videos", "/nothing"])
    def test_a_declared_length_is_refused_at_once(self, url: str, path: str) -> None:
        with RawClient(url) as client:
            answer = client.send(post(path, f"Content-Length: {100 * MIB}")).answer()
            assert (answer.status, answer.headers["Connection"]) == (413, "close")
            assert client.is_closed_within()

    def test_who_sends_it_all_the_same_still_sees_the_answer(self, url: str) -> None:
        head = post(URL, f"Content-Length: {100 * MIB}")
        assert self.send_all(url, head, b" " * MIB, 100) == (413, "payload_too_large", "close")

    def test_chunks_are_counted(self, url: str) -> None:
        head = post(URL, "Transfer-Encoding: chunked")
        assert self.send_all(url, head, b"%x\r\n" % MIB + b" " * MIB + b"\r\n", 50) == (
            413,
            "payload_too_large",
            "close",
        )

    @pytest.mark.parametrize("chunked", [False, True])
    def test_an_http_library_sees_it(self, url: str, chunked: bool) -> None:
        def pieces() -> Iterator[bytes]:
            for _ in range(100):
                yield b" " * MIB

        content = pieces() if chunked else b" " * 100 * MIB
        response = httpx.post(
            url + URL, content=content, headers={"Content-Type": "application/json"}, timeout=GENEROUS
        )
        assert response.status_code == 413

    def test_who_never_stops_is_cut_off(self, url: str) -> None:
        with RawClient(url) as client:
            client.send(post(URL, f"Content-Length: {10**12}"))
            sent = 0
            with suppress(ConnectionResetError, BrokenPipeError):
                while sent < 1000:
                    client.send(b" " * MIB)
                    sent += 1
            assert sent < 1000

    def test_the_body_is_not_kept(self, url: str) -> None:
        """A client that is refused before it has sent costs nothing: the next one is served on a new connection."""
        for _ in range(20):
            with RawClient(url) as client:
                assert client.send(post(URL, f"Content-Length: {100 * MIB}")).answer().status == 413
        assert httpx.post(url + URL, json={"prompt": "x"}).status_code == 200


class TestHonestClients:
    def test_expect_100_continue(self, url: str) -> None:
        with RawClient(url) as client:
            client.send(post(URL, f"Content-Length: {len(PROMPT)}", "Expect: 100-continue"))
            assert client.socket.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert client.send(PROMPT).answer().status == 200
            assert client.send(GET).answer().status == 200

    def test_expect_100_continue_of_too_much_is_refused_instead(self, url: str) -> None:
        with RawClient(url) as client:
            client.send(post(URL, f"Content-Length: {100 * MIB}", "Expect: 100-continue"))
            assert client.answer().status == 413
            assert client.is_closed_within()

    def test_pipelined_requests_are_answered_in_their_order(self, url: str) -> None:
        posting = post(URL, f"Content-Length: {len(PROMPT)}") + PROMPT
        missing = GET.replace(b"/health/live", b"/nothing")
        with RawClient(url) as client:
            client.send((GET + posting + missing) * 10)
            assert [client.answer().status for _ in range(30)] == [200, 200, 404] * 10

    def test_chunked_uploads(self, url: str) -> None:
        def pieces() -> Iterator[bytes]:
            yield from (PROMPT[:5], PROMPT[5:], b" " * 100_000)

        headers = {"Content-Type": "application/json"}
        with httpx.Client() as client:
            for _ in range(3):
                assert client.post(url + URL, content=pieces(), headers=headers).status_code == 200

    def test_a_connection_is_used_again(self, url: str) -> None:
        with RawClient(url) as client:
            for _ in range(20):
                assert client.send(post(URL, f"Content-Length: {len(PROMPT)}") + PROMPT).answer().status == 200
                assert client.send(GET).answer().status == 200

    def test_a_client_that_asks_for_the_end_gets_it(self, url: str) -> None:
        with RawClient(url) as client:
            assert client.send(GET[:-2] + b"Connection: close\r\n\r\n").answer().headers["Connection"] == "close"
            assert client.is_closed_within()


class TestReaders:
    @pytest.mark.parametrize("path", ["/parts", "/whole"])
    def test_an_answer_that_is_not_read_is_dropped(self, url: str, path: str) -> None:
        with RawClient(url, receive_buffer_bytes=4096) as client:
            client.send(GET.replace(b"/health/live", path.encode()))
            deadline = time.monotonic() + GENEROUS
            while not client.was_reset:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert client.read() < 20 * MIB

    @pytest.mark.parametrize("path", ["/parts", "/whole"])
    def test_an_answer_that_is_read_slowly_is_sent(self, url: str, path: str) -> None:
        with RawClient(url, receive_buffer_bytes=65536) as client:
            client.send(GET.replace(b"/health/live", path.encode()).replace(b"1.1", b"1.0"))
            num_bytes = 0
            for _ in range(20):
                num_bytes += len(client.socket.recv(20_000))
                time.sleep(0.15)
            assert num_bytes + client.read() > 20 * MIB

    def test_an_answer_may_pause(self, url: str) -> None:
        assert httpx.get(url + "/pause", timeout=GENEROUS).text == "firstlast"


def test_all_slow_connections_are_gone_in_time(url: str) -> None:
    begin = [b"", b"GET / HT", post(URL, "Content-Length: 999"), post(URL, "Transfer-Encoding: chunked") + b"1\r\n"]
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(url)) for _ in range(100)]
        for i, client in enumerate(clients):
            client.send(begin[i % 4])
        assert httpx.get(url + "/health/live").status_code == 200
        for client in clients:
            client.read()
