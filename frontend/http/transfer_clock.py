"""How long the other side of a connection may take to send, or to read, what is being transferred."""


class TransferClock:
    """Seconds that a transfer has left; waiting spends them, bytes earn them back.

    A transfer may stall for `stall_seconds` at any moment, and must otherwise keep up `min_bytes_per_second`. Bytes
    earn no more than that many seconds: who has sent much may not stay silent the longer for it.
    """

    def __init__(self, *, stall_seconds: float, min_bytes_per_second: float) -> None:
        self._stall_seconds = stall_seconds
        self._min_bytes_per_second = min_bytes_per_second
        self.seconds_left = stall_seconds

    def waited(self, seconds: float, num_bytes: int) -> None:
        """`num_bytes` came through after `seconds` of waiting for them."""
        earned = num_bytes / self._min_bytes_per_second
        self.seconds_left = min(self._stall_seconds, self.seconds_left - seconds + earned)
