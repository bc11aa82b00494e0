"""A guest's terminals, time zones and limits, and the behaviour of its full file system in memory."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from ccvm_tui.client import connection
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import Resize, SessionSpec
from tests.guest.conftest import COMMAND, RealGuest
from tests.leftovers import MESS, leftovers, state_of
from tests.terminals import Terminal, attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

TERMINALS = (
    "xterm-256color xterm-direct xterm-ghostty ghostty xterm-kitty kitty kitty-direct alacritty alacritty-direct foot "
    "foot-direct wezterm tmux tmux-256color tmux-direct screen-256color rxvt-unicode-256color st-256color "
    "konsole-256color vte-256color gnome-256color iterm2 iterm2-direct contour mlterm rio linux"
)


def test_common_terminals_are_known(guest: RealGuest) -> None:
    assert (
        guest.sh(f"""python3 -c '
import curses, sys
for name in sys.argv[1:]:
    try:
        curses.setupterm(name)
    except curses.error as error:
        print(name, error)' {TERMINALS}""")
        == ""
    )
    assert guest.sh("tput -T xterm-ghostty colors; tput -T xterm-ghostty smcup | od -An -c | tr -d ' \\n'") == (
        "256\n033[?1049h"
    )


def test_time_zones_have_their_old_names_too(guest: RealGuest) -> None:
    assert guest.sh("TZ=US/Pacific date -d @0 '+%F %T'; TZ=:right/UTC date -d @0 +%F") == (
        "1969-12-31 16:00:00\n1970-01-01\n"
    )


def test_programs_can_raise_their_limit_of_open_files_to_the_kernels(guest: RealGuest) -> None:
    assert guest.sh("ulimit -Sn; ulimit -Hn; sudo sh -c 'ulimit -Hn'").split() == ["1024", "1048576", "1048576"]
    opened = guest.sh(
        """python3 -c '
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
print(len([open("/dev/null") for _ in range(5000)]))'"""
    )
    assert opened == "5000\n"


def test_directories_of_the_image_can_be_renamed(guest: RealGuest) -> None:
    renamed = guest.sh(
        """sudo python3 -c '
import os
os.rename("/usr/share/zsh", "/usr/share/renamed")
print(os.path.exists("/usr/share/zsh"), len(os.listdir("/usr/share/renamed")) > 0)
os.mkdir("/usr/share/zsh")
print(os.listdir("/usr/share/zsh"))
os.rmdir("/usr/share/zsh")
os.rename("/usr/share/renamed", "/usr/share/zsh")'
ls /usr/share/zsh | head -n 1"""
    )
    assert renamed.splitlines()[:2] == ["False True", "[]"]
    assert len(renamed.splitlines()) == 3


# --- unknown terminals --------------------------------------------------------------------------------------------


async def test_an_unknown_terminal_is_treated_as_an_xterm(guest: RealGuest) -> None:
    spec = SessionSpec(SessionKind.COMMAND, ("sh", "-c", "echo it is $TERM; tput colors; sleep 1000"), term="no-such-1")
    async with await connection.connect(guest.name) as keeper:
        session = (await keeper.start_session(spec)).id
        warnings = (await keeper.info()).warnings
    async with attached(guest.name, session) as terminal:
        await terminal.until("it is xterm-256color")
        await terminal.until("256")
        terminal.type("\x03")
        await terminal.ended()
    assert any("'no-such-1'" in warning and "xterm-256color" in warning for warning in warnings)


def test_the_warning_about_an_unknown_terminal_is_printed_once(guest: RealGuest) -> None:
    def run() -> str:
        argv = [*COMMAND, "run", "--detach", "--command", "true"]
        environment = {**os.environ, "TERM": "no-such-2"}
        done = subprocess.run(argv, cwd=guest.project, env=environment, capture_output=True, check=True, timeout=60)
        return done.stderr.decode()

    first, second = run(), run()
    assert "terminfo entry for the terminal 'no-such-2'" in first
    assert "no-such" not in second


# --- the pty, and the state that programs leave behind -----------------------------------------------------------


BRACKETED_PASTE = 2004
"""The mode that the shell sets whenever it waits for a line."""


async def test_the_pty_has_the_pixels_of_the_terminal(guest: RealGuest) -> None:
    print_size = "python3 -c 'import fcntl, struct, termios; print(struct.unpack(\"4H\", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))))'"
    stream = await connection.attach(guest.name, "s1", TermSize(90, 25, 810, 525))
    terminal = Terminal(stream, TermSize(90, 25))
    running = asyncio.ensure_future(terminal.run())
    try:
        await terminal.until("❯")
        terminal.type(f"clear; {print_size}\r")
        await terminal.until("(25, 90, 810, 525)")
        stream.send(Resize(TermSize(90, 25, 900, 600)))
        terminal.type(f"clear; {print_size}\r")
        await terminal.until("(25, 90, 900, 600)")
    finally:
        running.cancel()
        await stream.close()


async def test_a_shell_resets_the_terminal_after_a_killed_program(guest: RealGuest) -> None:
    session = guest.open()
    async with attached(guest.name, session) as terminal:
        await terminal.until("❯")
        terminal.type("clear; echo a be''ginning\r")
        await terminal.until(lambda: "a beginning" in terminal.text and terminal.emulator.mode(BRACKETED_PASTE))
        before = state_of(terminal.emulator)
        (guest.project / "mess.sh").write_text(f"{MESS}\nhead -n 1 >/dev/null\nkill -9 $$\n")
        terminal.type("sh mess.sh\r")
        await terminal.until("MESSY")
        assert len(leftovers(terminal.emulator)) > 20
        terminal.type("\r")
        await terminal.until(lambda: "137" in terminal.text and terminal.emulator.mode(BRACKETED_PASTE))
        left = {name: value for name, value in state_of(terminal.emulator).items() if value != before[name]}
        # these would need DECSTR; only programs written for one kind of terminal set them
        assert set(left) <= {"mode 6", "mode 66", "mode 1007", "mode 1036", "mode 1039", "mode 1049"}
        terminal.type("exit\r")
        await terminal.ended()


# --- memory -------------------------------------------------------------------------------------------------------

FILL = """\
cd {place}
before=$(grep -c oom_kill /proc/vmstat; grep '^oom_kill ' /proc/vmstat)
mkdir full; dd if=/dev/zero of=full/file bs=1M 2>&1 | grep -o 'No space left on device'
sync
[ "$before" = "$(grep -c oom_kill /proc/vmstat; grep '^oom_kill ' /proc/vmstat)" ] && echo no program was killed
sh -c 'echo a program can start'
rm -rf {place}/full
"""


@pytest.mark.parametrize("place", ["/home/dev", "/tmp", "/dev/shm"])
def test_a_file_system_is_full_before_the_memory_is(spare: RealGuest, place: str) -> None:
    output = spare.sh(FILL.format(place=place), within=120)
    assert output.splitlines() == ["No space left on device", "no program was killed", "a program can start"]


def test_the_maximum_number_of_small_files_leaves_memory_for_programs(spare: RealGuest) -> None:
    """A file takes 1.3 KiB of kernel memory in addition to its contents, measured with 100,000 files."""
    total, contents, files = map(int, spare.sh(
        "awk '/^MemTotal/ { print $2 }' /proc/meminfo; df -k --output=size,itotal /tmp | tail -n 1"
    ).split())  # fmt: skip
    assert files > 50_000
    assert contents + 1.3 * files < 0.8 * total
    # all directories that programs write to share this limit
    places = "/ /home/dev /dev/shm /var/tmp"
    assert (
        len(set(spare.sh(f"touch /tmp/one; df --output=size,used,itotal,iused {places} | tail -n +2").splitlines()))
        == 1
    )
    rest = spare.sh("df -k --output=size /run /dev | tail -n +2")
    assert sum(map(int, rest.split())) < 0.2 * total


async def test_a_session_can_be_opened_to_delete_files_while_the_file_system_is_full(spare: RealGuest) -> None:
    spare.sh("dd if=/dev/zero of=/tmp/full bs=1M 2>/dev/null || true; head -c 1M /dev/zero >/dev/shm/more || true")
    async with attached(spare.name, spare.open()) as terminal:
        await terminal.until("❯")
        terminal.type("rm /tmp/full /dev/shm/more; echo space$((1+1))here\r")
        await terminal.until("space2here")
    await eventually(lambda: int(spare.sh("df --output=avail -m /tmp | tail -n 1")) > 100)


def test_the_oom_killer_spares_the_guests_services_but_not_its_programs(spare: RealGuest) -> None:
    assert spare.sh("cat /proc/self/oom_score_adj").strip() == "0"
    served = spare.sh(
        "for p in $(pgrep -f '^/usr/bin/python3 -I -S -B /usr/lib/ccvm') $(pgrep -x sshd-session) $(pgrep -x sshd);"
        "do cat /proc/$p/oom_score_adj; done"
    )
    assert set(served.split()) == {"-1000"}
    assert len(served.split()) >= 3
