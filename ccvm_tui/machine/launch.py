"""The program between keeper and QEMU: confines itself, then becomes QEMU.

Run as ``python -P -s -S -m ccvm_tui.machine.launch ORDER`` with ORDER a JSON object (``Order``). The order of
things matters: the parent-death signal first, so that no moment is left in which the keeper's death goes
unnoticed; Landlock last, since it forbids whatever the steps before it need. The environment of QEMU is empty.
Loads the standard library and ``landlock``, nothing else: this runs before every guest.

Statuses besides QEMU's own: 126 when it could not be confined, 127 when QEMU could not be executed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ccvm_tui.machine.confine import Access, Rule, confine, die_with_parent, no_core_dump, no_new_privileges

CANNOT_CONFINE = 126
CANNOT_EXECUTE = 127


@dataclass(frozen=True, slots=True)
class Order:
    """What to become, and within which bounds. ``rules`` None means no Landlock. No secret belongs in here."""

    parent: int
    program: str
    argv: tuple[str, ...]
    rules: tuple[Rule, ...] | None
    connect_tcp: bool = False

    def encoded(self) -> str:
        """JSON in ASCII: bytes of a path that are no UTF-8 travel as lone surrogates (os.fsencode)."""
        rules = None if self.rules is None else [[str(rule.path), rule.access.value] for rule in self.rules]
        return json.dumps(
            {
                "parent": self.parent,
                "program": self.program,
                "argv": list(self.argv),
                "rules": rules,
                "connect_tcp": self.connect_tcp,
            }
        )

    @classmethod
    def decoded(cls, text: str) -> Order:
        data = json.loads(text)
        rules = data["rules"]
        return cls(
            parent=data["parent"],
            program=data["program"],
            argv=tuple(data["argv"]),
            rules=None if rules is None else tuple(Rule(Path(path), Access(access)) for path, access in rules),
            connect_tcp=data["connect_tcp"],
        )


def command(order: Order) -> list[str]:
    """The command line that carries out ``order``; to be run with ``environment()``."""
    return [sys.executable, "-P", "-s", "-S", "-m", __name__, order.encoded()]


def environment() -> dict[str, str]:
    """The launcher's: it finds its modules exactly where this process found them, and knows nothing else."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONDONTWRITEBYTECODE": "1"}


def main(arguments: list[str]) -> NoReturn:
    order = Order.decoded(arguments[0])
    die_with_parent(order.parent)
    try:
        no_core_dump()
        no_new_privileges()
        # Python ignores these two, and what is ignored stays ignored across execve.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if order.rules is not None:
            confine(order.rules, connect_tcp=order.connect_tcp)
    except OSError as error:
        _give_up(CANNOT_CONFINE, f"cannot confine {order.program}: {error}")
    try:
        os.execve(order.program, order.argv, {})  # noqa: S606 - becoming QEMU, without a shell, is the point
    except OSError as error:
        _give_up(CANNOT_EXECUTE, f"cannot run {order.program}: {error.strerror}")


def _give_up(status: int, message: str) -> NoReturn:
    print(f"ccvm: {message}", file=sys.stderr, flush=True)
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
