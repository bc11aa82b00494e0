"""A real HTTPS server on loopback, with a certificate of its own authority, that can misbehave like others do."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of ``directory``. ``requests`` contains the path and the Range header of each request.

    ``cut`` is the number of bytes after which the connection is closed, by path; one for each response. ``redirects``
    are targets by path. The server is silent after the first bytes of ``silent`` until ``released`` is set.
    """

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.requests: list[tuple[str, str]] = []
        self.cut: dict[str, list[int]] = {}
        self.redirects: dict[str, str] = {}
        self.ranges = True
        self.silent = ""
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close their connection."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, given = self.server, self.headers.get("Range", "")
        server.requests.append((self.path, given))
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = server.directory / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        start = int(given.removeprefix("bytes=").rstrip("-")) if given and server.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if cuts := server.cut.get(self.path):
            end = start + cuts.pop(0)
        if server.silent == self.path:
            self.wfile.write(content[start : start + 1])
            server.released.wait(60)
            return
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def serving(directory: Path, certificates: Path) -> Iterator[tuple[Server, Path]]:
    """Serve ``directory``, and yield the server and the file of its authority's certificate."""
    authority, chain = _certificates(certificates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = Server(directory)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server, authority
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _certificates(directory: Path) -> tuple[Path, Path]:
    """Create an authority and a certificate for 127.0.0.1; return the file of one, and that of the other with its key."""
    directory.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    certificates = []
    for number, key in enumerate(keys):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test" if number == 0 else "127.0.0.1")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        )
        certificates.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "authority.pem").write_bytes(certificates[0])
    (directory / "chain.pem").write_bytes(certificates[1] + private)
    return directory / "authority.pem", directory / "chain.pem"
