"""Redirection of the guest's connections to the gate, without a network and without netfilter.

A route makes every address local, so that connections to any address arrive at this machine's own sockets. A BPF
program of the type ``sk_lookup`` selects the socket: TCP arrives at the gate's listener, DNS at the gate's socket, and
other datagrams at none, so that their senders get an error at once (ICMP port unreachable). The accepted socket has the
original destination as its own address. Addresses of this machine, such as 127.0.0.1, are not affected.

Compared with rules of nftables, this needs no package, no modules and no connection tracking, all of which would delay
the boot. It is a convenience for programs. Nothing on the host depends on it.

Sources: ip-route(8) ("local"), ip-rule(8) ("suppress_prefixlength"), the kernel's Documentation/bpf/prog_sk_lookup.rst,
rtnetlink(7), bpf(2).
"""

from __future__ import annotations

import os
import struct
from _socket import AF_INET, AF_NETLINK, IPPROTO_TCP, SOCK_RAW, inet_aton, socket

from .network import ADDRESS

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_DNS = 53

# linux/rtnetlink.h, linux/fib_rules.h
_NEW_ROUTE, _NEW_RULE, _DELETE_RULE = 24, 32, 33
_REQUEST, _ACKNOWLEDGE, _CREATE = 0x1, 0x4, 0x400
_TABLE_LOCAL, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL = 255, 4, 254, 2
_ROUTE_DEVICE, _ROUTE_SOURCE = 4, 7
_TO_TABLE, _UNREACHABLE = 1, 7
_RULE_PRIORITY, _RULE_SUPPRESS, _RULE_PROTOCOL = 6, 14, 22
_LAST = 32768  # after the rules for the tables main and default
_LOOPBACK_INDEX = 1

# linux/bpf.h
_SYSTEM_CALL = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _MAP_UPDATE, _PROGRAM_LOAD, _LINK_CREATE = 0, 2, 5, 28
_MAP_SOCKETS, _PROGRAM_LOOKUP, _ATTACH_LOOKUP = 15, 30, 36
_CALL_MAP_LOOKUP, _CALL_RELEASE, _CALL_ASSIGN = 1, 86, 124
_FAMILY, _PROTOCOL, _LOCAL_ADDRESS, _LOCAL_PORT = 8, 12, 40, 60  # offsets in struct bpf_sk_lookup
_ATTRIBUTE_BYTES = 128


def route() -> None:
    """Make all addresses local that nothing else has, and ICMP to them unreachable. Raises OSError if that fails.

    The kernel accepts an address as local only if the table ``local`` says so, which it looks up first. The default
    route there must be last, after the routes of networks in the guest, such as those of containers.
    """
    own, loopback = inet_aton(ADDRESS), _number(_LOOPBACK_INDEX)
    # otherwise the guest itself would answer each ping
    _rule(_NEW_RULE, _UNREACHABLE, 0, _attribute(_RULE_PRIORITY, _number(_LAST)), _attribute(_RULE_PROTOCOL, b"\1"))
    _rule(_NEW_RULE, _TO_TABLE, _TABLE_LOCAL, _attribute(_RULE_PRIORITY, _number(_LAST + 1)))
    first = _attribute(_RULE_PRIORITY, _number(0))
    _rule(_NEW_RULE, _TO_TABLE, _TABLE_LOCAL, first, _attribute(_RULE_SUPPRESS, _number(0)))  # without default routes
    _rule(_DELETE_RULE, _TO_TABLE, _TABLE_LOCAL, first)  # the kernel's own rule, which precedes the new one
    head = struct.pack("=8BI", AF_INET, 0, 0, 0, _TABLE_LOCAL, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL, 0)
    _request(_NEW_ROUTE, head + _attribute(_ROUTE_DEVICE, loopback) + _attribute(_ROUTE_SOURCE, own))


def _rule(operation: int, action: int, table: int, *attributes: bytes) -> None:
    _request(operation, struct.pack("=8BI", AF_INET, 0, 0, 0, table, 0, 0, action, 0) + b"".join(attributes))


def _number(value: int) -> bytes:
    return struct.pack("=I", value)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _request(operation: int, body: bytes) -> None:
    flags = _REQUEST | _ACKNOWLEDGE | (0 if operation == _DELETE_RULE else _CREATE)
    control = socket(AF_NETLINK, SOCK_RAW, 0)
    try:
        control.send(struct.pack("=IHHII", 16 + len(body), operation, flags, 1, 0) + body)
        (error,) = struct.unpack_from("=i", control.recv(4096), 16)
    finally:
        control.close()
    if error:
        raise OSError(-error, os.strerror(-error))


def attach(listener: int, dns: int) -> None:
    """Let all TCP connections arrive at ``listener`` and all DNS datagrams at ``dns``, until this process exits.

    Raises OSError if the kernel refuses that.
    """
    sockets = _bpf(_MAP_CREATE, struct.pack("=IIII", _MAP_SOCKETS, 4, 8, 2))
    for key, descriptor in enumerate((listener, dns)):
        key_, value = _pointer(struct.pack("=I", key)), _pointer(struct.pack("=Q", descriptor))
        _bpf(_MAP_UPDATE, struct.pack("=IxxxxQQQ", sockets, _address(key_), _address(value), 0))
    code = _program(sockets)
    instructions, licence = _pointer(code), _pointer(b"GPL\0")
    program = _bpf(
        _PROGRAM_LOAD,
        struct.pack("=IIQQ", _PROGRAM_LOOKUP, len(code) // 8, _address(instructions), _address(licence))
        + bytes(44)
        + struct.pack("=I", _ATTACH_LOOKUP),
    )
    network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    # The link exists as long as its descriptor, which is therefore never closed.
    _bpf(_LINK_CREATE, struct.pack("=IIII", program, network, _ATTACH_LOOKUP, 0))
    os.close(network)


def _program(sockets: int) -> bytes:
    """Return the instructions of the program, which selects a socket of the map ``sockets``."""
    own = int.from_bytes(inet_aton(ADDRESS), "little")
    # The conditional jumps name the instruction to continue with.
    code: list[Any] = [
        (0xBF, 6, 1, 0, 0),  # r6 = context
        (0x61, 2, 1, _FAMILY, 0),
        (0x56, 2, 0, "pass", AF_INET),  # if the family is not IPv4
        (0x61, 2, 1, _LOCAL_ADDRESS, 0),
        (0x16, 2, 0, "pass", own),
        (0x54, 2, 0, 0, 0xFF),
        (0x16, 2, 0, "pass", 127),
        (0xB4, 3, 0, 0, 0),  # r3 = 0, the key of the listener
        (0x61, 2, 1, _PROTOCOL, 0),
        (0x16, 2, 0, "assign", IPPROTO_TCP),
        (0x61, 2, 1, _LOCAL_PORT, 0),
        (0x56, 2, 0, "drop", _DNS),
        (0xB4, 3, 0, 0, 1),  # r3 = 1, the key of the socket for DNS
        "assign",
        (0x63, 10, 3, -4, 0),  # on the stack
        (0xBF, 2, 10, 0, 0),
        (0x07, 2, 0, 0, -4),
        (0x18, 1, 1, 0, sockets),  # r1 = the map
        (0x00, 0, 0, 0, 0),
        (0x85, 0, 0, 0, _CALL_MAP_LOOKUP),
        (0x15, 0, 0, "drop", 0),
        (0xBF, 7, 0, 0, 0),
        (0xBF, 1, 6, 0, 0),
        (0xBF, 2, 7, 0, 0),
        (0xB7, 3, 0, 0, 0),
        (0x85, 0, 0, 0, _CALL_ASSIGN),
        (0xBF, 1, 7, 0, 0),
        (0x85, 0, 0, 0, _CALL_RELEASE),
        "pass",
        (0xB7, 0, 0, 0, 1),
        (0x95, 0, 0, 0, 0),
        "drop",
        (0xB7, 0, 0, 0, 0),
        (0x95, 0, 0, 0, 0),
    ]
    return assemble(code)


def assemble(code: list[Any]) -> bytes:
    """Return the bytes of BPF instructions.

    Each is (operation, destination register, source register, offset or label, immediate value). A string is a label.
    """
    labels: dict[str, int] = {}
    instructions: list[Any] = []
    for line in code:
        if isinstance(line, str):
            labels[line] = len(instructions)
        else:
            instructions.append(line)
    encoded = bytearray()
    for at, (operation, target, source, offset, value) in enumerate(instructions):
        jump = labels[offset] - at - 1 if isinstance(offset, str) else offset
        value = value - (1 << 32) if value >= 1 << 31 else value
        encoded += struct.pack("=BBhi", operation, source << 4 | target, jump, value)
    return bytes(encoded)


def _bpf(command: int, attribute: bytes) -> int:
    """Call bpf(2) and return its result, usually a descriptor. Raises OSError if it fails."""
    import ctypes  # slow to import, and only the gate needs it

    argument = ctypes.create_string_buffer(attribute.ljust(_ATTRIBUTE_BYTES, b"\0"), _ATTRIBUTE_BYTES)
    library = ctypes.CDLL(None, use_errno=True)
    number = _SYSTEM_CALL[os.uname().machine]
    result: int = library.syscall(number, command, argument, _ATTRIBUTE_BYTES)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _pointer(data: bytes) -> Any:
    import ctypes

    return ctypes.create_string_buffer(data, len(data))


def _address(buffer: Any) -> int:
    import ctypes

    return ctypes.addressof(buffer)
