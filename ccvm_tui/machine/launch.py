"""The program that the keeper starts for each guest: it confines itself, then becomes QEMU.

Run as ``python -P -s -S -m ccvm_tui.machine.launch REQUEST``, where ``REQUEST`` is a LaunchRequest as JSON. The
namespaces come first, because they clear the parent-death signal; Landlock and seccomp come last, because they forbid
what the other steps need. QEMU's environment is empty. This program delays every start of a guest, so it imports only
the standard library and ``landlock``.

The exit status is QEMU's, or 126 if the process could not be confined, or 127 if QEMU could not be executed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ccvm_tui.machine.confine import Access, Rule, confine, die_with_parent, no_new_privileges
from ccvm_tui.machine.isolation import drop_capabilities, isolate_network, limit, no_core_dump
from ccvm_tui.machine.seccomp import Denied, deny

CANNOT_CONFINE = 126
CANNOT_EXECUTE = 127


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """The program to execute and its confinement.

    ``parent`` is the pid of the process whose exit kills the program. ``rules`` is None for no Landlock. ``denied`` are
    system calls that fail, ``limits`` resource limits by the numbers of the module ``resource``. With ``isolated`` the
    program has no network, if the host allows that. The request is visible in ``/proc`` and must not contain secrets.
    """

    parent: int
    program: str
    argv: tuple[str, ...]
    rules: tuple[Rule, ...] | None
    connect_tcp: bool = False
    denied: tuple[Denied, ...] = ()
    limits: tuple[tuple[int, int], ...] = ()
    isolated: bool = False

    def to_json(self) -> str:
        """Encode as ASCII JSON. Bytes of a path that are not UTF-8 become lone surrogates (``os.fsdecode``)."""
        rules = None if self.rules is None else [[str(rule.path), rule.access.value] for rule in self.rules]
        return json.dumps(
            {
                "parent": self.parent,
                "program": self.program,
                "argv": list(self.argv),
                "rules": rules,
                "connect_tcp": self.connect_tcp,
                "denied": self.denied,
                "limits": self.limits,
                "isolated": self.isolated,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> LaunchRequest:
        """Decode the output of ``to_json``."""
        data = json.loads(text)
        rules = data["rules"]
        return cls(
            parent=data["parent"],
            program=data["program"],
            argv=tuple(data["argv"]),
            rules=None if rules is None else tuple(Rule(Path(path), Access(access)) for path, access in rules),
            connect_tcp=data["connect_tcp"],
            denied=tuple(Denied(group) for group in data["denied"]),
            limits=tuple((which, value) for which, value in data["limits"]),
            isolated=data["isolated"],
        )


def command(request: LaunchRequest) -> list[str]:
    """Return the launcher's command line for ``request``. Run it with ``environment()``."""
    return [sys.executable, "-P", "-s", "-S", "-m", __name__, request.to_json()]


def environment() -> dict[str, str]:
    """Return the launcher's complete environment, which contains this process's module search path."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONDONTWRITEBYTECODE": "1"}


def main(arguments: list[str]) -> NoReturn:
    """Confine this process and execute the requested program."""
    request = LaunchRequest.from_json(arguments[0])
    if request.isolated:
        isolate_network()
    die_with_parent(request.parent)
    try:
        no_core_dump()
        for which, value in request.limits:
            limit(which, value)
        no_new_privileges()
        drop_capabilities()
        # Python ignores these signals, and ignored signals stay ignored across execve.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if request.rules is not None:
            confine(request.rules, connect_tcp=request.connect_tcp)
        if request.denied:
            deny(request.denied)
    except OSError as error:
        _fail(CANNOT_CONFINE, f"cannot confine {request.program}: {error}")
    try:
        os.execve(request.program, request.argv, {})  # noqa: S606 - without a shell on purpose
    except OSError as error:
        _fail(CANNOT_EXECUTE, f"cannot execute {request.program}: {error.strerror}")


def _fail(status: int, message: str) -> NoReturn:
    print(f"ccvm: {message}", file=sys.stderr, flush=True)
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
