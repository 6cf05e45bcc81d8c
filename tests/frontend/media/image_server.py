"""A server of images with a certificate of its own, on an address of loopback that stands for a public one."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from frontend.http.authority import Address

ADDRESS = "127.0.0.2"
"""the kernel connects to it from 127.0.0.1, as it does to another machine from its own address"""
NAME = "images.test"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""after a request's head has been read"""


def stands_for_public(address: Address) -> bool:
    return str(address) == ADDRESS


class Certificates:
    """An authority, and what it signs. Written into a folder, as `ssl` reads files only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        usage = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = self._signed(self._name, self._key, days=2).add_extension(usage, critical=True)
        self.authority = self._certificate.sign(self._key, hashes.SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(self.authority.public_bytes(serialization.Encoding.PEM))

    def client(self) -> ssl.SSLContext:
        """Trusts this authority alone."""
        return ssl.create_default_context(cafile=self.file)

    def server(self, name: str = NAME, days: int = 1) -> ssl.SSLContext:
        """Of a server of this name and of `ADDRESS`.

        Args:
            days: from yesterday to the end of the certificate's time.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(ADDRESS))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, days).add_extension(names, critical=False)
        file = self._folder / f"{name}-{days}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(yesterday - datetime.timedelta(hours=1))
            .not_valid_after(yesterday + datetime.timedelta(days=days, hours=-1 if days == 0 else 1))
        )


class ImageServer:
    """Answers as it is told by path, and remembers what it was asked."""

    def __init__(self, secure: bool = True) -> None:
        self.answers: dict[str, Answer] = {}
        self.heads: list[bytes] = []
        """of requests"""
        self.ended = 0
        """connections, by either side"""
        self.port = 0
        self._scheme = "https" if secure else "http"

    def url(self, path: str, host: str = NAME) -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def bytes_at(self, path: str, answer: bytes) -> str:
        """The URL at which it answers with these bytes, head and all, and closes the connection."""

        async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            await writer.drain()

        return self.answer_at(path, write)

    def file_at(self, path: str, file: bytes, *headers: str) -> str:
        head = "\r\n".join(("HTTP/1.1 200 OK", f"Content-Length: {len(file)}", *headers))
        return self.bytes_at(path, head.encode() + b"\r\n\r\n" + file)

    def redirect_at(self, path: str, location: str, status: int = 302) -> str:
        return self.bytes_at(path, f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\n\r\n".encode())

    def answer_at(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return self.url(path)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            path = head.split(b" ", 2)[1].decode().partition("?")[0]
            await self.answers[path](reader, writer)
        except (OSError, asyncio.IncompleteReadError):  # the client has left
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def serving(
    tls: ssl.SSLContext | None = None, address: str = ADDRESS, port: int = 0
) -> AsyncIterator[ImageServer]:
    """A server that runs, over TLS where there is a context for it."""
    server = ImageServer(secure=tls is not None)
    async with await asyncio.start_server(server.handle, address, port, ssl=tls) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server
