"""Measure the project's directory in a guest, and compare it with the host's disk and optionally an earlier version.

./dev bench files                                 the whole measurement; takes long if guests are emulated
python bench/files.py --files 10000 --rounds 1 --old ../checkout-of-another-version --json out.json
python bench/files.py --files 10000 --unguarded    the column "old" is this version with ``guard = "off"``

All rows are measured in one run, alternating between the places. Times are measured where the programs run. "cold"
means that the guest has dropped its caches. The host keeps its caches, which only root could drop, so its column has no
such rows. If ripgrep is not installed, ``grep -r`` is used instead, and the output says so. "processor time" is that of
QEMU and the file server for a group of figures. On a busy machine it is more reliable than the elapsed time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(globals().get("__file__", "")).resolve()  # no file if the program is read from standard input
PER_DIRECTORY = 40
MEGABYTE = 1 << 20


# --- the measurements: this part also runs in the guest, without other packages --------------------------------------


def run(*args: str, directory: str | Path = ".") -> None:
    """Run a program whose output is discarded. Raises CalledProcessError if it fails."""
    subprocess.run(args, cwd=directory, check=True, stdout=subprocess.DEVNULL)


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that ``function`` takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def search_command() -> list[str]:
    """Return the arguments of a search for a text that does not occur."""
    return ["rg", "-c", "no such word", "."] if shutil.which("rg") else ["grep", "-rc", "no such word", "."]


def searched(directory: str) -> None:
    """Search for a text that does not occur. The status for no match is not an error."""
    subprocess.run(search_command(), cwd=directory, stdout=subprocess.DEVNULL, check=False)


WALKS: dict[str, Callable[[str], None]] = {
    "git status": lambda tree: run("git", "status", "--porcelain", directory=tree),
    "rg": searched,
    "find": lambda tree: run("find", ".", "-size", "+1M", directory=tree),
}


def drop_caches() -> None:
    """Write back and drop the caches of the kernel on which this runs."""
    run("sudo", "sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches")


def walk(name: str, tree: str, inside: bool) -> dict[str, float]:
    """Measure the walk ``name`` of a tree: warm, and cold if this runs in a guest."""
    figures = {}
    WALKS[name](tree)  # the first run updates git's index for this place
    if inside:
        drop_caches()
        figures["cold"] = timed(lambda: WALKS[name](tree))
    figures["warm"] = statistics.median(timed(lambda: WALKS[name](tree)) for _ in range(3))
    return figures


def clone(tree: str, place: str) -> dict[str, float]:
    """Measure a clone of the repository ``tree``."""
    return {"": timed(lambda: run("git", "clone", "-q", tree, f"{place}/clone"))}


def create(count: int, place: str) -> dict[str, float]:
    """Create files as npm does: nested directories, and for each file open, write, chmod and close."""

    def unpack() -> None:
        for number in range(count):
            package, part = divmod(number, PER_DIRECTORY)
            directory = f"{place}/node_modules/@scope{package % 10}/package{package}/lib/{part % 4}"
            if part < 4:
                os.makedirs(directory)
            fd = os.open(f"{directory}/file{part}.js", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            os.write(fd, b"x" * (200 + 37 * part))
            os.fchmod(fd, 0o644)
            os.close(fd)

    return {"": timed(unpack)}


def sequential(megabytes: int, place: str, inside: bool) -> dict[str, float]:
    """Measure writing, reading and copying a file of ``megabytes`` MiB."""
    block = random.Random(0).randbytes(MEGABYTE)
    path = f"{place}/large"

    def write() -> None:
        with open(path, "wb", buffering=0) as file:
            for _ in range(megabytes):
                file.write(block)

    def read() -> None:
        buffer = bytearray(MEGABYTE)
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    figures = {"write": timed(write)}
    if inside:
        drop_caches()
        figures["read, cold"] = timed(read)
    else:
        figures["read, warm"] = timed(read)
    figures["cp"] = timed(lambda: run("cp", path, f"{path}.copy"))
    os.unlink(f"{path}.copy")
    os.unlink(path)
    return figures


def transactions(count: int, place: str) -> dict[str, float]:
    """Measure ``count`` transactions of SQLite in each journal mode."""
    figures = {}
    for mode in ("delete", "wal"):
        base = sqlite3.connect(f"{place}/{mode}.db", isolation_level=None)
        base.execute(f"PRAGMA journal_mode = {mode}")
        base.execute("CREATE TABLE t (number INTEGER PRIMARY KEY, text)")

        def insert(base: sqlite3.Connection = base) -> None:
            for number in range(count):
                base.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 100))

        figures[f"journal {mode}"] = timed(insert)
        base.close()
    return figures


COMPILER = r"""
my ($out, $in) = @ARGV; my $all = "";
for my $file ($in, map { "include/$_.h" } 1..20) { open(my $f, "<", $file) or die; local $/; $all .= <$f>; }
$all =~ s/([a-z]+)/uc $1/ge;
open(my $o, ">", "$out.new") or die; print $o $all; close $o; rename("$out.new", $out) or die;
"""


def build(units: int, place: str) -> dict[str, float]:
    """Run a build with perl as the compiler: many short processes, common headers, renamed results."""
    base = Path(place, "build")
    (base / "include").mkdir(parents=True)
    for number in range(1, 21):
        (base / f"include/{number}.h").write_text(f"int header_{number}(void);\n" * 50)
    for number in range(units):
        (base / f"unit{number}.c").write_text(f"int f{number}(void) {{ return {number}; }}\n" * 30)
    (base / "cc.pl").write_text(COMPILER)
    names = " ".join(f"unit{number}.o" for number in range(units))
    (base / "Makefile").write_text(f"all: {names}\n%.o: %.c\n\t@perl cc.pl $@ $<\n")
    first = timed(lambda: run("make", "-s", "-j2", directory=base))
    return {"": first, "nothing to do": timed(lambda: run("make", "-s", directory=base))}


def measure(args: list[str], *, inside: bool) -> dict[str, float]:
    """Measure one group of figures. ``args`` are its name, its size or tree, and a directory for new files."""
    name, subject, place = args
    if name in WALKS:
        return walk(name, subject, inside)
    if name == "git clone":
        return clone(subject, place)
    if name == "create":
        return create(int(subject), place)
    if name == "sequential":
        return sequential(int(subject), place, inside)
    if name == "sqlite":
        return transactions(int(subject), place)
    return build(int(subject), place)


# --- the places -----------------------------------------------------------------------------------------------------


def make_tree(directory: Path, count: int) -> None:
    """Create a repository of ``count`` files of 0.2 to 4 KB, in directories like those of source code."""
    chance = random.Random(1)
    text = "".join(chance.choice(["return ", "value ", "if (x) ", "\n", "list.append "]) for _ in range(2000))
    for number in range(count):
        where = number // PER_DIRECTORY
        parent = directory / f"d{where % 25}" / f"sub{where}"
        if number % PER_DIRECTORY == 0:
            parent.mkdir(parents=True)
        (parent / f"file{number}.txt").write_text(text[: chance.randrange(200, 4000)])
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=b", "-c", "user.email=b@b.invalid", "commit", "-qm1"],
                    ["gc", "-q"]):  # fmt: skip
        run("git", *command, directory=directory)


class Host:
    """The host."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def measure(self, *args: str) -> dict[str, float]:
        """Measure one group of figures; see the function ``measure``."""
        return self._parsed([sys.executable, "-"], args, ())

    def _parsed(self, command: list[str], args: tuple[str, ...], more: tuple[str, ...]) -> dict[str, float]:
        with HERE.open() as script:
            done = subprocess.run(
                [*command, "--inside", *args, *more], stdin=script, check=True, stdout=subprocess.PIPE, text=True,
                env=self.environment(), cwd="/",
            )  # fmt: skip
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands that measure here."""
        return dict(os.environ)


class Guest(Host):
    """A guest of the version in ``checkout``, with a separate state directory and the setting ``guard``."""

    def __init__(self, project: Path, checkout: Path, state: Path, memory: int, guard: str) -> None:
        super().__init__(project)
        self._checkout, self._state, self._guard = checkout, state, guard
        run_args = ("run", "--detach", "--shell", "--linger", "--memory", str(memory), str(project))
        self._name = self._ccvm_tui(*run_args).partition("/")[0]

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands that measure here."""
        state = str(self._state)
        return {
            **os.environ, "PYTHONPATH": str(self._checkout), "XDG_RUNTIME_DIR": state, "XDG_STATE_HOME": state,
            "CCVM_GUARD": self._guard,
        }  # fmt: skip

    def _ccvm_tui(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ccvm_tui", *args], check=True, stdout=subprocess.PIPE,
            text=True, env=self.environment(),
        )  # fmt: skip
        return done.stdout.strip()

    def measure(self, *args: str) -> dict[str, float]:
        """Measure one group of figures; see the function ``measure``."""
        command = [sys.executable, "-P", "-m", "ccvm_tui", "exec", self._name, "--", "python3", "-"]
        before = self._processor_time()
        figures = self._parsed(command, args, ("--guest",))
        return {**figures, "processor time": self._processor_time() - before}

    def _processor_time(self) -> float:
        """Return the processor time of QEMU and the file server, the children of the keeper with our state directory."""
        import psutil

        total = 0.0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("XDG_RUNTIME_DIR") == str(self._state):
                    for child in process.children():
                        if "qemu" in " ".join(child.cmdline()) or "ccvm_tui.share" in " ".join(child.cmdline()):
                            times = child.cpu_times()
                            total += times.user + times.system
        return total

    def stop(self) -> None:
        """Stop the guest."""
        self._ccvm_tui("stop", "--force", self._name)


@contextlib.contextmanager
def places(options: argparse.Namespace, base: Path) -> Iterator[dict[str, Host]]:
    """Yield the host and the guests, each with its own project that contains the same trees."""
    versions = {"share": HERE.parent.parent} | ({"old": options.old.resolve()} if options.old else {})
    if options.unguarded:
        versions["old"] = HERE.parent.parent
    projects = {name: base / name for name in ("host", *versions)}
    trees = base / "host"
    for count in options.files:
        make_tree(trees / str(count), count)
    for name in versions:
        shutil.copytree(trees, projects[name], symlinks=True)
        for count in options.files:
            run("git", "status", directory=projects[name] / str(count))
    found: dict[str, Host] = {"host": Host(trees)}
    with contextlib.ExitStack() as stack:
        for name, checkout in versions.items():
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ccvm-b", ignore_cleanup_errors=True)))
            guard = "off" if name == "old" and options.unguarded else "block"
            guest = Guest(projects[name], checkout, state, options.memory, guard)
            stack.callback(guest.stop)
            found[name] = guest
        yield found


def groups(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the name and the subject of each group of figures. The subject is a size, or a tree's number of files."""
    for count in options.files:
        yield from ((name, str(count)) for name in WALKS)
    yield "git clone", str(options.files[0])
    yield "create", str(options.create)
    yield "sequential", str(options.megabytes)
    yield "sqlite", str(options.transactions)
    yield "build", str(options.units)


Table = dict[str, dict[str, list[float]]]


def measure_all(options: argparse.Namespace, found: dict[str, Host]) -> Table:
    """Measure all groups in all places, and return the seconds by row and place, one value a round."""
    table: Table = {}
    for number in range(options.rounds):
        for name, subject in groups(options):
            if options.only and options.only not in name:
                continue
            for place, host in found.items():
                scratch = host.project / f"scratch{number}-{name.replace(' ', '-')}"
                scratch.mkdir()
                about = str(host.project / subject) if name in WALKS or name == "git clone" else subject
                for figure, value in host.measure(name, about, str(scratch)).items():
                    row = " ".join(f"{name} {subject} {figure}".split())
                    table.setdefault(row, {}).setdefault(place, []).append(value)
                    print(f"{row}: {place} {value:.3f} s", file=sys.stderr, flush=True)
                shutil.rmtree(scratch)
    return table


def print_table(table: Table, names: list[str]) -> None:
    """Print the medians as a table in Markdown, with ratios."""
    head = [*(f"{name} s" for name in names), *(["old/share"] if "old" in names else []), "share/host"]
    print("| | " + " | ".join(head) + " |")
    print("|---|" + "---:|" * len(head))
    for row, values in table.items():
        medians = {name: statistics.median(values[name]) for name in names if name in values}
        cells = [f"{medians[name]:.3f}" if name in medians else "" for name in names]
        if "old" in names:
            cells.append(_ratio(medians, "old", "share"))
        cells.append(_ratio(medians, "share", "host"))
        print(f"| {row} | " + " | ".join(cells) + " |")


def _ratio(medians: dict[str, float], one: str, other: str) -> str:
    return f"{medians[one] / medians[other]:.2f}" if one in medians and other in medians else ""


def main() -> None:
    """Measure, or, with ``--inside``, run one group of figures for another process of this program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[10_000, 85_000])
    parser.add_argument("--create", type=int, default=20_000)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--transactions", type=int, default=500)
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory", type=int, default=2048, help="of each guest, in MiB")
    parser.add_argument(
        "--old", type=Path, metavar="CHECKOUT", help="another version to measure alternately with this one"
    )
    parser.add_argument("--unguarded", action="store_true", help="as the other version, measure this one without guard")
    parser.add_argument("--only", metavar="WORD", help="only the groups of figures whose names contain this word")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--guest", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(measure(options.inside, inside=options.guest)))
        return
    # not in /tmp, which may be in memory
    with (
        tempfile.TemporaryDirectory(prefix="ccvm-bench", dir="/var/tmp", ignore_cleanup_errors=True) as directory,
        places(options, Path(directory)) as found,
    ):
        names = list(found)
        table = measure_all(options, found)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, {options.rounds} rounds; medians")
    if not shutil.which("rg"):
        print("The host has no ripgrep: its column for rg contains the times of grep -r.")
    print_table(table, names)
    if options.json:
        Path(options.json).write_text(json.dumps(table))


if __name__ == "__main__":
    main()
