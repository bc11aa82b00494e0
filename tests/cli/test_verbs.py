"""The verbs that manage guests, with real keepers that have no virtual machine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ccvm_tui import claim, paths
from ccvm_tui.cli.verbs import ls
from ccvm_tui.client import listing
from ccvm_tui.image import Store, load_recipe
from ccvm_tui.paths import GuestPaths
from tests.cli.conftest import COMMAND, Open, Run, Start
from tests.image.runtimes import publish_runtime
from tests.waiting import wait_until


def wait_for_text(path: Path, text: str) -> None:
    wait_until(lambda: path.exists() and text in path.read_text(), lambda: f"no {text!r} in {path}")


def test_ls_lists_guests_and_sessions(start: Start, ccvm_tui: Run, here: Path) -> None:
    empty = ccvm_tui("ls")
    assert (empty.returncode, empty.stdout) == (0, b"")
    assert json.loads(ccvm_tui("ls", "--json").stdout) == {"guests": []}
    guest = start("cat", "-v")
    shown = ccvm_tui("ls").stdout.decode()
    assert [line.split()[:2] for line in shown.splitlines()] == [["GUEST", "STATE"], [guest, "running"]]
    assert "command cat -v" in shown
    (guest_json,) = json.loads(ccvm_tui("ls", "--json").stdout)["guests"]
    assert list(guest_json) == [*ls.GUEST_FIELDS, "sessions"]
    assert (guest_json["name"], guest_json["project"], guest_json["state"]) == (guest, str(here), "running")
    (session,) = guest_json["sessions"]
    assert list(session) == list(ls.SESSION_FIELDS)
    assert (session["id"], session["argv"], session["size"]) == (
        "s1",
        ["cat", "-v"],
        {"cols": 80, "rows": 24, "width": 0, "height": 0},
    )


def test_ls_prints_no_escape_sequences_of_guests(start: Start, ccvm_tui: Run) -> None:
    start("sh", "-c", "printf '\\033]2;evil\\007'; exec cat", "\x1b[2Jx")
    assert b"\x1b" not in ccvm_tui("ls").stdout


def test_ls_imports_neither_textual_nor_asyncio() -> None:
    script = (
        "import sys; from ccvm_tui.cli import main; main(['ls', '--json'])\n"
        "print([n for n in ('textual', 'asyncio', 'msgspec', 'asyncssh', 'psutil', 'rich') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def start_busy(start: Start, here: Path) -> str:
    """Start a guest whose shell runs ``sleep`` as its job in the foreground, and return its name."""
    guest = start("bash", "-c", "set -m; sleep 1000 & echo $! >job; fg")
    wait_for_text(here / "job", "\n")
    job = psutil.Process(int((here / "job").read_text()))

    def in_foreground() -> bool:
        fields = Path(f"/proc/{job.pid}/stat").read_text().rpartition(")")[2].split()
        return job.name() == "sleep" and fields[5] == str(job.pid)  # the terminal's process group

    wait_until(in_foreground, lambda: "sleep is not in the foreground")
    return guest


def test_an_idle_guest_is_stopped_without_a_question(start: Start, ccvm_tui: Run) -> None:
    guest = start("cat")
    done = ccvm_tui("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", f"stopped {guest}\n".encode())
    assert not GuestPaths(guest).dir.exists()
    again = ccvm_tui("stop")
    assert again.returncode == 3
    assert b"no guest is running" in again.stderr


def test_stop_without_a_terminal_refuses_to_lose_work(start: Start, ccvm_tui: Run, here: Path) -> None:
    guest = start_busy(start, here)
    refused = ccvm_tui("stop", guest)
    assert refused.returncode == 1
    assert b"s1 is running sleep" in refused.stderr
    assert b"--yes" in refused.stderr
    assert claim.alive(GuestPaths(guest).lock)
    assert ccvm_tui("stop", guest, "--yes").returncode == 0


@pytest.mark.parametrize("term", ["dumb", ""])
def test_the_dashboard_refuses_a_terminal_without_a_cursor(
    on_terminal: Open, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    terminal = on_terminal()
    assert terminal.ended() == 1
    assert f"TERM is {term or 'not set'}".encode() in terminal.shown
    assert b"\x1b" not in terminal.shown


def test_stop_asks_for_confirmation_on_a_terminal(start: Start, on_terminal: Open, here: Path) -> None:
    guest = start_busy(start, here)
    no = on_terminal("stop")
    no.until("s1 is running sleep")
    no.until("[y/N]")
    no.type("\r")
    assert no.ended() == 1
    assert claim.alive(GuestPaths(guest).lock)
    yes = on_terminal("stop")
    yes.until("[y/N]")
    yes.type("y\r")
    assert yes.ended() == 0
    assert not claim.alive(GuestPaths(guest).lock)


def test_all_guests_can_be_stopped(start: Start, ccvm_tui: Run) -> None:
    guest = start("cat")
    assert ccvm_tui("stop", "--all", guest).returncode != 0
    assert ccvm_tui("stop", "--all").returncode == 0
    assert listing.names() == []
    assert b"no guest is running" in ccvm_tui("stop", "--all").stderr


def test_stop_with_force_kills_a_keeper_that_hangs(start: Start, ccvm_tui: Run) -> None:
    guest = start("cat")
    keeper = listing.ask_once(guest)["keeper_pid"]
    os.kill(keeper, signal.SIGSTOP)
    try:
        hung = json.loads(ccvm_tui("ls", "--json").stdout)["guests"][0]
        assert (hung["name"], hung["state"]) == (guest, "hung")
        assert ccvm_tui("stop", "--force", guest).returncode == 0
        assert not GuestPaths(guest).dir.exists()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGCONT)


def test_a_guest_is_paused_and_resumed(start: Start, ccvm_tui: Run) -> None:
    guest = start("cat")
    assert ccvm_tui("pause").returncode == 0
    assert listing.ask_once(guest)["state"] == "paused"
    twice = ccvm_tui("pause", guest)
    assert twice.returncode == 1
    assert b"is paused, not running" in twice.stderr
    assert ccvm_tui("resume", guest).returncode == 0
    assert listing.ask_once(guest)["state"] == "running"


def test_logs_are_shown_during_and_after_the_guests_life(start: Start, ccvm_tui: Run) -> None:
    guest = start("cat")
    assert b"session  s1  command started" in ccvm_tui("logs").stdout
    assert ccvm_tui("logs", "--keeper").returncode == 0
    with subprocess.Popen([*COMMAND, "logs", "-f", guest], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert b"started" in following.stdout.readline()
        ccvm_tui("stop", guest)
        _, stderr = following.communicate(timeout=20)
    assert f"{guest} ended on ".encode() in stderr
    for arguments in ((guest,), (guest[:-1],), (), (".",)):  # by name, by prefix, by directory
        after = ccvm_tui("logs", *arguments)
        assert after.returncode == 0
        assert after.stderr.startswith(f"{guest} ended on ".encode())
        assert b": stopped" in after.stderr
    never = ccvm_tui("logs", "never-was")
    assert never.returncode == 3


def test_a_keeper_of_another_version_is_listed_and_stopped(ccvm_tui: Run) -> None:
    """The keeper of this test supports only the greeting, which is common to all versions."""
    guest = GuestPaths("future")
    script = f"""
import json, socket, struct, sys
from pathlib import Path
from ccvm_tui import claim
lock = claim.claim(Path({str(guest.lock)!r}))
listener = socket.socket(socket.AF_UNIX)
listener.bind({str(guest.keeper_socket)!r})
listener.listen()
print("up", flush=True)
def send(sock, value):
    body = json.dumps(value).encode()
    sock.sendall(struct.pack(">I", len(body)) + body)
while True:
    sock, _ = listener.accept()
    asked = json.loads(sock.recv(65536)[4:].split(b"}}")[0] + b"}}")
    send(sock, {{"protocol": 99, "version": "9.9", "guest": {{"name": "future", "state": "running", "new": 1}}}})
    if asked["op"] == "stop":
        sys.exit()
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass
    sock.close()
"""
    keeper = subprocess.Popen([sys.executable, "-P", "-c", script], stdout=subprocess.PIPE)
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"up\n"
        (guest_json,) = json.loads(ccvm_tui("ls", "--json").stdout)["guests"]
        assert (guest_json["name"], guest_json["state"], guest_json["project"]) == ("future", "running", None)
        assert b"future" in ccvm_tui("ls").stdout
        other = ccvm_tui("exec", "future", "--", "true")
        assert other.returncode == 6
        assert b"9.9" in other.stderr
        assert b"ccvm-tui stop future" in other.stderr
        refused = ccvm_tui("stop", "future")
        assert refused.returncode == 1
        assert ccvm_tui("stop", "--yes", "future").returncode == 0
        assert keeper.wait(20) == 0
    finally:
        keeper.kill()
        keeper.wait()
    assert not guest.dir.exists()


def test_gc_removes_dead_guests_old_records_and_interrupted_builds(
    start: Start, ccvm_tui: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here.parent / "cache"))
    images = paths.images_dir()
    building = images / ".building-x"
    building.mkdir(parents=True)
    (building / "rootfs").write_bytes(bytes(4096))
    partial = Store().partial("0123")
    partial.write_bytes(bytes(2048))
    dead = GuestPaths("dead").dir
    dead.mkdir()
    (dead / "console.log").write_bytes(bytes(2048))
    alive = start("cat")
    old = paths.state_dir() / "crashes" / "old.txt"
    old.parent.mkdir(parents=True)
    item = paths.state_dir() / "guard" / "dead" / "1.json"
    item.parent.mkdir(parents=True)
    for file in (old, item):
        file.write_text("x")
        os.utime(file, (0, 0))
    tried = ccvm_tui("gc", "--dry-run").stdout.decode()
    assert f"would remove a dead guest: {dead} (2K)" in tried
    assert dead.exists()
    assert old.exists()
    assert f"would remove the leftovers of interrupted builds: {images} (4K)" in tried
    assert f"would remove an interrupted download: {partial} (2K)" in tried
    with (images / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "interrupted" not in ccvm_tui("gc", "--dry-run").stdout.decode()
    ccvm_tui("gc")
    assert not building.exists()
    assert not partial.exists()
    assert not dead.exists()
    assert not old.exists()
    assert not item.exists()
    assert claim.alive(GuestPaths(alive).lock)
    assert ccvm_tui("gc").stdout == b"nothing to remove\n"


def test_gc_removes_replaced_runtimes_that_are_not_in_use(
    ccvm_tui: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here.parent / "cache"))
    store, recipe = Store(), load_recipe()
    old = publish_runtime(store, recipe)
    new = publish_runtime(store, recipe, b"newer")
    held = old.acquire()
    assert ccvm_tui("gc").stdout == b"nothing to remove\n"
    os.close(held)
    assert f"removed runtime {old.version}: {old.directory}" in ccvm_tui("gc").stdout.decode()
    assert store.runtimes() == [new]
    assert json.loads(ccvm_tui("image", "ls", "--json").stdout)["runtimes"][0]["digest"] == new.digest
    assert ccvm_tui("image", "verify").stdout.decode() == f"{new.digest[:12]} is unchanged since it was built\n"
    assert json.loads(ccvm_tui("version", "--json").stdout)["runtime"] == "10.0.1"
    assert ccvm_tui("gc", "--images").stdout == b"nothing to remove\n"
    assert ccvm_tui("image", "rm", new.digest[:8]).returncode == 0
    assert store.runtimes() == []


def test_a_runtime_that_is_not_used_is_not_updated(ccvm_tui: Run) -> None:
    refused = ccvm_tui("image", "build", "--update")
    assert refused.returncode == 2
    assert b"guests run on the host's QEMU" in refused.stderr


def test_config_shows_values_and_origins(ccvm_tui: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = paths.config_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'# mine\ncores = 2\n[project."{here}"]\nmachine = "q35"\n')
    monkeypatch.setenv("CCVM_MEMORY", "512")
    lines = {line.split()[0]: line for line in ccvm_tui("config").stdout.decode().splitlines()}
    assert lines["cores"].split(maxsplit=2)[1:] == ["2", "user config, line 2"]
    assert lines["machine"].split(maxsplit=2)[1:] == ['"q35"', "project section, line 4"]
    assert lines["memory"].split(maxsplit=2)[1:] == ["512", "variable CCVM_MEMORY"]
    assert lines["accel"].split(maxsplit=2)[1:] == ['"auto"', "default"]
    shown = json.loads(ccvm_tui("config", "--json").stdout)
    assert shown["settings"]["cores"] == {"value": 2, "source": "user config", "variable": None, "line": 2}
    assert ccvm_tui("config", "--file").stdout.decode() == f"{file}\n"
    file.write_text("memroy = 1\n")
    broken = ccvm_tui("config")
    assert broken.returncode == 2
    assert f"{file}:1: unknown key memroy" in broken.stderr.decode()


def test_invalid_arguments_are_reported(ccvm_tui: Run) -> None:
    for arguments in (["lss"], ["run", "--bogus"], ["stop", "--all=1"], ["config", "a", "b"], ["--tour", "ls"]):
        done = ccvm_tui(*arguments)
        assert done.returncode == 2, arguments
        assert b"--help" in done.stderr
        assert done.stdout == b""
    assert ccvm_tui("--help").returncode == 0
    assert ccvm_tui("run", "--help").returncode == 0
    assert ccvm_tui("--version").stdout.startswith(b"ccvm-tui ")


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        ("lss", "ccvm-tui ls"),
        ("image bild", "ccvm-tui image build"),
        ("run --memry=5", "ccvm-tui run --memory"),
        (".", "ccvm-tui run ."),
    ],
)
def test_similar_arguments_are_suggested(ccvm_tui: Run, arguments: str, suggestion: str) -> None:
    done = ccvm_tui(*arguments.split())
    assert done.returncode == 2
    assert f"did you mean `{suggestion}`?" in done.stderr.decode()


def test_run_refuses_invalid_requests(ccvm_tui: Run) -> None:
    cases = {
        ("run", "/", "--detach"): b"home directory",
        ("run", "--memory", "lots", "--detach"): b"--memory must be a positive integer",
        ("run", "--read-only", "--writable", "--detach"): b"exclude each other",
        ("run", "--detach", "--command"): b"--command has no command",
        ("run", "--shell", "--detach", "--", "x"): b"arguments after --",
        ("run", "--name", "a/b", "--detach"): b"not a guest name",
        ("run", "nowhere", "--detach"): b"No such file",
    }
    for arguments, message in cases.items():
        done = ccvm_tui(*arguments)
        assert done.returncode in (1, 2), arguments
        assert message in done.stderr, done.stderr
    assert listing.names() == []


def test_run_opens_a_session_in_the_running_guest(start: Start, ccvm_tui: Run, on_terminal: Open, here: Path) -> None:
    guest = start("cat")
    done = ccvm_tui("run", "--detach", "--command", "sh", "-c", "echo $COLORTERM-$TERM > there; exec cat")
    assert (done.returncode, done.stdout) == (0, f"{guest}/s2\n".encode())
    wait_for_text(here / "there", "xterm-256color")
    refused = ccvm_tui("run", "--detach", "--read-only", "--shell")
    assert refused.returncode == 1
    assert b"is already running, and it can write" in refused.stderr
    terminal = on_terminal("run", "--command", "sh -c 'exit 9'")
    assert terminal.ended() == 9


def test_an_api_key_is_passed_to_the_session_only(
    start: Start, ccvm_tui: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = start("cat")
    secret = "sk-ant-very-secret"
    monkeypatch.setenv("ANTHROPIC_API_KEY", secret)
    ccvm_tui("run", "--detach", "--command", "sh", "-c", "echo $ANTHROPIC_API_KEY > key; exec cat")
    wait_for_text(here / "key", secret)
    (here / "key").unlink()
    keeper = listing.ask_once(guest)["keeper_pid"]
    assert secret.encode() not in Path(f"/proc/{keeper}/environ").read_bytes()
    for file in here.parent.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file


def test_the_traceback_of_an_unexpected_error_is_stored(ccvm_tui: Run) -> None:
    """No code expects a runtime directory that cannot be listed."""
    runtime = paths.runtime_dir()
    (runtime / "guest").mkdir()
    (runtime / "guest" / "lock").symlink_to("lock")
    done = ccvm_tui("ls")
    assert done.returncode == 70
    assert b"unexpected error" in done.stderr
    assert b"Traceback" not in done.stderr
    (report,) = (paths.state_dir() / "crashes").iterdir()
    assert str(report).encode() in done.stderr
    assert "Traceback" in report.read_text()
    (runtime / "guest" / "lock").unlink()


def test_version_prints_all_versions(ccvm_tui: Run) -> None:
    versions = json.loads(ccvm_tui("version", "--json").stdout)
    assert set(versions) == {"ccvm-tui", "protocol", "python", "qemu", "runtime"}


def test_a_socket_that_does_not_answer_is_listed_as_hung(ccvm_tui: Run) -> None:
    """A process that listens but does not answer must not break the listing."""
    strange = GuestPaths("strange")
    lock = claim.claim(strange.lock)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(strange.keeper_socket))
        listener.listen()
        (guest_json,) = json.loads(ccvm_tui("ls", "--json").stdout)["guests"]
        assert guest_json["state"] == "hung"
    os.close(lock)
