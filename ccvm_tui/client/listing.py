"""Which guests run, and their one-shot questions: standard library only, and no event loop.

``ccvm-tui ls`` is typed all day, so this module's imports are its cost. It speaks just the greeting, whose
form never changes: guests of any version are listed and can be stopped.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from pathlib import Path
from typing import Any

from ccvm_tui import claim
from ccvm_tui.errors import KeeperLost, NoSuchGuest
from ccvm_tui.paths import GuestPaths, runtime_dir

ANSWER_WITHIN = 2.0
"""Seconds after which a keeper that holds its lock but does not answer counts as hung."""

STOP_WITHIN = 30.0

GuestDict = dict[str, Any]
"""A GuestInfo as JSON, as the keeper of whatever version sent it."""


def names() -> list[str]:
    """Names of the guests whose keeper lives. Leftovers of dead ones are removed on the way."""
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
    """Every running guest, by name. One that does not answer has the state ``hung`` and little else."""
    asked = {name: _greet(GuestPaths(name), "info") for name in names()}
    answers = _collect({name: sock for name, sock in asked.items() if sock is not None})
    return [answers.get(name, {"name": name, "state": "hung", "sessions": []}) for name in asked]


def find(wanted: str) -> str:
    """The full name of the one guest that ``wanted`` names, whole or by an unambiguous beginning.

    Raises NoSuchGuest, which lists what there is.
    """
    have = names()
    if wanted in have:
        return wanted
    close = [name for name in have if name.startswith(wanted)]
    if len(close) == 1:
        return close[0]
    listing = ", ".join(close or have) or "none"
    what = "fits more than one guest" if close else "is not running"
    raise NoSuchGuest(f"{wanted!r} {what} (running: {listing})", "see `ccvm-tui ls`")


def ask_once(name: str) -> GuestDict:
    """The info of one guest. Raises NoSuchGuest or KeeperLost."""
    sock = _greet(GuestPaths(name), "info")
    if sock is None:
        raise NoSuchGuest(f"no guest {name!r} is running", "see `ccvm-tui ls`")
    answer = _collect({name: sock}).get(name)
    if answer is None:
        raise KeeperLost(f"the keeper of {name} does not answer", f"`ccvm-tui stop --force {name}` ends it")
    return answer


def stop_any(name: str, *, force: bool = False, within: float = STOP_WITHIN) -> None:
    """Ask the keeper of ``name``, of whatever version, to stop its guest, and wait until its lock is free.

    Raises NoSuchGuest, KeeperLost when it does not stop in time.
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
    """A connection on which the greeting was sent; None when nobody listens."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(ANSWER_WITHIN)
        sock.connect(str(paths.keeper_socket))
        body = json.dumps({"protocol": 0, "op": op, **more}).encode()
        sock.sendall(struct.pack(">I", len(body)) + body)
    except OSError:
        sock.close()
        return None
    return sock


def _collect(sockets: dict[str, socket.socket]) -> dict[str, GuestDict]:
    """The guest of each answer that comes within ANSWER_WITHIN, all waited for at once."""
    answers: dict[str, GuestDict] = {}
    received = dict.fromkeys(sockets, b"")
    deadline = time.monotonic() + ANSWER_WITHIN
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


def project_of(name: str) -> Path:
    return Path(str(ask_once(name).get("project", "")))
