"""The host's requests, one function each."""

from __future__ import annotations

import os

from . import editor, listening, machine, network, processes, terminfo

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Request = dict[str, Any]
    Answer = dict[str, object]


def answer(request: Request) -> Answer:
    """Execute ``request`` and return the reply, which contains an error message if it failed."""
    reply: Answer = {"type": "reply", "id": request.get("id")}
    operation = _OPERATIONS.get(str(request.get("op")))
    if operation is None:
        return {**reply, "ok": False, "message": f"unknown operation {request.get('op')}"}
    try:
        return {**reply, "ok": True, **operation(request)}
    except (KeyError, TypeError, ValueError, OSError) as error:
        return {**reply, "ok": False, "message": str(error) or repr(error)}


def _stats(_: Request) -> Answer:
    return {**processes.stats(), "ports": _ports_of_programs()}


def _ports(_: Request) -> Answer:
    return {"ports": _ports_of_programs()}


def _ports_of_programs() -> list[int]:
    """Return the ports on which programs listen, without that of the gate."""
    gate = network.PROXY[1] if os.path.exists(network.GATE_RECORD) else None
    return [port for port in listening.ports() if port != gate]


def _time(request: Request) -> Answer:
    machine.set_clock(int(request["time_ns"]))
    return {}


def _terminfo(request: Request) -> Answer:
    name = str(request["name"])
    installed = terminfo.install(name, str(request["data"]))
    return {"installed": installed, "known": terminfo.known(name)}


def _signal(request: Request) -> Answer:
    processes.signal_session(str(request["session"]), str(request["signal"]))
    return {}


def _processes(request: Request) -> Answer:
    return processes.of_session(str(request["session"]))


def _editor(request: Request) -> Answer:
    editor.install(str(request["host_key"]), str(request["authorized_key"]))
    return {"command": editor.COMMAND}


_OPERATIONS: dict[str, Callable[[Request], Answer]] = {
    "stats": _stats,
    "ports": _ports,
    "editor": _editor,
    "time": _time,
    "terminfo": _terminfo,
    "signal": _signal,
    "processes": _processes,
}
