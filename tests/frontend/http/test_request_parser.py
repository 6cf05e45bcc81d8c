import h11
import pytest

from frontend.http.request_parser import MAX_HEAD_BYTES, MAX_HEADERS, RequestParser

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def body_of(data: bytes) -> int:
    """How many bytes of body the parser gives out for a request, all of which comes at once."""
    parser = RequestParser()
    parser.receive_data(data)
    num_bytes = 0
    while True:
        event = parser.next_event()
        if isinstance(event, h11.Data):
            num_bytes += len(event.data)
        if event is h11.NEED_DATA or isinstance(event, h11.EndOfMessage):
            return num_bytes


def chunks(size: int, number: int) -> bytes:
    return (b"%x\r\n" % size + b"a" * size + b"\r\n") * number


@pytest.mark.parametrize(("size", "number"), [(1, 1000), (64, 20_000), (100_000, 100)])
def test_chunks_are_read(size: int, number: int) -> None:
    assert body_of(CHUNKED + chunks(size, number)) == size * number


@pytest.mark.parametrize("size", [1, 2, 16, 50])
def test_a_flood_of_small_chunks_is_given_up(size: int) -> None:
    with pytest.raises(h11.RemoteProtocolError, match="small chunks") as error:
        body_of(CHUNKED + chunks(size, 20_000))
    assert error.value.error_status_hint == 400


def test_every_request_of_a_connection_may_have_small_chunks() -> None:
    parser = RequestParser()
    for _ in range(3):
        parser.receive_data(CHUNKED + chunks(1, 900) + b"0\r\n\r\n")
        while not isinstance(parser.next_event(), h11.EndOfMessage):
            pass
        parser.send(h11.Response(status_code=204, headers=[]))
        parser.send(h11.EndOfMessage())
        parser.start_next_cycle()


@pytest.mark.parametrize(
    "headers", [b"X: y\r\n" * MAX_HEADERS + b"\r\n", b"X: " + b"y" * (MAX_HEAD_BYTES + 1)], ids=["many", "long"]
)
def test_too_many_headers_are_given_up(headers: bytes) -> None:
    with pytest.raises(h11.RemoteProtocolError) as error:
        body_of(b"GET / HTTP/1.1\r\nHost: x\r\n" + headers)
    assert error.value.error_status_hint == 431


def test_as_many_as_allowed_are_read() -> None:
    assert body_of(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * (MAX_HEADERS - 1) + b"\r\n") == 0
