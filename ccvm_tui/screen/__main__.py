"""The screen process: ``python -P -m ccvm_tui.screen PARENT PAGE``, with the keeper's socket as file descriptor 0.

``PARENT`` is the keeper's process id, ``PAGE`` the file descriptor of the shared page of ``current_session``. All
modules are imported before the process is confined.
"""

import gc
import resource
import socket
import sys
import zlib

from ccvm_tui.guest import TermSize
from ccvm_tui.machine.confine import confine, die_with_parent
from ccvm_tui.machine.isolation import drop_capabilities, isolate_network, limit, no_core_dump
from ccvm_tui.machine.seccomp import ALL, deny
from ccvm_tui.screen.current_session import CurrentSession
from ccvm_tui.screen.process import ScreenProcess
from ccvm_tui.screen.session import ScreenSession
from ccvm_tui.screen.views import FrameView, WindowView
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.restore import restore_bytes, window_bytes

MEMORY_MAX = 4 << 30
"""Bytes of address space that the process may use."""

_LIMITS = {
    resource.RLIMIT_AS: MEMORY_MAX,
    resource.RLIMIT_NOFILE: 64,
    resource.RLIMIT_MSGQUEUE: 0,
    resource.RLIMIT_MEMLOCK: 0,
}


def warm_up() -> None:
    """Use everything once, because codecs and other lazily imported modules cannot be loaded after confinement."""
    emulator = Emulator(TermSize(20, 4), 10)
    screen = ScreenSession("", emulator, strict=False)
    screen.views["frame"], screen.views["window"] = (
        FrameView("frame", ""),
        WindowView("window", TermSize(10, 2)),
    )
    screen.feed(
        "\x1b]8;;http://x\x1b\\a\x1b]8;;\x1b\\\x1b[1;44m漢e\u0301\x1b[K\n\r🙂\n\n\n\x1b[?2026l".encode(),
        0.0,
        lambda _: None,
    )
    for _, data in screen.frames(1.0):
        assert data
    state = screen.checkpoint(lambda: 0.0)
    assert state is not None
    Emulator.restore(zlib.decompress(state), 10).close()
    emulator.lines(0, 10)
    emulator.search("a", 10)
    emulator.text(0, 10)
    restore_bytes(emulator, 10)
    window_bytes(emulator, TermSize(10, 2))
    emulator.close()


def prepare(parent: int) -> bool:
    """Restrict what does not hinder imports. ``parent`` is the keeper. Returns whether the network is isolated."""
    isolated = isolate_network()
    die_with_parent(parent)
    no_core_dump()
    for which, value in _LIMITS.items():
        limit(which, value)
    return isolated


def restrict() -> list[str]:
    """Deny all files, sockets, processes and programs to this process, for good. Returns what is now in force."""
    landlock = confine(())
    drop_capabilities()
    limit(resource.RLIMIT_NPROC, 0)
    return [str(landlock), *(["seccomp"] if deny(ALL) else [])]


def main() -> int:
    """Confine the process and run it until the keeper closes the socket. Returns the exit status."""
    isolated = prepare(int(sys.argv[1]))
    connection = socket.socket(fileno=0)
    process = ScreenProcess(connection, CurrentSession(int(sys.argv[2])))
    warm_up()
    parts = restrict() + (["network"] if isolated else [])
    # Exclude the long-lived objects from garbage collection; frames are short-lived.
    gc.freeze()
    process.run(",".join(filter(None, parts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
