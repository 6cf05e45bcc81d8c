import pytest

from frontend.http.authority import Authority, Origin, parse_hosts, parse_origins, parse_servers


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("LocalHost.:8000", "localhost", 8000),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("[::1]:8000", "::1", 8000),
        ("[0:0:0:0:0:0:0:1]", "::1", None),
        ("[::ffff:192.168.1.5]", "192.168.1.5", None),
        ("video.example.com", "video.example.com", None),
        ("my_service-2:80", "my_service-2", 80),
        ("1.example", "1.example", None),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de", None),
    ],
)
def test_a_host_is_read_as_browsers_write_it(text: str, host: str, port: int | None) -> None:
    assert Authority.parse(text) == Authority(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", ":8000", "localhost:", "localhost:0", "localhost:65536", "localhost:80a", "localhost:-1"),
        *("localhost:\u0668", "localhost:80:80", "localhost ", "local host", "localhost\n", "localhost\x00"),
        *("localhost..", ".localhost", "a..b", "-a", "a-", "a" * 64, ".".join(["a" * 63] * 5), "localhost/"),
        *("127.0.0.1@evil.example", "evil.example@127.0.0.1", "user:password@localhost", "localhost#", "localhost?"),
        *("localhost,evil.example", "localhost, localhost", "http://localhost", "//localhost", "localhost\\evil"),
        *("127.1", "127.0.0", "2130706433", "0177.0.0.1", "127.0.0.01", "127.0.0.256", "127.0.0.1.", "0x7f.0.0.1"),
        *("::1", "[::1", "::1]", "[]", "[127.0.0.1]", "[::1%lo]", "[::1%25lo]", "[::1].", "[::1]a", "[g::1]", "%6c"),
    ],
)  # fmt: skip
def test_anything_else_is_no_host(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Authority.parse(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.com:443", "https://app.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://localhost:80", "https://localhost:80"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("tauri://localhost", "tauri://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(text: str, written: str) -> None:
    assert str(Origin.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "*", "app.example.com", "localhost:3000", "//app.example.com", "://a", "http://", "http:///"),
        *("http://a/", "http://a/path", "http://a?b", "http://a#b", "http://user@a", "http://a b", "1http://a"),
        *("http://a, http://b", "http://a http://b", "http://*.example.com", "file://", "blob:http://a", "data:,x"),
    ],
)  # fmt: skip
def test_anything_else_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Origin.parse(text)


def test_hosts_are_separated_by_commas_or_spaces_and_said_once() -> None:
    assert parse_hosts("Video.Example.com,  10.0.0.7\n::1, [::1] 10.0.0.7") == ("video.example.com", "10.0.0.7", "::1")
    assert parse_hosts(["a.example", "b.example,c.example"]) == ("a.example", "b.example", "c.example")
    assert parse_hosts("") == parse_hosts([]) == parse_origins(" , ") == ()


@pytest.mark.parametrize(
    "text", ["*", "video.example.com:8000", "https://video.example.com", "*.example.com", "[::1]:80"]
)
def test_a_wrong_host_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a host name or an IP address, without a port") as error:
        parse_hosts(["fine.example", text])
    assert repr(text) in str(error.value)


def test_a_wrong_origin_is_named() -> None:
    with pytest.raises(ValueError, match=r"'\*' is not an origin; write it like https://app.example.com"):
        parse_origins("https://app.example.com, *")


def test_servers_have_ports() -> None:
    assert parse_servers("Triton_1:8001, [::1]:8001 10.0.0.7:1 triton_1:8001") == (
        "triton_1:8001",
        "[::1]:8001",
        "10.0.0.7:1",
    )
    assert parse_servers([]) == ()
    for wrong in ("triton", "triton:0", "triton:65536", "http://triton:8001", "a b:1", ":8001"):
        with pytest.raises(ValueError, match="is not the address of a server; write it like"):
            parse_servers(["fine:1", wrong])
