"""A guest fits the machine around it: terminals, time zones, limits; and a full memory disk is only that."""

from __future__ import annotations

import os
import subprocess

import pytest

from ccvm_tui.client import connection
from ccvm_tui.guest import SessionKind
from ccvm_tui.protocol import SessionSpec
from tests.guest.conftest import COMMAND, RealGuest
from tests.terminals import attached, eventually

TERMINALS = (
    "xterm-256color xterm-direct xterm-ghostty ghostty xterm-kitty kitty kitty-direct alacritty alacritty-direct foot "
    "foot-direct wezterm tmux tmux-256color tmux-direct screen-256color rxvt-unicode-256color st-256color "
    "konsole-256color vte-256color gnome-256color iterm2 iterm2-direct contour mlterm rio linux"
)


def test_terminals_in_use_are_known(guest: RealGuest) -> None:
    assert guest.sh(f"for t in {TERMINALS}; do infocmp $t >/dev/null 2>&1 || echo $t; done") == ""
    assert guest.sh("tput -T xterm-ghostty colors; tput -T xterm-ghostty smcup | od -An -c | tr -d ' \\n'") == (
        "256\n033[?1049h"
    )


def test_zones_have_their_old_names_too(guest: RealGuest) -> None:
    assert guest.sh("TZ=US/Pacific date -d @0 '+%F %T'; TZ=:right/UTC date -d @0 +%F") == (
        "1969-12-31 16:00:00\n1970-01-01\n"
    )


def test_programs_may_open_as_many_files_as_the_kernel_allows(guest: RealGuest) -> None:
    assert guest.sh("ulimit -Sn; ulimit -Hn; sudo sh -c 'ulimit -Hn'").split() == ["1024", "1048576", "1048576"]
    opened = guest.sh(
        """python3 -c '
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
print(len([open("/dev/null") for _ in range(20000)]))'"""
    )
    assert opened == "20000\n"


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


# --- a terminal that nobody knows ---------------------------------------------------------------------------------


async def test_a_terminal_that_nobody_knows_is_taken_for_an_xterm(guest: RealGuest) -> None:
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


def test_whoever_has_such_a_terminal_is_told_once(guest: RealGuest) -> None:
    def run() -> str:
        argv = [*COMMAND, "run", "--detach", "--command", "true"]
        environment = {**os.environ, "TERM": "no-such-2"}
        done = subprocess.run(argv, cwd=guest.project, env=environment, capture_output=True, check=True, timeout=60)
        return done.stderr.decode()

    first, second = run(), run()
    assert "terminfo entry for the terminal 'no-such-2'" in first
    assert "no-such" not in second


# --- memory -------------------------------------------------------------------------------------------------------

FILL = """\
cd {place}
before=$(grep -c oom_kill /proc/vmstat; grep '^oom_kill ' /proc/vmstat)
{fill}
sync
[ "$before" = "$(grep -c oom_kill /proc/vmstat; grep '^oom_kill ' /proc/vmstat)" ] && echo nobody was killed
sh -c 'echo a program can start'
rm -rf {place}/full
"""
CONTENTS = "mkdir full; dd if=/dev/zero of=full/file bs=1M 2>&1 | grep -o 'No space left on device'"
SMALL = """python3 -c '
import os
os.mkdir("full")
try:
    for number in range(1 << 30):
        if number % 1000 == 0:
            os.mkdir(f"full/{{number // 1000}}")
        with open(f"full/{{number // 1000}}/{{number}}", "w") as file:
            file.write("x")
except OSError as error:
    print(error.strerror)'"""


@pytest.mark.parametrize(
    ("place", "fill"), [("/home/dev", CONTENTS), ("/tmp", CONTENTS), ("/dev/shm", CONTENTS), ("/tmp", SMALL)],
    ids=["home", "tmp", "shm", "small files"],
)  # fmt: skip
def test_files_in_memory_end_before_memory_does(spare: RealGuest, place: str, fill: str) -> None:
    said = spare.sh(FILL.format(place=place, fill=fill.format()), within=240)
    assert said.splitlines() == ["No space left on device", "nobody was killed", "a program can start"]


async def test_while_they_are_full_a_session_can_be_opened_and_space_made(spare: RealGuest) -> None:
    spare.sh("dd if=/dev/zero of=/tmp/full bs=1M 2>/dev/null || true; head -c 1M /dev/zero >/dev/shm/more || true")
    async with attached(spare.name, spare.open()) as terminal:
        await terminal.until("❯")
        terminal.type("rm /tmp/full /dev/shm/more; echo space$((1+1))here\r")
        await terminal.until("space2here")
    await eventually(lambda: int(spare.sh("df --output=avail -m /tmp | tail -n 1")) > 100)


def test_what_serves_the_guest_is_no_victim_and_what_it_runs_is(spare: RealGuest) -> None:
    assert spare.sh("cat /proc/self/oom_score_adj").strip() == "0"
    served = spare.sh(
        "for p in $(pgrep -f '^/usr/bin/python3 -I -S -B /usr/lib/ccvm') $(pgrep -x sshd-session) $(pgrep -x sshd);"
        "do cat /proc/$p/oom_score_adj; done"
    )
    assert set(served.split()) == {"-1000"}
    assert len(served.split()) >= 3
