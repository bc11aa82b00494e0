"""The gate: the guest's end of the way out, which connects programs to the keeper's proxy.

Programs reach it in three ways: any TCP connection that they open, redirected by ``redirect``; DNS, which it answers
with synthetic addresses, so that it can send the proxy names instead of addresses; and ``PROXY``, for programs that use
a proxy (HTTP, HTTPS or SOCKS5). All decisions are the keeper's. The gate is a process forked from the agent.
"""

from __future__ import annotations

import os
import select
import time
from _socket import (  # the socket module is slow to import
    AF_INET,
    SHUT_WR,
    SO_LINGER,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
    inet_aton,
    socket,
)

from . import ports, redirect, tunnel
from .files import write
from .names import FORMAT_ERROR, Addresses, Query
from .network import GATE_RECORD, NAMESERVER, PROXY
from .sessions import Sessions
from .tunnel import Destination

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RECORD = GATE_RECORD

_TRANSPARENT = "127.0.0.2"
"""The address of the listener for redirected connections, which is not a port that ``listening`` reports."""

_READY = "/run/ccvm/gate.ready"
_READY_TIMEOUT = 20.0
_DESCRIPTORS = 64  # more than an agent ever has open
_BACKLOG = 512
_CHUNK = 1 << 16
_QUEUE_MAX = 256 << 10
"""Bytes in the queue of the port above which programs must wait. It delays new connections, so it is short."""

_IPPROTO_IP, _IP_PKTINFO, _IP_FREEBIND = 0, 8, 15
_RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"  # struct linger


def await_ready() -> None:
    """Wait until the gate accepts connections. Raises TimeoutError if it does not within 20 seconds."""
    deadline = time.monotonic() + _READY_TIMEOUT
    while not os.path.exists(_READY):
        if time.monotonic() > deadline:
            raise TimeoutError("the gate did not start")
        time.sleep(0.005)


def start() -> int:
    """Start the gate and return its pid."""
    port = ports.open_port(ports.EGRESS)
    pid = os.fork()
    if pid:
        os.close(port)
        return pid
    try:
        # In particular the control port: it can be opened only once, and a restarted agent must be able to open it.
        os.closerange(3, port)
        os.closerange(port + 1, _DESCRIPTORS)
        os.setsid()
        _run(port)
    finally:
        os._exit(1)


def _run(port: int) -> None:
    transparent, proxy, dns = listen(_TRANSPARENT, 0), listen(*PROXY), socket(AF_INET, SOCK_DGRAM)
    dns.setblocking(False)
    dns.setsockopt(_IPPROTO_IP, _IP_PKTINFO, 1)
    dns.setsockopt(_IPPROTO_IP, _IP_FREEBIND, 1)  # the address becomes local later, by a route
    dns.bind((NAMESERVER, 53))  # replies must come from this port
    redirect.attach(transparent.fileno(), dns.fileno())
    write(_READY, "")
    Gate(port).serve(transparent, proxy, dns)


def listen(address: str, port: int) -> socket:
    """Return a non-blocking listener."""
    listener = socket(AF_INET, SOCK_STREAM)
    listener.setblocking(False)
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(_BACKLOG)
    return listener


class _Stream:
    """A connection of a program.

    ``credit`` is the number of bytes that may be sent to the keeper, ``consumed`` the number of bytes that the program
    has received and not reported to the keeper yet.
    """

    __slots__ = ("consumed", "credit", "ended", "number", "queue", "received_end", "sock", "watched")

    def __init__(self, number: int, sock: socket) -> None:
        self.number, self.sock = number, sock
        self.credit = tunnel.WINDOW_OUT
        self.consumed = 0
        self.queue = bytearray()
        self.ended = self.received_end = False
        self.watched = 0


class Gate:
    """The event loop of the gate. ``port`` is the descriptor of the virtio-serial port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._nonce = os.urandom(tunnel.NONCE_BYTES)
        self._frames = tunnel.Frames(tunnel.MAGIC + self._nonce, 0)
        self._queue = bytearray(tunnel.PADDING + tunnel.MAGIC + self._nonce)
        self._dns: socket
        self._connected = True
        self._port_full = False
        self._streams: dict[int, _Stream] = {}
        self._waiting: dict[int, _Stream] = {}
        self._lookups: dict[int, tuple[Query, Callable[[bytes], None]]] = {}
        self._numbers = 0
        self._addresses = Addresses()
        self._sessions = Sessions()
        os.set_blocking(port, False)

    def serve(self, transparent: socket, proxy: socket, dns: socket) -> None:
        """Serve two listeners and the socket for DNS until the host closes the port."""
        self._dns = dns
        self._watch(self._port, self._use_port, select.EPOLLIN)
        self._watch(transparent.fileno(), lambda _: self._accept(transparent, proxy=False), select.EPOLLIN)
        self._watch(proxy.fileno(), lambda _: self._accept(proxy, proxy=True), select.EPOLLIN)
        self._watch(dns.fileno(), lambda _: self._receive_query(), select.EPOLLIN)
        while self._connected:
            self._flush()
            for descriptor, events in self._poll.poll():
                if (handler := self._handlers.get(descriptor)) is not None:
                    handler(events)

    def _watch(self, descriptor: int, handler: Callable[[int], None], events: int) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, events)

    # --- the port -----------------------------------------------------------------------------------------

    def _send(self, kind: int, number: int, body: bytes | bytearray | memoryview = b"") -> None:
        self._queue += tunnel.frame(kind, number, body)

    def _flush(self) -> None:
        """Write the queue to the port, as much as it accepts, and let waiting programs continue."""
        sent = 0
        with memoryview(self._queue) as queue:
            while sent < len(queue):
                try:
                    sent += os.write(self._port, queue[sent : sent + tunnel.PIECE + tunnel.HEAD_BYTES])
                except BlockingIOError:
                    break
        del self._queue[:sent]
        if bool(self._queue) != self._port_full:
            self._port_full = bool(self._queue)
            self._poll.modify(self._port, select.EPOLLIN | (select.EPOLLOUT if self._queue else 0))
        if len(self._queue) < _QUEUE_MAX and self._waiting:
            waiting, self._waiting = self._waiting, {}
            for stream in waiting.values():
                self._update(stream)

    def _use_port(self, _: int) -> None:
        received = bytearray()
        try:
            while len(received) < _CHUNK:  # a port returns at most a page at a time
                data = os.read(self._port, _CHUNK)
                received += data
                if not data:
                    self._connected = False
                    break
        except BlockingIOError:
            pass
        for kind, number, body in self._frames.feed(received):
            self._dispatch(kind, number, body)

    def _dispatch(self, kind: int, number: int, body: bytes) -> None:
        if kind == tunnel.FOUND:
            self._answer_lookup(number, body)
            return
        if (stream := self._streams.get(number)) is None:
            return
        if kind == tunnel.DATA:
            stream.queue += body
            self._write(stream)
        elif kind == tunnel.WINDOW:
            stream.credit += tunnel.parse_number(body)
            self._update(stream)
        elif kind in (tunnel.END, tunnel.CLOSE):
            stream.received_end = True
            stream.ended = stream.ended or kind == tunnel.CLOSE
            self._write(stream)
        elif kind == tunnel.RESET:
            stream.sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET_ON_CLOSE)
            self._close(stream)

    # --- connections --------------------------------------------------------------------------------------

    def _accept(self, listener: socket, proxy: bool) -> None:
        while True:
            try:
                descriptor, client = listener._accept()  # type: ignore[attr-defined]  # creates no other object
            except OSError:  # no more connections, or too many open files
                return
            sock = socket(fileno=descriptor)
            sock.setblocking(False)
            server = sock.getsockname()
            destination = Destination("", 0, True) if proxy else self._destination(*server)
            if destination is None or len(self._streams) >= tunnel.STREAMS_MAX:
                sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET_ON_CLOSE)
                sock.close()
                continue
            destination.session = self._sessions.of(client, server)
            self._open(sock, destination)

    def _destination(self, address: str, port: int) -> Destination | None:
        """Return the destination of a redirected connection, or None if its address has no name (any more)."""
        binary = inet_aton(address)
        if not self._addresses.is_synthetic(binary):
            return Destination(address, port)
        name = self._addresses.name(binary)
        return None if name is None else Destination(name, port)

    def _open(self, sock: socket, destination: Destination) -> None:
        self._numbers = self._numbers % 0xFFFFFFFF + 1
        stream = _Stream(self._numbers, sock)
        self._streams[stream.number] = stream
        self._send(tunnel.OPEN, stream.number, destination.pack())
        stream.watched = select.EPOLLIN
        self._watch(sock.fileno(), lambda events: self._use(stream, events), select.EPOLLIN)

    def _use(self, stream: _Stream, events: int) -> None:
        if events & select.EPOLLOUT:
            self._write(stream)
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and stream.number in self._streams:
            self._read(stream)

    def _read(self, stream: _Stream) -> None:
        if stream.ended:  # the program has closed the connection completely
            self._reset(stream)
            return
        if stream.credit <= 0 or len(self._queue) >= _QUEUE_MAX:
            self._update(stream)
            return
        try:
            data = stream.sock.recv(min(stream.credit, tunnel.PIECE))
        except BlockingIOError:
            return
        except OSError:
            self._reset(stream)
            return
        if data:
            stream.credit -= len(data)
            self._send(tunnel.DATA, stream.number, data)
        else:
            stream.ended = True
            self._send(tunnel.END, stream.number)
        self._update(stream)
        self._close_if_over(stream)

    def _write(self, stream: _Stream) -> None:
        sent = 0
        with memoryview(stream.queue) as queue:
            try:
                while sent < len(queue):
                    sent += stream.sock.send(queue[sent:])
            except BlockingIOError:
                pass
            except OSError:
                sent = -1
        if sent < 0:
            self._reset(stream)
            return
        del stream.queue[:sent]
        stream.consumed += sent
        if stream.consumed >= tunnel.WINDOW_IN // 4:
            self._send(tunnel.WINDOW, stream.number, tunnel.number(stream.consumed))
            stream.consumed = 0
        if stream.received_end and not stream.queue:
            try:
                stream.sock.shutdown(SHUT_WR)
            except OSError:
                pass
        self._update(stream)
        self._close_if_over(stream)

    def _update(self, stream: _Stream) -> None:
        """Watch the socket for what can be done with it now."""
        if stream.number not in self._streams:
            return
        wanted = select.EPOLLOUT if stream.queue else 0
        if not stream.ended and stream.credit > 0:
            if len(self._queue) < _QUEUE_MAX:
                wanted |= select.EPOLLIN
            else:
                self._waiting[stream.number] = stream
        if wanted != stream.watched:
            # Without any event, epoll would still report EPOLLHUP again and again.
            if not wanted:
                self._poll.unregister(stream.sock.fileno())
            elif not stream.watched:
                self._poll.register(stream.sock.fileno(), wanted)
            else:
                self._poll.modify(stream.sock.fileno(), wanted)
            stream.watched = wanted

    def _close_if_over(self, stream: _Stream) -> None:
        if stream.ended and stream.received_end and not stream.queue:
            self._close(stream)

    def _reset(self, stream: _Stream) -> None:
        self._send(tunnel.RESET, stream.number)
        self._close(stream)

    def _close(self, stream: _Stream) -> None:
        if self._streams.pop(stream.number, None) is None:
            return
        if stream.watched:
            self._poll.unregister(stream.sock.fileno())
        del self._handlers[stream.sock.fileno()]
        stream.sock.close()

    # --- names --------------------------------------------------------------------------------------------

    def _receive_query(self) -> None:
        while True:
            try:
                message, ancillary, _, sender = self._dns.recvmsg(4096, 64)
            except OSError:
                return
            # the reply must come from the address that the query was sent to
            source = next(
                (data[8:12] for level, kind, data in ancillary if (level, kind) == (_IPPROTO_IP, _IP_PKTINFO)), b""
            )

            def reply(answer: bytes, source: bytes = source, sender: Any = sender) -> None:
                info = bytes(4) + source + bytes(4)
                try:
                    self._dns.sendmsg([answer], [(_IPPROTO_IP, _IP_PKTINFO, info)], 0, sender)
                except OSError:
                    pass

            self._resolve(message, reply)

    def _resolve(self, message: bytes, reply: Callable[[bytes], None]) -> None:
        try:
            query = Query(message)
        except ValueError:
            if len(message) >= 12 and not message[2] & 0x80:
                reply(message[:2] + bytes([0x80, FORMAT_ERROR]) + bytes(8))
            return
        if len(self._lookups) >= _BACKLOG:
            reply(query.answer(tunnel.FAILED))
            return
        self._numbers = self._numbers % 0xFFFFFFFF + 1
        self._lookups[self._numbers] = query, reply
        self._send(tunnel.LOOKUP, self._numbers, query.name.encode()[: tunnel.NAME_MAX])

    def _answer_lookup(self, number: int, body: bytes) -> None:
        if (waiting := self._lookups.pop(number, None)) is None:
            return
        query, reply = waiting
        code = body[0] if body else tunnel.FAILED
        found = code == tunnel.EXISTS and query.wants_address
        reply(query.answer(code, self._addresses.address(query.name) if found else b""))
