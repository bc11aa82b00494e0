"""The first bytes of a program on an allowed connection, which must not name another host than the policy allowed."""

from __future__ import annotations

from dataclasses import dataclass

from ccvm_tui.egress import hosts, tls
from ccvm_tui.egress.hosts import Host, InvalidHost
from ccvm_tui.egress.link import Stream
from ccvm_tui.egress.policy import HTTPS
from ccvm_tui.egress.refusal import METHODS
from ccvm_tui.egress.tls import ClientHello, NotTls


@dataclass(frozen=True, slots=True)
class First:
    """The first bytes of a program, and the client hello if they are one."""

    data: bytes
    hello: ClientHello | None = None

    @property
    def is_http(self) -> bool:
        """True if the bytes are the beginning of an HTTP request."""
        return self.data.startswith(METHODS)


async def receive(stream: Stream) -> First:
    """Read a complete client hello, or else what the program sends first. Raises StreamLost."""
    data = b""
    while True:
        piece = await stream.read()
        data += piece
        if not piece:
            return First(data)
        try:
            hello = tls.parse(data)
        except NotTls:
            if len(data) >= len(max(METHODS, key=len)) or not any(method.startswith(data) for method in METHODS):
                return First(data)
        else:
            if hello is not None:
                return First(data, hello)


def problem(first: First, host: Host, port: int) -> str | None:
    """Return why the first bytes do not fit to the ``host`` that was allowed, or None if they do."""
    if not isinstance(host, str):
        return None  # a rule allows the address, so whatever is there
    hello = first.hello
    if hello is None:
        return "it is not TLS" if port == HTTPS and first.data else None
    if hello.encrypted:
        return "the name in its TLS is encrypted (ECH)"
    if hello.server_name is None:
        return "its TLS has no server name"
    try:
        name = hosts.parse(hello.server_name)
    except InvalidHost:
        return "the server name in its TLS is not valid"
    return None if name == host else f"the server name in its TLS is {hosts.text(name)}"
