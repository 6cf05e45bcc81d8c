"""Raw HTTP that no library sends: broken framing, odd headers, odd bodies. Made by code, each with a name."""

from collections.abc import Iterator

_JSON = b'{"prompt": "a red circle", "num_inference_steps": 1}'
_POST = "/v1/images/generations"
_FORM = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na red circle\r\n--b--\r\n'


def corpus(host: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each request; `host` is what the Host header has to say."""
    yield from _request_lines(host)
    yield from _headers(host)
    yield from _framing(host)
    yield from _json_bodies(host)
    yield from _forms(host)


def _request(host: str, line: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [line, f"Host: {host}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _post(host: str, body: bytes, kind: str = "application/json", path: str = _POST, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _request(
        host, f"POST {path} HTTP/1.1", {"Content-Type": kind, "Content-Length": str(len(body)), **named}, body
    )


def _request_lines(host: str) -> Iterator[tuple[str, bytes]]:
    paths = [
        *("", "*", "/", "//", "/..", "/../../etc/passwd", "/v1/videos/../../health", "/%2e%2e/%2e%2e", "/%00", "/%"),
        *("/%zz", "/v1/videos/%0d%0aX-Injected:1", "/v1/videos/" + "a" * 8000, "/health?" + "q=1&" * 2000),
        *("/v1/videos/video_/content", "/v1/models/" + "%F0%9F%A6%86" * 50, "/v1/models/%ff%fe", "/v1/videos/\x7f"),
        *("http://evil.example/health", "/#x", "/;x", "/v1/videos/{video_id}/content?variant=%00", "/docs/"),
        *("/v1/videos/1/content?variant=" + "x" * 5000, "/openapi.json/"),
    ]
    for path in paths:
        for method in ("GET", "DELETE", "OPTIONS", "HEAD", "POST"):
            yield f"{method} {path[:40]!r}", _request(host, f"{method} {path} HTTP/1.1")
    methods = ["", "get", "G E T", "GET\t", "X" * 5000, "PROPFIND", "CONNECT", "TRACE", "PRI", "\x00", "GET\r\n"]
    for method in methods:
        yield f"method {method[:20]!r}", _request(host, f"{method} /health HTTP/1.1")
    for version in ("HTTP/0.9", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/9", "http/1.1", "", "HTTP/1.1 x"):
        yield f"version {version!r}", _request(host, f"GET /health {version}")
    yield "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(30)
    yield "TLS hello", bytes.fromhex("16030100f8010000f40303") + bytes(100)
    yield "nothing but newlines", b"\r\n" * 2000
    yield "zeros", bytes(5000)
    yield "an endless line", b"GET /" + b"a" * 200_000


def _headers(host: str) -> Iterator[tuple[str, bytes]]:
    odd = [
        *(("X-Request-Id", "a" * 70_000), ("X-Request-Id", "é\x80"), ("Cookie", "c=" + "x" * 30_000)),
        *(("Content-Type", "application/json; charset=utf-16"), ("Content-Type", "multipart/form-data")),
        *(("Content-Type", "a" * 5000), ("Expect", "200-maybe"), ("Upgrade", "websocket"), ("Upgrade", "h2c")),
        *(("Authorization", "Bearer " + "x" * 9000), ("If-None-Match", "*" * 1000), ("Accept-Encoding", "br;q=nan")),
        *(("Forwarded", 'for="[::1]"'), ("X-Forwarded-Host", "evil.example"), ("Content-Encoding", "gzip")),
        *(("TE", "trailers"), ("Range", "bytes=0-"), ("Accept", "\x00")),
    ]
    for name, value in odd:
        yield f"{name}: {value[:20]!r}", _request(host, "GET /v1/models HTTP/1.1", {name: value})
        yield f"POST, {name}: {value[:20]!r}", _post(host, _JSON, **{name: value})
    yield "many headers", _request(host, "GET /health HTTP/1.1", {f"X-{i}": "1" for i in range(3000)})
    yield "no colon", b"GET /health HTTP/1.1\r\nHost: " + host.encode() + b"\r\nno colon\r\n\r\n"
    yield "space before colon", b"GET /health HTTP/1.1\r\nHost : " + host.encode() + b"\r\n\r\n"
    yield "folded header", b"GET /health HTTP/1.1\r\nHost: " + host.encode() + b"\r\nX: a\r\n b\r\n\r\n"
    yield "bare newlines", b"GET /health HTTP/1.1\nHost: " + host.encode() + b"\n\n"
    yield "no host", b"GET /health HTTP/1.1\r\n\r\n"
    yield "two hosts", b"GET /health HTTP/1.1\r\nHost: " + host.encode() + b"\r\nHost: evil.example\r\n\r\n"


def _framing(host: str) -> Iterator[tuple[str, bytes]]:
    head = f"POST {_POST} HTTP/1.1"
    lengths = ("-1", "+5", "0x10", "1e3", "5, 5", "99999999999999999999", "", " ", "5 5", "\uff14")
    for length in lengths:
        value = length.encode("utf-8").decode("latin-1")
        headers = {"Content-Type": "application/json", "Content-Length": value}
        yield f"Content-Length {length!r}", _request(host, head, headers, _JSON)
    chunked = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    size = f"{len(_JSON):x}".encode()
    bodies = {
        "well chunked": size + b"\r\n" + _JSON + b"\r\n0\r\n\r\n",
        "chunk extensions": size + b";" + b"x" * 3000 + b"\r\n" + _JSON + b"\r\n0\r\n\r\n",
        "negative chunk": b"-5\r\n" + _JSON + b"\r\n0\r\n\r\n",
        "huge chunk size": b"ffffffffffffffff\r\n" + _JSON,
        "chunk size is a word": b"hello\r\n" + _JSON,
        "many tiny chunks": b"".join(b"1\r\n%c\r\n" % byte for byte in _JSON) + b"0\r\n\r\n",
        "trailers": size + b"\r\n" + _JSON + b"\r\n0\r\nX: 1\r\n\r\n",
        "many trailers": size + b"\r\n" + _JSON + b"\r\n0\r\n" + b"X: 1\r\n" * 5000 + b"\r\n",
    }
    for name, body in bodies.items():
        yield name, _request(host, head, chunked, body)
    yield "chunked and length", _request(host, head, {**chunked, "Content-Length": "3"}, bodies["well chunked"])
    for encoding in ("gzip", "chunked, chunked", "identity", "CHUNKED", "chunked;x", "\x0bchunked"):
        headers = {**chunked, "Transfer-Encoding": encoding}
        yield f"Transfer-Encoding {encoding!r}", _request(host, head, headers, bodies["well chunked"])
    yield "two lengths", _request(host, head, {"Content-Length": "5", "content-length": "6"}, _JSON)
    yield "pipelined", _request(host, "GET /health/live HTTP/1.1") * 50
    yield "smuggled", _post(host, _JSON + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    yield "body on GET", _request(host, "GET /health HTTP/1.1", {"Content-Length": "5"}, b"hello")


def _json_bodies(host: str) -> Iterator[tuple[str, bytes]]:
    deep = 100_000
    bodies = {
        "empty": b"",
        "null": b"null",
        "a number": b"5",
        "a list": b"[]",
        "a string": b'"prompt"',
        "not JSON": b"prompt=a",
        "cut": _JSON[:-3],
        "two objects": _JSON + _JSON,
        "byte order mark": b"\xef\xbb\xbf" + _JSON,
        "UTF-16": _JSON.decode().encode("utf-16"),
        "Latin-1": b'{"prompt": "caf\xe9"}',
        "overlong UTF-8": b'{"prompt": "\xc0\xaf"}',
        "lone surrogate": b'{"prompt": "\\ud800"}',
        "lone surrogate in a name": b'{"prompt": "a", "\\udfff": 1}',
        "NUL": b'{"prompt": "a\\u0000b", "num_inference_steps": 1}',
        "controls": b'{"prompt": "a\\u001b[2Jb", "num_inference_steps": 1}',
        "raw controls": b'{"prompt": "a\x1bb"}',
        "deep lists": b'{"prompt": ' + b"[" * deep + b"]" * deep + b"}",
        "deep objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "unknown deep": b'{"prompt": "a", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        "empty adapters": b'{"prompt": "a", "lora": [' + b"{}," * 300_000 + b"{}]}",
        "adapters of adapters": b'{"prompt": "a", "lora": [[[[{}]]]]}',
        "many unknown fields": b'{"prompt": "a"' + b"".join(b', "x%d": 1' % i for i in range(50_000)) + b"}",
        "a long unknown name": b'{"prompt": "a", "' + b"x" * 900_000 + b'": 1}',
        "a long value": b'{"prompt": "a", "seed": "' + b"9" * 900_000 + b'"}',
        "a long number": b'{"prompt": "a", "seed": ' + b"9" * 900_000 + b"}",
        "a long fraction": b'{"prompt": "a", "true_cfg_scale": 1.' + b"1" * 900_000 + b"}",
        "numbers without end": b'{"prompt": "a", "seed": NaN, "true_cfg_scale": Infinity}',
        "the greatest numbers": b'{"prompt": "a", "true_cfg_scale": 1e999, "width": 1e308, "seed": -0}',
        "the same name twice": b'{"prompt": "a", "prompt": 5}',
        "a long prompt": b'{"prompt": "' + b"a " * 400_000 + b'"}',
        "a long model": b'{"prompt": "a", "model": "' + b"m" * 900_000 + b'"}',
        "a long size": b'{"prompt": "a", "size": "' + b"1" * 4000 + b"x" + b"1" * 4000 + b'"}',
        "wrong everywhere": b'{"prompt": [], "n": {}, "size": 5, "seed": "x", "lora": 3, "model": [], "extra_body": 1}',
        "proto": b'{"__proto__": {"a": 1}, "constructor": 1, "prompt": "a", "num_inference_steps": 1}',
    }
    for name, body in bodies.items():
        for path in (_POST, "/v1/videos/generations", "/v1/videos"):
            yield f"{path}, JSON: {name}", _post(host, body, path=path)


def _forms(host: str) -> Iterator[tuple[str, bytes]]:
    def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
        return b'--b\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value + b"\r\n"

    end = b"--b--\r\n"
    file = b'; filename="a.png"\r\nContent-Type: image/png'
    bodies = {
        "empty": b"",
        "only the end": end,
        "no end": _FORM[:-8],
        "another boundary": _FORM.replace(b"--b", b"--c"),
        "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + end,
        "no disposition": b"--b\r\n\r\nx\r\n" + end,
        "a long name": part(b"n" * 500_000, b"1") + end,
        "a name of brackets": part(b"lora" + b"[a]" * 20_000, b"1") + end,
        "open brackets": part(b"lora[[[[", b"1") + part(b"]]lora", b"1") + end,
        "many parts": b"".join(part(b"f%d" % i, b"1") for i in range(5000)) + end,
        "many files": b"".join(part(b"f%d" % i, b"1", file) for i in range(50)) + end,
        "the same part twice": part(b"prompt", b"a") * 2 + end,
        "Latin-1": part(b"prompt", b"caf\xe9") + end,
        "Latin-1 name": part(b"caf\xe9", b"a") + end,
        "NUL in a name": part(b"pro\x00mpt", b"a") + end,
        "a file for a prompt": part(b"prompt", b"a", file) + end,
        "an empty file": part(b"prompt", b"a") + part(b"input_reference", b"", file) + end,
        "text for a file": part(b"prompt", b"a") + part(b"input_reference", b"hello") + end,
        "junk for a file": part(b"prompt", b"a") + part(b"input_reference", bytes(range(256)) * 50, file) + end,
        "a path for a name": part(b"prompt", b"a") + part(b"input_reference", b"x", b'; filename="../../etc/x"') + end,
        "JSON in parts": part(b"prompt", b"a") + part(b"lora", b"[" * 50_000) + end,
        "adapters in parts": part(b"prompt", b"a") + part(b"lora", b"[" + b"{}," * 300_000 + b"{}]") + end,
        "many headers": part(b"prompt", b"a", b"".join(b"\r\nX-%d: 1" % i for i in range(5000))) + end,
        "a long header": part(b"prompt", b"a", b"\r\nX: " + b"x" * 500_000) + end,
        "encoded": part(b"prompt", b"YQ==", b"\r\nContent-Transfer-Encoding: base64") + end,
    }
    for name, body in bodies.items():
        yield f"form: {name}", _post(host, body, "multipart/form-data; boundary=b", "/v1/videos")
    for boundary in ("", "=", '="', "=" + "b" * 5000, "=\x00", "=b; boundary=c", "=é"):
        yield (
            f"boundary {boundary[:10]!r}",
            _post(host, _FORM, f"multipart/form-data; boundary{boundary}", "/v1/videos"),
        )
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/xml", "multipart/mixed; boundary=b"):
        yield kind, _post(host, b"prompt=a", kind, "/v1/videos")
