"""The confinement of QEMU, of the file server and of the screen process, tried by processes under it.

A program that is confined like the process tries it, and reports what the kernel answered. The control experiment is the
same program without confinement.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.errors import PrerequisiteError
from ccvm_tui.machine import confine, launch, protection, seccomp
from ccvm_tui.machine.confine import Access, Rule, available
from ccvm_tui.machine.grants import qemu_denied, qemu_limits, qemu_rules
from ccvm_tui.machine.launch import LaunchRequest
from ccvm_tui.machine.seccomp import ARCHITECTURES, NUMBERS, Denied
from ccvm_tui.machine.spec import MachineSpec
from ccvm_tui.share.order import Order

PROBE = """
import ctypes, errno, json, os, platform, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
outside, inside, unix, tcp, udp, parent = json.loads(sys.argv[1])
column = 0 if platform.machine() == "x86_64" else 1

def call(name, *arguments):
    number = numbers[name][column]
    if libc.syscall(ctypes.c_long(number), *arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

def connect(family, kind, address):
    with socket.socket(family, kind) as sock:
        sock.connect(address)
        if kind == socket.SOCK_DGRAM:
            sock.send(b"x")

def forked():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

def thread():
    import _thread
    lock = _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(lock.release, ())
    lock.acquire()

class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

buffer = ctypes.create_string_buffer(1 << 12)
vector = Vector(ctypes.addressof(buffer), 1)

def read_process():
    here, one, none = ctypes.byref(vector), ctypes.c_ulong(1), ctypes.c_ulong(0)
    call("process_vm_readv", parent, here, one, here, one, none)

attempts = {
    "read a file": lambda: open(outside).read(),
    "write a file": lambda: open(outside, "a"),
    "create a file": lambda: open(outside + ".new", "w"),
    "list a directory": lambda: os.listdir("/etc"),
    "write inside": lambda: open(inside, "a"),
    "read inside": lambda: open(inside).read(),
    "inherited pipe": lambda: os.write(1, b""),
    "unix socket": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, unix),
    "tcp": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", tcp)),
    "udp": lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", udp)),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "signal": lambda: os.kill(parent, 0),
    "fork": forked,
    "execute": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "trace": lambda: call("ptrace", 0x4206, parent, 0, 0),
    "memory of a process": read_process,
    "descriptor of a process": lambda: call("pidfd_open", parent, 0),
    "namespace": lambda: call("unshare", 0x10000000),
    "io_uring": lambda: call("io_uring_setup", 1, ctypes.create_string_buffer(256)),
    "key": lambda: call("keyctl", 0, -3, 1),
    "shared memory": lambda: call("shmget", 0, 4096, 0o600),
    "limit": lambda: __import__("resource").setrlimit(7, (1 << 16, 1 << 16)),
    "thread": thread,  # the last, since a process that still has two threads cannot enter a namespace
}
found = {}
for name, attempt in attempts.items():
    try:
        attempt()
        found[name] = "done"
    except OSError as error:
        # EFAULT: nothing is at the address in the other process, which the kernel was ready to read.
        found[name] = "done" if error.errno == errno.EFAULT else errno.errorcode[error.errno]
    except (ValueError, RuntimeError):
        found[name] = "EPERM"  # a limit above the hard limit, a thread above the limit
status = dict(line.rstrip().split(":\\t", 1) for line in lines)
print(json.dumps([found, status]))
"""
"""Tries everything. ``ptrace`` is called with PTRACE_SEIZE, which does not stop this process.
``numbers`` has the numbers of system calls, and ``lines`` those of its status in ``/proc``."""

Report = tuple[dict[str, str], dict[str, str]]


class Surroundings:
    """The targets of the probe: files, sockets, and this process. It inherits an open file, its own status."""

    def __init__(self, directory: Path) -> None:
        self.outside = directory / "outside"
        self.inside = directory / "inside"
        self.inside.mkdir()
        for file in (self.outside, self.inside / "file"):
            file.write_text("content")
        self.unix, self.tcp = socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix.bind(str(directory / "s"))
        self.unix.listen()

    @property
    def argument(self) -> str:
        """The probe's argument."""
        ports = self.tcp.getsockname()[1], self.udp.getsockname()[1]
        return json.dumps([str(self.outside), str(self.inside / "file"), self.unix.getsockname(), *ports, os.getpid()])

    def close(self) -> None:
        for sock in (self.unix, self.tcp, self.udp):
            sock.close()


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    surroundings = Surroundings(tmp_path)
    yield surroundings
    surroundings.close()


def numbers() -> str:
    merged = {name: pair for group in NUMBERS.values() for name, pair in group.items()}
    return f"numbers = {merged!r}\n"


def probed(around: Surroundings, setup: str) -> Report:
    """Run the probe in a Python process after ``setup``, which confines it."""
    preparation = "import encodings.idna, resource\nlines = None\n" + numbers()
    status = "lines = open('/proc/self/status')\n"  # opened before the process is confined, and read afterwards
    program = preparation + status + textwrap.dedent(setup) + PROBE
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program, around.argument], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    found, kernel = json.loads(ended.stdout)
    return found, kernel


REFUSED = {"EPERM", "EACCES", "ENOSYS", "EAGAIN"}

KERNEL = {
    "trace",
    "memory of a process",
    "descriptor of a process",
    "namespace",
    "io_uring",
    "key",
    "shared memory",
}
SOCKETS = {"unix socket", "tcp", "udp", "listen", "netlink"}
PROGRAMS = {"fork", "execute", "signal"}
FILES = {"read a file", "write a file", "create a file", "list a directory"}


def refused(report: Report) -> set[str]:
    found, _ = report
    assert not {name: answer for name, answer in found.items() if answer not in {"done", *REFUSED}}
    return {name for name, answer in found.items() if answer != "done"}


def require_landlock() -> None:
    support = available()
    assert support.scopes, f"this test needs Linux 6.12 or newer: {support}"


def test_without_confinement_almost_everything_succeeds(around: Surroundings) -> None:
    """The control experiment. What the host itself forbids or lacks is not compared."""
    assert not refused(probed(around, "")) - {"limit", "trace", "memory of a process", "io_uring", "namespace"}


def test_the_screen_process_can_do_nothing_but_use_what_is_open(around: Surroundings) -> None:
    require_landlock()
    report = probed(
        around,
        """
        from ccvm_tui.screen.__main__ import prepare, restrict
        import os
        prepare(os.getppid())
        restrict()
        """,
    )
    inside = {"write inside", "read inside"}
    assert refused(report) == KERNEL | SOCKETS | PROGRAMS | FILES | inside | {"limit", "thread"}
    assert report[1]["CapPrm"] == report[1]["CapBnd"] == "0" * 16
    assert (report[1]["NoNewPrivs"], report[1]["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("read_only", [False, True])
def test_the_file_server_uses_its_directories_and_nothing_else(around: Surroundings, read_only: bool) -> None:
    require_landlock()
    edits = around.inside.parent / "edits"
    edits.mkdir()
    order = Order(os.getpid(), str(around.inside), -1, -1, edits=str(edits) if read_only else "")
    report = probed(
        around,
        f"""
        from ccvm_tui.share.__main__ import restrict
        from ccvm_tui.share.order import Order
        restrict(Order.decode({order.encode()!r}))
        """,
    )
    written = {"write inside"} if read_only else set()
    assert refused(report) - {"limit"} == KERNEL | SOCKETS | PROGRAMS | FILES | written
    assert (report[1]["NoNewPrivs"], report[1]["Seccomp"]) == ("1", "2")


def launched_as_qemu(around: Surroundings, spec: MachineSpec) -> Report:
    """Run the probe as the launcher runs QEMU, except that Python may read its own files."""
    python = Path(sys.executable).resolve()
    program = "import os\nlines = []\n" + numbers() + PROBE
    rules = (
        *qemu_rules(spec, python),
        Rule(python, Access.EXECUTE),
        Rule(around.inside / "file", Access.READ),
        *(Rule(Path(path), Access.READ) for path in sys.path if path),
    )
    request = LaunchRequest(
        parent=os.getpid(),
        program=str(python),
        argv=(str(python), "-I", "-S", "-c", program, around.argument),
        rules=rules,
        connect_tcp=spec.network == "user",
        denied=qemu_denied(spec),
        limits=tuple(qemu_limits(spec).items()),
        isolated=spec.network == "none",
    )
    ended = subprocess.run(
        launch.command(request), env=launch.environment(), capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert ended.returncode == 0, ended.stderr
    found, kernel = json.loads(ended.stdout)
    return found, kernel


def test_qemu_without_a_network_card_has_no_socket_of_its_own(around: Surroundings) -> None:
    require_landlock()
    report = launched_as_qemu(around, MachineSpec(kernel=None, network="none"))
    # QEMU's own filter, which is not part of this test, denies processes and programs.
    assert refused(report) == KERNEL | SOCKETS | FILES | {"write inside", "signal", "execute", "limit"}


def test_qemu_with_the_user_network_can_connect_and_not_listen(around: Surroundings) -> None:
    require_landlock()
    found, _ = launched_as_qemu(around, MachineSpec(kernel=None, network="user"))
    assert (found["tcp"], found["udp"]) == ("done", "done")
    assert found["listen"] in REFUSED
    assert {found[name] for name in KERNEL} <= REFUSED


def test_the_numbers_of_system_calls_are_those_of_libseccomp() -> None:
    library = ctypes.CDLL("libseccomp.so.2")  # QEMU depends on it
    for column, architecture in enumerate(ARCHITECTURES.values()):
        for group in NUMBERS.values():
            for name, pair in group.items():
                number = library.seccomp_syscall_resolve_name_arch(architecture, name.encode())
                assert pair[column] == max(number, -1), (name, architecture)


def test_every_program_of_the_filter_is_valid_for_both_architectures() -> None:
    for architecture in ARCHITECTURES:
        for denied in ((), (Denied.KERNEL,), seccomp.ALL):
            code = seccomp.program(denied, architecture)
            assert code[-1][0] == 0x06  # every path ends with a return
            for position, (operation, yes, no, _) in enumerate(code):
                if operation & 0x07 == 0x05:
                    assert position + 1 + max(yes, no) < len(code)


def run_without(calls: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process in which the system calls ``calls`` do not exist (a dictionary of numbers)."""
    setup = (
        "import errno, os\n"
        "from ccvm_tui.machine import confine, seccomp\n"
        f"refused = {calls}\n"
        "confine.no_new_privileges()\n"
        "code = [(0x20, 0, 0, 0)]\n"
        "for number in refused:\n"
        "    code += [(0x15, 0, 1, number), (6, 0, 0, 0x50000 | errno.ENOSYS)]\n"
        "seccomp.install([*code, (6, 0, 0, 0x7fff0000)])\n"
    )
    return subprocess.run([sys.executable, "-P", "-c", setup + program], capture_output=True, text=True, timeout=60)


NO_LANDLOCK = "(444, 445, 446)"
"""landlock_create_ruleset and the others, whose numbers are the same on all architectures."""


def test_a_kernel_without_landlock_is_reported_as_a_gap() -> None:
    ended = run_without(
        NO_LANDLOCK,
        "from ccvm_tui.machine import protection\nprint(protection.check(landlock=True, filters=True, required=False))",
    )
    assert "can access all your files" in ended.stdout


def test_a_guest_is_refused_without_landlock_if_confinement_is_required() -> None:
    ended = run_without(
        NO_LANDLOCK,
        "from ccvm_tui.machine import protection\nprotection.check(landlock=True, filters=True, required=True)",
    )
    assert "PrerequisiteError: the guest would not be confined" in ended.stderr


def test_settings_that_switch_confinement_off_are_gaps() -> None:
    assert protection.check(landlock=True, filters=True, required=True) == ()
    for landlock, filters, setting in ((False, True, "confine"), (True, False, "seccomp")):
        (gap,) = protection.check(landlock=landlock, filters=filters, required=False)
        assert f"`{setting}` is false" in gap
        with pytest.raises(PrerequisiteError, match=setting):
            protection.check(landlock=landlock, filters=filters, required=True)


def test_root_starts_only_confined_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert protection.check(landlock=True, filters=True, required=False) == ()
    with pytest.raises(PrerequisiteError, match="would not be confined"):
        protection.check(landlock=False, filters=True, required=False)


def test_support_is_listed_by_what_is_restricted() -> None:
    assert str(confine.LandlockSupport(5, files=True, tcp=True, scopes=False)) == "files,devices,tcp"
    assert str(confine.LandlockSupport(0, files=False, tcp=False, scopes=False, reason="none")) == ""
