"""What a web page and a local user can try on a server's sockets."""

import base64
import json
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import psutil
from tritonclient import grpc

FOREIGN_PAGE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
"""what a browser says in a request that a page of another origin may make without asking"""

_JSON_CONFIG = json.dumps(
    {
        "backend": "python",
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [1]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [1]}],
        "instance_group": [{"kind": "KIND_CPU", "count": 1}],
    }
)


def model_that_leaves(mark: Path) -> str:
    """A model's code that shows that it was run."""
    return (
        "from pathlib import Path\n"
        f"Path({str(mark)!r}).touch()\n"
        "class TritonPythonModel:\n    def execute(self, requests): return []\n"
    )


def load_request(code: str) -> str:
    """The body with which Triton's HTTP service loads a model whose files are in the request."""
    files = {"config": _JSON_CONFIG, "file:1/model.py": base64.b64encode(code.encode()).decode()}
    return json.dumps({"parameters": files})


def listening(processes: Iterable[psutil.Process]) -> tuple[set[tuple[str, int]], set[Path]]:
    """Addresses and ports, and paths of Unix sockets, on which these processes can be reached."""
    tcp: set[tuple[str, int]] = set()
    unix: set[Path] = set()
    for process in processes:
        for connection in process.net_connections("all"):
            if connection.family == socket.AF_UNIX:
                unix |= {Path(connection.laddr)} if isinstance(connection.laddr, str) and connection.laddr else set()
            elif connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM:
                tcp.add((connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port))
    return tcp, unix


def page_posts(port: int, path: str, body: str, host: str = "127.0.0.1") -> int | None:
    """The status that a foreign page's POST gets; None where HTTP/1.1 is not spoken."""
    try:
        return httpx.post(
            f"http://{host}:{port}{path}", content=body, headers=FOREIGN_PAGE, timeout=5, trust_env=False
        ).status_code
    except httpx.TransportError:
        return None


def grpc_controls(code: str) -> dict[str, Callable[[grpc.InferenceServerClient, dict[str, str]], object]]:
    """Each way in which Triton can be controlled over gRPC."""
    files = {"file:1/model.py": code.encode()}
    return {
        "index": lambda client, headers: client.get_model_repository_index(headers=headers),
        "load": lambda client, headers: client.load_model("increment", headers=headers),
        "load files": lambda client, headers: client.load_model("evil", headers, _JSON_CONFIG, files),
        "unload": lambda client, headers: client.unload_model("increment", headers=headers),
        "regions": lambda client, headers: client.get_system_shared_memory_status(headers=headers),
        "region": lambda client, headers: client.register_system_shared_memory("r", "/r", 64, headers=headers),
        "region gone": lambda client, headers: client.unregister_system_shared_memory(headers=headers),
        "CUDA regions": lambda client, headers: client.get_cuda_shared_memory_status(headers=headers),
        "CUDA region": lambda client, headers: client.register_cuda_shared_memory("r", b"", 0, 64, headers=headers),
        "CUDA region gone": lambda client, headers: client.unregister_cuda_shared_memory(headers=headers),
        "log": lambda client, headers: client.get_log_settings(headers=headers),
        "log to a file": lambda client, headers: client.update_log_settings({"log_file": "/tmp/x"}, headers=headers),
        "trace": lambda client, headers: client.get_trace_settings(headers=headers),
        "trace to a file": lambda client, headers: client.update_trace_settings(
            settings={"trace_file": "/tmp/x"}, headers=headers
        ),
    }


def raw_grpc(port: int, method: str, *headers: tuple[bytes, bytes]) -> bool:
    """Whether a request without arguments is answered; header names may be such as no gRPC client would send."""
    call = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", f"/inference.GRPCInferenceService/{method}".encode()),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    block = b"".join(_literal(name) + _literal(value)[1:] for name, value in [*call, *headers])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(kind=4, flags=0, stream=0, payload=b""))
        connection.sendall(_frame(kind=1, flags=4, stream=1, payload=block))
        connection.sendall(_frame(kind=0, flags=1, stream=1, payload=b"\0\0\0\0\0"))
        reader = connection.makefile("rb")
        while len(head := reader.read(9)) == 9:
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
            reader.read(int.from_bytes(head[:3]))
            if stream == 1 and kind == 0:
                return True  # a message
            if stream == 1 and (kind == 3 or (kind == 1 and flags & 1)):
                return False  # reset, or nothing but a status
    return False


def _literal(text: bytes) -> bytes:
    """HPACK: a name that is not in a table, preceded by the byte that says so, or, without that byte, a value."""
    assert len(text) < 127
    return bytes([0, len(text)]) + text


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
