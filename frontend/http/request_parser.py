"""Reads HTTP/1.1 requests, and gives up those that cost much more to read than they say."""

import h11

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
_FREE_CHUNKS = 1000
_MIN_AVERAGE_CHUNK_BYTES = 64


class RequestParser(h11.Connection):
    """h11 for a server, with bounds on the number of headers and on that of small chunks.

    Reading a chunk takes some 20 microseconds, whatever its size: 32 MB in chunks of one byte would keep the event
    loop busy for ten minutes.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self._num_chunks = 0
        self._num_bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """See h11. Raises h11.RemoteProtocolError, with the status to answer with as its `error_status_hint`."""
        event = super().next_event()
        match event:
            case h11.Request():
                self._num_chunks = self._num_bytes = 0
                if len(event.headers) > MAX_HEADERS:
                    raise h11.RemoteProtocolError("too many headers", error_status_hint=431)
            case h11.Data():
                self._num_chunks += event.chunk_start
                self._num_bytes += len(event.data)
                if self._num_chunks > _FREE_CHUNKS + self._num_bytes / _MIN_AVERAGE_CHUNK_BYTES:
                    raise h11.RemoteProtocolError("too many small chunks")
        return event
