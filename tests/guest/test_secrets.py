"""An API key and a guest's SSH keys are in the session and in memory, and nowhere else on the host."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ccvm_tui.paths import cache_dir
from tests.conftest import XDG
from tests.guest.conftest import Starter, ccvm_tui
from tests.terminals import attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

VARIABLE = "ANTHROPIC_API_KEY"


class Watch(threading.Thread):
    """A thread that searches all processes for the key continuously, since launchers run for milliseconds only."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key
        self._stopped = threading.Event()
        self.found: set[str] = set()
        self.rounds = 0

    def run(self) -> None:
        while not self._stopped.is_set():
            self.found |= set(self._search())
            self.rounds += 1

    def _search(self) -> Iterator[str]:
        for process in psutil.process_iter():
            try:
                argv = process.cmdline()
                if any(self._key in argument for argument in argv):
                    yield f"in the arguments of {argv}"
                if self._key in process.environ().values() and argv[3:5] != ["ccvm_tui", "run"]:
                    yield f"in the environment of {argv}"
            except psutil.Error:
                continue

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()


def files_with(roots: list[Path], *needles: bytes) -> list[Path]:
    """Return the regular files that contain any of ``needles``."""
    found = []
    for root in roots:
        for file in root.rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                if any(needle in data for needle in needles):
                    found.append(file)
    return found


async def test_no_secret_leaves_the_session(home: Path, own_guest: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-ant-" + secrets.token_hex(20)
    monkeypatch.setenv(VARIABLE, key)
    with Watch(key) as watch:
        guest = own_guest("--login", "key")
        monkeypatch.delenv(VARIABLE)
    assert watch.rounds > 3
    # only the command that was started with the key and this process may have it
    assert [place for place in watch.found if "pytest" not in place] == []
    async with attached(guest.name, "s1", cols=200) as terminal:
        await terminal.until("❯")
        terminal.type(f"echo got ${VARIABLE}\r")
        await terminal.until(f"got {key}")
        guest.sh(f"echo a session without it: ${VARIABLE}. | grep -v {key[:8]}")
        host_key = guest.sh("sudo cat /run/ccvm/ssh/host_key").splitlines()[1].encode()
        assert len(host_key) > 40
        assert key not in guest.sh("cat /proc/cmdline")
        processes = [*guest.keeper.children(recursive=True), guest.keeper]
        assert {guest.qemu, guest.screen} <= set(processes)
        for process in processes:
            assert key not in " ".join([*process.cmdline(), *process.environ().values()])
            assert "PRIVATE KEY" not in " ".join([*process.cmdline(), *process.environ().values()])
        assert guest.qemu.environ() == {}
        private = [home / variable[4:-4].lower().replace("_", "") for variable in XDG]
        assert guest.directory.is_relative_to(private[0])
        assert files_with(private, key.encode(), host_key, b"PRIVATE KEY") == []
        assert files_with([cache_dir()], key.encode(), host_key) == []
        assert key not in ccvm_tui("ls", "--json").stdout.decode()
        # a killed keeper leaves no secrets behind either
        guest.keeper.kill()
    await eventually(lambda: ccvm_tui("ls").stdout == b"")
    assert files_with([home], key.encode(), host_key) == []
    assert os.environ.get(VARIABLE) is None
