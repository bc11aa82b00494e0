"""The project's directory in a guest: its file system semantics, and its coherence with the host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.guest import share_programs
from tests.guest.conftest import COMMAND, RealGuest, Starter
from tests.waiting import wait_until


@pytest.fixture(params=["writable", "read-only"])
def either(request: pytest.FixtureRequest) -> RealGuest:
    """A guest with a writable project, then one with a read-only project."""
    guest: RealGuest = request.getfixturevalue("shared" if request.param == "writable" else "read_only")
    return guest


def python(guest: RealGuest, script: str, folder: str = ".", within: float = 60) -> str:
    """Run a Python program in ``folder`` of the project in the guest, and return its output."""
    result = guest.run("sh", "-c", 'cd "$0" && exec python3 -', folder, data=script.encode(), within=within)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


class Running:
    """A program in the guest whose lines are read as it prints them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def until(self, wanted: str) -> list[str]:
        """Return the lines up to and including the line ``wanted``."""
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1] == wanted:
                return lines

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def running(guest: RealGuest, *argv: str) -> Iterator[Running]:
    """Run a program in the guest during the test, and end it afterwards."""
    command = [*COMMAND, "exec", guest.name, "--", *argv]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.send_signal(signal.SIGTERM)


# --- file system semantics --------------------------------------------------------------------------------------


def test_appended_data_is_not_damaged(either: RealGuest) -> None:
    python(either, share_programs.APPEND)


def test_files_without_a_name_support_all_operations(either: RealGuest) -> None:
    python(either, share_programs.UNNAMED)


def test_a_mapping_reflects_writes_through_another_descriptor(either: RealGuest) -> None:
    python(either, share_programs.MAPPED)


def test_sockets_fifos_and_links_can_be_created(either: RealGuest) -> None:
    python(
        either,
        "import os, socket, stat\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen()\n"
        "c = socket.socket(socket.AF_UNIX); c.connect('sock')\n"
        "os.mkfifo('fifo'); assert stat.S_ISFIFO(os.stat('fifo').st_mode)\n"
        "open('a', 'w').write('x'); os.link('a', 'b'); assert os.stat('b').st_nlink == 2\n"
        "os.symlink('a', 'l'); assert os.readlink('l') == 'a'\n"
        "for name in ('sock', 'fifo', 'a', 'b', 'l'): os.unlink(name)\n",
    )


def test_many_files_can_be_open_at_once(shared: RealGuest) -> None:
    script = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
        "files = [open(f'f{i}', 'w') for i in range(1100)]; print(len(files))"
    )
    assert python(shared, script).split() == ["1100"]


def test_local_directories_stay_in_the_guest(own_guest: Starter, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCVM_LOCAL_DIRS", "node_modules, web/node_modules")
    (home / "project" / "node_modules").mkdir(parents=True)
    (home / "project" / "node_modules" / "hosts").write_text("x")
    guest = own_guest()
    assert guest.sh("ls node_modules; echo y > node_modules/guests; echo y > web/node_modules/deep; ls node_modules")
    assert sorted(path.name for path in (home / "project" / "node_modules").iterdir()) == ["hosts"]
    assert list((home / "project" / "web" / "node_modules").iterdir()) == []
    (home / "project" / "node_modules" / "later").write_text("x")
    (home / "project" / "marker").write_text("x")
    wait_until(lambda: "marker" in guest.sh("ls"))
    assert guest.sh("ls node_modules").split() == ["guests"]
    assert guest.info["local_dirs"] == ["node_modules", "web/node_modules"]


# --- changes on the host ------------------------------------------------------------------------------------------


def test_changes_on_the_host_are_visible_in_an_open_file(either: RealGuest) -> None:
    project = either.project / "held"
    project.mkdir()
    for name in ("inplace", "renamed", "grown"):
        (project / name).write_text("aaaa\n")
    script = (
        "import sys\n"
        "files = {n: open('held/' + n) for n in ('inplace', 'renamed', 'grown')}\n"
        "for f in files.values(): f.read()\n"
        "print('held', flush=True)\n"
        "for line in sys.stdin:\n"
        "  for f in files.values(): f.seek(0)\n"
        "  print(files['inplace'].read().strip(), files['renamed'].read().strip(), files['grown'].read().strip(),\n"
        "        open('held/renamed').read().strip(), flush=True)\n"
    )
    with running(either, "python3", "-c", script) as reader:
        reader.until("held")
        (project / "inplace").write_text("bbbb\n")
        (project / "new").write_text("bbbb\n")
        (project / "new").rename(project / "renamed")
        (project / "grown").write_text("bbbb and more\n")
        expected = "bbbb aaaa bbbb and more bbbb"

        def is_visible() -> bool:
            reader.send("again")
            return reader.line() == expected

        wait_until(is_visible, within=5)


@pytest.mark.parametrize("name", [".", "touched"])
def test_directory_times_set_on_the_host_are_visible(shared: RealGuest, name: str) -> None:
    directory = shared.project / name
    directory.mkdir(exist_ok=True)
    look = f"stat -c %Y {name}"
    shared.sh(look)
    os.utime(directory, (1, 1))
    wait_until(lambda: shared.sh(look).strip() == "1", within=5)


def test_a_tree_removed_on_the_host_disappears_at_once(either: RealGuest) -> None:
    folder = either.project / "removed"
    for number in range(1000):
        path = folder / f"tree/d{number % 20}/f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a")
    assert either.sh("find removed -type f | wc -l").strip() == "1000"
    shutil.rmtree(folder / "tree")
    (folder / "after").write_text("")
    wait_until(lambda: either.sh("ls removed").split() == ["after"], within=10)


def test_inotify_reports_changes_on_the_host(either: RealGuest) -> None:
    watched = either.project / "watched"
    watched.mkdir()
    (watched / "edited").write_text("1\n")
    (watched / "gone").write_text("1\n")
    (watched / "old").write_text("1\n")
    with running(either, "python3", "-c", share_programs.WATCH) as watcher:
        watcher.until("watching")
        with (watched / "edited").open("a") as file:
            file.write("2\n")
        assert "0x2 edited" in watcher.until("0x8 edited")
        (watched / "created").write_text("x\n")
        watcher.until("0x100 created")
        (watched / "gone").unlink()
        watcher.until("0x200 gone")
        (watched / "old").rename(watched / "moved")
        assert "0x40 old" in watcher.until("0x80 moved")
        (watched / "directory").mkdir()
        watcher.until("0x100 directory")


def test_a_killed_helper_is_started_again(shared: RealGuest) -> None:
    (shared.project / "watched").mkdir()
    (shared.project / "watched" / "f").write_text("1\n")
    assert shared.sh("cat watched/f") == "1\n"
    with running(shared, "python3", "-c", share_programs.WATCH) as watcher:
        watcher.until("watching")
        shared.sh("sudo sh -c 'kill -9 $(cat /run/ccvm/refresh.pid)'")
        (shared.project / "watched" / "f").write_text("22\n")
        watcher.until("0x8 f")
        assert shared.sh("cat watched/f") == "22\n"


def test_changes_in_the_guest_cause_each_event_once(shared: RealGuest) -> None:
    (shared.project / "watched").mkdir()
    with running(shared, "python3", "-c", share_programs.WATCH) as watcher:
        watcher.until("watching")
        shared.sh("cd watched; echo 1 > f; mv f g; rm g; mkdir d; rmdir d; echo > end; rm end")
        assert watcher.until("0x200 end") == [
            "0x100 f", "0x2 f", "0x8 f", "0x40 f", "0x80 g", "0x200 g", "0x100 d", "0x200 d",
            "0x100 end", "0x2 end", "0x8 end", "0x200 end",
        ]  # fmt: skip


def test_changes_on_the_host_are_visible_in_a_read_only_project(read_only: RealGuest) -> None:
    project = read_only.project / "stale"
    (project / "d").mkdir(parents=True)
    for name, text in (("same", "aaaa"), ("longer", "short"), ("renamed", "old"), ("d/one", "1")):
        (project / name).write_text(text + "\n")
    read_only.sh("cd stale; cat same longer renamed d/one; ls d; test ! -e later; test ! -e d/two")
    (project / "same").write_text("bbbb\n")
    (project / "longer").write_text("a good deal longer\n")
    (project / ".tmp").write_text("new\n")
    (project / ".tmp").rename(project / "renamed")
    (project / "later").write_text("here\n")
    (project / "d" / "two").write_text("2\n")
    (project / "d" / "one").unlink()
    expected = "bbbb\na good deal longer\nnew\nhere\ntwo\n"
    wait_until(
        lambda: read_only.run("sh", "-c", "cd stale; cat same longer renamed later; ls d").stdout.decode() == expected
    )


def test_lines_that_the_guest_writes_are_immediately_visible_on_the_host(shared: RealGuest) -> None:
    log = shared.project / "log"

    def logged(line: str) -> bool:
        return log.exists() and line in log.read_text()

    with running(
        shared, "python3", "-uc", "f = open('log', 'w', 1)\nfor l in iter(input, ''): f.write(l + '\\n')"
    ) as writer:
        for number in range(3):
            writer.send(f"line {number}")
            wait_until(partial(logged, f"line {number}"))


# --- read-only ----------------------------------------------------------------------------------------------------


@pytest.mark.attack
def test_edits_of_a_read_only_project_do_not_change_the_host(read_only: RealGuest) -> None:
    project = read_only.project / "edits"
    (project / "src" / "deep").mkdir(parents=True)
    (project / "src" / "deep" / "f").write_text("host\n")
    (project / "kept").write_text("host\n")
    os.utime(project / "kept", (1, 1))
    before = {path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in project.rglob("*")}
    read_only.sh(
        "cd edits; git init -q; git add .; git -c user.name=a -c user.email=a@b.invalid commit -qm 1;"
        "git mv src source; echo guest >> source/deep/f; mv source/deep other; chmod 600 kept; touch kept;"
        'ln kept again; echo more >> again; test "$(cat kept)" = "$(printf \'host\\nmore\')"; rm -r other source; mkdir src; ls -A'
    )
    after = {path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in project.rglob("*")}
    assert after == before
    assert (project / "src" / "deep" / "f").read_text() == "host\n"


def test_a_directory_of_a_read_only_project_can_be_renamed(read_only: RealGuest) -> None:
    (read_only.project / "r" / "src" / "deep").mkdir(parents=True)
    (read_only.project / "r" / "src" / "deep" / "f").write_text("x\n")
    python(read_only, "import os; os.rename('src', 'other'); assert open('other/deep/f').read() == 'x\\n'", "r")
    (read_only.project / "r" / "src" / "deep" / "f").write_text("host's\n")
    wait_until(lambda: read_only.sh("cat r/other/deep/f") == "host's\n")


def test_hard_links_survive_a_tree_that_the_host_removes(shared: RealGuest) -> None:
    """A local clone shares its objects with the original. Its names are the last ones that the guest has seen."""
    (shared.project / "original").mkdir()
    (shared.project / "original/file").write_text("content\n" * 100)
    git = "git -C original -c user.name=a -c user.email=a@b.invalid"
    shared.sh(f"git init -q original; {git} add .; {git} commit -qm 1; {git} gc -q")
    for number in range(2):
        shared.sh(f"git clone -q original clone{number} && git -C clone{number} fsck --strict")
        shutil.rmtree(shared.project / f"clone{number}")
        shared.sh("git -C original fsck --strict && git -C original status --porcelain")
    wait_until(lambda: "1" in shared.sh("stat -c %h original/.git/objects/pack/*.pack"), within=10)


# --- both sides ---------------------------------------------------------------------------------------------------


def test_a_git_index_written_by_one_side_is_valid_on_the_other(shared: RealGuest) -> None:
    project = shared.project
    for number in range(200):
        (project / str(number)).write_text(f"{number}\n")
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "1"]):
        subprocess.run([*git, *args], check=True)
    shared.sh("git status --porcelain")
    assert shared.sh("git diff-files --name-only") == ""
    assert subprocess.run([*git, "diff-files", "--name-only"], capture_output=True, check=True).stdout == b""
    host = (project / "7").stat()
    inside = shared.sh("stat -c '%i %y' 7").split()
    assert int(inside[0]) == host.st_ino
    assert inside[2].partition(".")[2] == f"{host.st_mtime_ns % 10**9:09d}"


def test_flock_holds_on_both_sides(shared: RealGuest) -> None:
    lock = shared.project / "lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert shared.run("flock", "-n", "lock", "true").returncode == 1
    assert shared.run("flock", "-n", "lock", "true").returncode == 0
    with running(shared, "flock", "lock", "sh", "-c", "echo held; read line") as holder:
        holder.until("held")
        with lock.open("w") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.send("go")
    wait_until(lambda: shared.run("flock", "-n", "lock", "true").returncode == 0)


def test_a_program_that_waits_for_a_lock_of_the_host_can_be_killed(shared: RealGuest) -> None:
    with (shared.project / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        shared.sh("timeout -s KILL 1 flock lock true || test $? = 137", within=30)


def test_record_locks_hold_on_both_sides(shared: RealGuest) -> None:
    (shared.project / "file").write_bytes(bytes(100))
    hold = "import fcntl, os; f = open('file', 'r+'); fcntl.lockf(f, fcntl.LOCK_EX, 10, 5); print('held', flush=True); input()"
    with running(shared, "python3", "-c", hold) as holder:
        holder.until("held")
        with (shared.project / "file").open("r+") as file:
            with pytest.raises(BlockingIOError):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 14)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 15)
            try_it = "import fcntl; f = open('file', 'r+'); fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, {})"
            assert shared.run("python3", "-c", try_it.format(15)).returncode != 0
            assert shared.run("python3", "-c", try_it.format(10)).returncode != 0
            assert shared.run("python3", "-c", try_it.format(20)).returncode == 0
        holder.send("go")


def test_a_read_lock_ends_when_its_process_closes_the_file(shared: RealGuest) -> None:
    python(shared, share_programs.READ_LOCKS)


@pytest.mark.parametrize("connection", ["kept", "each"])
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_both_sides_can_write_to_one_sqlite_database(shared: RealGuest, mode: str, connection: str) -> None:
    database = shared.project / "db"
    rows = 40
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute(f"pragma journal_mode={mode}")
        db.execute("create table t(side, i)")
        db.commit()
    (shared.project / "writer.py").write_text(share_programs.WRITER)
    with running(shared, "python3", "writer.py", "guest", connection, str(rows)) as guests:
        args = ["writer.py", "host", connection, str(rows)]
        subprocess.run([sys.executable, *args], cwd=shared.project, check=True, timeout=120)
        assert guests.process.wait(120) == 0
    with contextlib.closing(sqlite3.connect(database)) as db:
        assert db.execute("select side, count(*) from t group by side order by side").fetchall() == [
            ("guest", rows), ("host", rows),
        ]  # fmt: skip
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
