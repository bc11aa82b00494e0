"""The file server's process: ``python -P -m ccvm_tui.share ORDER``.

``ORDER`` is an ``order.Order`` as JSON. Standard input is the control connection; the server exits when it is closed.
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import resource
import socket
import sys
from pathlib import Path

from ccvm_tui.machine.confine import Access, Rule, available, confine, die_with_parent, no_new_privileges
from ccvm_tui.machine.isolation import FILE_OWNER, drop_capabilities, limit, no_core_dump
from ccvm_tui.machine.seccomp import ALL, deny
from ccvm_tui.share.edits import EditsTree
from ccvm_tui.share.guarded import GuardedTree
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.loop import Loop, MakeTree
from ccvm_tui.share.mounts import is_network
from ccvm_tui.share.order import Order
from ccvm_tui.share.reporting import Reporter
from ccvm_tui.share.watch import Watches

_MEMORY_MAX = 2 << 30


def main(arguments: list[str]) -> int:
    """Confine the process and serve until the control connection or the device is closed. Return the exit status."""
    order = Order.decode(arguments[0])
    die_with_parent(order.parent)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    os.umask(0)  # the guest's kernel has already applied the program's umask
    directories_max = max(64, _raise_descriptor_limit() // 2)
    make_tree: MakeTree
    if order.edits:
        make_tree = functools.partial(
            EditsTree, order.path, directories_max, store=order.edits, capacity=order.capacity
        )
    elif order.guard == "off":
        make_tree = functools.partial(HostTree, order.path, directories_max)
    else:
        report = Reporter(socket.socket(fileno=order.reports))
        make_tree = functools.partial(
            GuardedTree, order.path, directories_max, blocking=order.guard == "block", report=report
        )
    device, helper, control = (socket.socket(fileno=fd) for fd in (order.device, order.helper, sys.stdin.fileno()))
    loop = Loop(make_tree, Watches(complete=not is_network(order.path)), device, helper, control)
    restrict(order)
    gc.freeze()
    # There are up to hundreds of thousands of nodes, few of which are ever part of a reference cycle.
    gc.set_threshold(20_000, 50, 100)
    loop.run()
    return 0


def restrict(order: Order) -> None:
    """Confine this process to the directories of ``order``, without sockets, programs and signals, for good."""
    no_core_dump()
    # A limit on the memory that a guest can make the server use. The guest's own memory, which is shared, is excluded.
    limit(resource.RLIMIT_DATA, _MEMORY_MAX)
    limit(resource.RLIMIT_MSGQUEUE, 0)
    limit(resource.RLIMIT_MEMLOCK, 0)
    no_new_privileges()
    drop_capabilities(FILE_OWNER)
    rules = [Rule(Path(order.path), Access.READ if order.edits else Access.WRITE)]
    if order.edits:
        rules.append(Rule(Path(order.edits), Access.WRITE))
    # The first version of Landlock denies every rename from one directory to another.
    if order.confined and available().renames:
        confine(rules)
    if order.seccomp:
        deny(ALL)


def _raise_descriptor_limit() -> int:
    """Raise the limit of open files to the maximum and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
