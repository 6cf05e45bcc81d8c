"""A double of `triton_python_backend_utils`, which exists only inside of Triton's Python backend.

It has the names that the real one has, and refuses what the real one refuses.
"""

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1


class TritonModelException(Exception):
    pass


class TritonError:
    INTERNAL, INVALID_ARG, CANCELLED = 1, 3, 7

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message = message
        self._code = code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class Tensor:
    def __init__(self, name: str, array: NDArray[Any]) -> None:
        assert isinstance(array, np.ndarray)
        self._name = name
        self._array = array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        return self._array


class InferenceResponse:
    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self._tensors = {tensor.name(): tensor for tensor in output_tensors}
        self._error = error

    def output_tensors(self) -> list[Tensor]:
        return list(self._tensors.values())

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError:
        assert self._error is not None
        return self._error


class Sender:
    """What the real module calls `InferenceResponseSender` and has no name for. A test reads what was sent.

    Args:
        before: called with the number and the flags of each response before it is sent; what it raises, `send` raises.
    """

    def __init__(self, before: Callable[[int, int], None]) -> None:
        self._before = before
        self.sent: list[tuple[InferenceResponse, int]] = []
        self.refused = 0
        """attempts to send after the final response"""
        self.finished = threading.Event()
        self.cancelled = False

    def send(self, response: InferenceResponse, flags: int = 0) -> None:
        if self.finished.is_set():
            self.refused += 1
            raise TritonModelException("Unable to send response. Response sender has been closed.")
        self._before(len(self.sent), flags)
        self.sent.append((response, flags))
        if flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL:
            self.finished.set()

    def is_cancelled(self) -> bool:
        return self.cancelled


class InferenceRequest:
    """As `generate` gets it."""

    def __init__(
        self, inputs: Sequence[Tensor], request_id: str = "", before: Callable[[int, int], None] | None = None
    ):
        self._inputs = list(inputs)
        self._request_id = request_id
        self.custom_parameters: dict[str, str] = {}
        """a test may add some"""
        self.sender = Sender(before or (lambda number, flags: None))

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def request_id(self) -> str:
        return self._request_id

    def parameters(self) -> str:
        return json.dumps(self.custom_parameters)

    def get_response_sender(self) -> Sender:
        return self.sender


class _Metric:
    """What the real module calls `Metric` and has no name for."""

    def __init__(self) -> None:
        self.value = 0.0
        self.observed: list[float] = []

    def increment(self, value: float) -> None:
        self.value += value

    def set(self, value: float) -> None:
        self.value = value

    def observe(self, value: float) -> None:
        self.observed.append(value)


class MetricFamily:
    COUNTER, GAUGE, HISTOGRAM = range(3)
    made: ClassVar[dict[str, _Metric]] = {}
    """the last metric of each name, for a test to read"""

    def __init__(self, name: str, description: str, kind: int) -> None:
        self._name = name

    def Metric(self, labels: dict[str, str], buckets: Sequence[float] | None = None) -> _Metric:
        metric = self.made[self._name] = _Metric()
        return metric


class Logger:
    @staticmethod
    def log_info(message: str) -> None: ...

    @staticmethod
    def log_warn(message: str) -> None: ...

    @staticmethod
    def log_error(message: str) -> None: ...
