"""Listing and one-shot requests of running guests, with the standard library only and without an event loop.

``ccvm-tui ls`` is used all the time, and most of its run time is this module's imports. The module uses only the
greeting, whose format never changes, so that it can list and stop guests of any version.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from typing import Any

from ccvm_tui import claim
from ccvm_tui.errors import KeeperLost, NoSuchGuest
from ccvm_tui.paths import GuestPaths, runtime_dir

ANSWER_TIMEOUT = 2.0
"""Seconds after which a keeper that holds its lock but does not answer is considered hung."""

STOP_TIMEOUT = 30.0
"""Seconds within which a guest must stop."""

ATTEMPT_SIGN = "."
"""The character before the name of the attempt in the name of a guest."""

GuestDict = dict[str, Any]
"""A GuestInfo as decoded JSON, from a keeper of any version."""


def names() -> list[str]:
    """Return the names of the guests whose keeper runs, and remove the directories of keepers that have died."""
    found = []
    for directory in sorted(runtime_dir().iterdir()):
        if not directory.is_dir():
            continue
        if claim.alive(directory / "lock"):
            found.append(directory.name)
        else:
            claim.remove_if_dead(directory)
    return found


def running() -> list[GuestDict]:
    """Return all running guests, sorted by name. A guest whose keeper does not answer has the state ``hung``."""
    sockets = {name: _greet(GuestPaths(name), "info") for name in names()}
    answers = _collect({name: sock for name, sock in sockets.items() if sock is not None})
    return [answers.get(name, {"name": name, "state": "hung", "sessions": []}) for name in sockets]


def find(wanted: str) -> str:
    """Return the full name of a running guest, given its name or an unambiguous prefix of it.

    The name of an attempt selects its guest, and the prefix of a project's guest is not ambiguous because the names of
    its attempts begin with it too. Raises NoSuchGuest, which lists the candidates, if no guest or several guests match.
    """
    existing = names()
    if wanted in existing:
        return wanted
    matching = [name for name in existing if name.startswith(wanted)]
    matching = matching or [name for name in existing if name.partition(ATTEMPT_SIGN)[2] == wanted]
    own = [name for name in matching if ATTEMPT_SIGN not in name] or matching
    if len(own) == 1:
        return own[0]
    listing = ", ".join(matching or existing) or "none"
    problem = "matches more than one guest" if matching else "is not running"
    raise NoSuchGuest(f"{wanted!r} {problem} (running: {listing})", "see `ccvm-tui ls`")


def ask_once(name: str) -> GuestDict:
    """Return the info of one guest.

    Raises NoSuchGuest if it is not running, KeeperLost if its keeper does not answer.
    """
    sock = _greet(GuestPaths(name), "info")
    if sock is None:
        raise NoSuchGuest(f"no guest {name!r} is running", "see `ccvm-tui ls`")
    answer = _collect({name: sock}).get(name)
    if answer is None:
        raise KeeperLost(f"the keeper of {name} does not answer", f"`ccvm-tui stop --force {name}` ends it")
    return answer


def stop_any(name: str, *, force: bool = False, within: float = STOP_TIMEOUT) -> None:
    """Stop a guest of any version, and wait until its keeper has released its lock.

    Raises NoSuchGuest if the guest is not running, KeeperLost if it does not stop within ``within`` seconds.
    """
    paths = GuestPaths(name)
    sock = _greet(paths, "stop", force=force)
    if sock is None and not claim.alive(paths.lock):
        raise NoSuchGuest(f"no guest {name!r} is running", "see `ccvm-tui ls`")
    deadline = time.monotonic() + within
    if sock is not None:
        with sock:
            sock.settimeout(within)
            try:
                while sock.recv(65536):
                    pass
            except OSError:
                pass
    while claim.alive(paths.lock):
        if time.monotonic() > deadline:
            raise KeeperLost(f"{name} did not stop within {within:.0f} s", f"try `ccvm-tui stop --force {name}`")
        time.sleep(0.02)
    claim.remove_if_dead(paths.dir)


def _greet(paths: GuestPaths, op: str, **more: object) -> socket.socket | None:
    """Connect to a keeper and send the greeting. Return None if the keeper does not accept connections."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(ANSWER_TIMEOUT)
        sock.connect(str(paths.keeper_socket))
        body = json.dumps({"protocol": 0, "op": op, **more}).encode()
        sock.sendall(struct.pack(">I", len(body)) + body)
    except OSError:
        sock.close()
        return None
    return sock


def _collect(sockets: dict[str, socket.socket]) -> dict[str, GuestDict]:
    """Receive from all sockets concurrently, and return the guests of the answers received within ANSWER_TIMEOUT."""
    answers: dict[str, GuestDict] = {}
    received = dict.fromkeys(sockets, b"")
    deadline = time.monotonic() + ANSWER_TIMEOUT
    with selectors.DefaultSelector() as selector:
        for name, sock in sockets.items():
            selector.register(sock, selectors.EVENT_READ, name)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                name = key.data
                chunk = _receive(sockets[name])
                received[name] += chunk
                guest = _guest(received[name])
                if guest is not None:
                    answers[name] = guest
                if guest is not None or not chunk:
                    selector.unregister(sockets[name])
    for sock in sockets.values():
        sock.close()
    return answers


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except OSError:
        return b""


def _guest(received: bytes) -> GuestDict | None:
    if len(received) < 4 or len(received) < 4 + int.from_bytes(received[:4], "big"):
        return None
    try:
        guest = json.loads(received[4:]).get("guest")
    except (ValueError, AttributeError):
        return None
    return guest if isinstance(guest, dict) else None
