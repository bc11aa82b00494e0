"""Problems of the host when a real guest starts: full disks, missing directories, unusual paths."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ccvm_tui.client import listing
from tests.guest.conftest import BOOT_WITHIN, ccvm_tui, start
from tests.terminals import attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

AWKWARD = 'it\'s "a" project, with=all,, «kinds» of ünïcödé 文字 $HOME *;&|<>(){}[]\\ %s ~#!? ,readonly=on'


@pytest.mark.usefixtures("image")
async def test_any_path_can_be_a_project_on_a_system_without_runtime_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU's options, the guest's mount and the shells in between all have different special characters."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    project = home / AWKWARD / "sub,dir"
    project.mkdir(parents=True)
    (project / "read me.txt").write_text("from the host\n")
    guest = start(project)
    directory = guest.directory
    try:
        assert directory.parent in (Path(f"/run/user/{os.getuid()}/ccvm"), Path(f"/tmp/ccvm-{os.getuid()}"))
        for place in (directory, directory.parent):
            assert place.stat().st_mode & 0o777 == 0o700
            assert place.stat().st_uid == os.getuid()
        assert guest.sh("pwd") == f"{project}\n"
        assert guest.sh("cat 'read me.txt'; echo from the guest > 'made, here'") == "from the host\n"
        assert (project / "made, here").read_text() == "from the guest\n"
        assert guest.name in ccvm_tui("ls").stdout.decode()
        async with attached(guest.name, "s1", cols=200) as terminal:
            await terminal.until("❯")
            terminal.type("pwd > 'from a shell'; exit\r")
            assert (await terminal.ended()).status == 0
        assert (project / "from a shell").read_text() == f"{project}\n"
        await eventually(lambda: not directory.exists())  # the guest ends with its last session
    finally:
        if directory.exists():
            listing.stop_any(guest.name, force=True)
    assert guest.name not in listing.names()


FULL = """
import json, os, subprocess
from pathlib import Path
from tests.guest.conftest import ccvm_tui, start

runtime = Path(os.environ["XDG_RUNTIME_DIR"])
project = Path(os.environ["PROJECT"])
project.mkdir()

def fresh(size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700," + size, "none", runtime], check=True)
    (runtime / "ccvm").mkdir(mode=0o700)

def fill():
    try:
        with open(runtime / "filler", "ab", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    except OSError:
        pass

results = {}
fresh("nr_inodes=2")
refused = ccvm_tui("run", "--detach", "--shell", str(project))
results["without a directory"] = [refused.returncode, refused.stderr.decode()]
fresh("size=64k")
fill()
guest = start(project)
results["exec"] = guest.sh("echo line | sudo tee /dev/console; echo well")
results["session"] = guest.open()
results["logs"] = [file.stat().st_size for file in guest.directory.iterdir()]
results["listed"] = guest.name in ccvm_tui("ls").stdout.decode()
results["stopped"] = ccvm_tui("stop", "--yes", guest.name).returncode
results["left"] = len(list((runtime / "ccvm").iterdir()))
print(json.dumps(results))
"""


@pytest.mark.usefixtures("image")
def test_a_guest_survives_a_full_runtime_directory_but_its_logs_are_lost(home: Path) -> None:
    """The runtime directory is a tmpfs of a few pages, in a separate mount namespace."""
    result = subprocess.run(
        ["unshare", "--user", "--map-current-user", "--mount", "--keep-caps", sys.executable, "-P", "-c", FULL],
        capture_output=True,
        timeout=2 * BOOT_WITHIN,
        env={**os.environ, "PROJECT": str(home / "project"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert result.returncode == 0, result.stderr.decode()
    results = json.loads(result.stdout.splitlines()[-1])
    status, stderr = results.pop("without a directory")
    assert status == 1
    assert "No space left on device" in stderr
    assert sum(results.pop("logs")) == 0
    assert results == {"exec": "line\nwell\n", "session": "s2", "listed": True, "stopped": 0, "left": 0}
