"""Hostile text of a guest, and of a project's author: commands of the host print none of its control characters."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from ccvm_tui.errors import UserError
from ccvm_tui.project import directory
from tests.attack.conftest import HOSTILE_NAME, AttackedGuest, Place
from tests.guest.conftest import COMMAND, ccvm_tui
from tests.waiting import wait_until

PLANT = r"""
import os, socket, subprocess, sys
evil = "\x1b]0;evil\x07\x1b[2J\x9b31m\u202egnp.exe\r\tb\x7f\u200b"
soft = "\u202egnp.exe\u2066\u200b\u2028b"
os.makedirs(".git/objects", exist_ok=True); os.makedirs(".git/refs", exist_ok=True); os.makedirs(".git/hooks", exist_ok=True)
try:
    open(".git/HEAD", "w").write("ref: refs/heads/main\n")
    for name in (evil, "-rf", "\udcff"):
        open(".git/hooks/" + name.replace("/", ""), "w").write(evil)
except OSError:
    pass
os.makedirs("d" + evil.replace("/", ""), exist_ok=True)
open("d" + evil.replace("/", "") + "/.envrc", "w").write(evil)
for head in ("CONNECT %s:443 HTTP/1.1\r\n\r\n", "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n"):
    for host in (evil, "xn--\u202e.example", "evil\u2028.example", "a" * 5000):
        with socket.create_connection(("127.0.0.1", 3128), timeout=20) as s:
            s.sendall((head % host).encode("utf-8", "replace"))
            s.recv(100)
name = evil.encode()
with socket.create_connection(("127.0.0.1", 3128), timeout=20) as s:
    s.sendall(b"\5\1\0"); s.recv(2)
    s.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + b"\1\xbb"); s.recv(20)
with open("/run/ccvm/notify", "w") as pipe:
    pipe.write("waiting s1 " + evil.replace("\n", "") + "\n")
    pipe.write("open s1 https://evil.example/" + evil.replace("\n", "") + "\n")
with open("/dev/kmsg", "w") as log:
    log.write("<0>" + evil)
for number in os.listdir("/dev/pts"):
    if number.isdigit():
        with open("/dev/pts/" + number, "w") as terminal:
            terminal.write("\x1b]9;" + soft + "\x07\x1b]777;notify;" + soft + ";" + soft + "\x07")
            terminal.write("\x1b]7;file://h/tmp/%1b]0;x%07\x07" + "\x1b]0;" + evil + "\x07\x1b]0;title " + soft + "\x07")
print("planted")
"""

COMMANDS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "ls": lambda _: ("ls",),
    "ls --json": lambda _: ("ls", "--json"),
    "logs": lambda guest: ("logs", guest),
    "logs --console": lambda guest: ("logs", "--console", guest),
    "logs --qemu": lambda guest: ("logs", "--qemu", guest),
    "logs --keeper": lambda guest: ("logs", "--keeper", guest),
    "guard": lambda guest: ("guard", guest),
    "guard --json": lambda guest: ("guard", "--json", guest),
    "guard --show": lambda guest: ("guard", "--show", "1", guest),
    "egress": lambda guest: ("egress", guest),
    "egress --json": lambda guest: ("egress", "--json", guest),
    "diff": lambda guest: ("diff", guest),
    "forward": lambda guest: ("forward", guest),
    "open": lambda guest: ("open", guest),
}


def harmful(text: str, *, own: str = "") -> list[str]:
    """Return the characters of a text that could change the screen, except those in ``own``."""
    return [
        hex(ord(character))
        for character in text
        if character not in own and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    ]


def on_a_terminal(*argv: str) -> bytes:
    """Return what a command prints on a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    process = subprocess.Popen([*COMMAND, *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    printed = b""
    try:
        while piece := os.read(ours, 1 << 16):
            printed += piece
    except OSError:  # the last descriptor of the other end was closed
        pass
    os.close(ours)
    process.wait(30)
    return printed


@pytest.fixture
def spoken(second: AttackedGuest, place: Place) -> AttackedGuest:
    """The guest after it has said hostile things wherever it can. It says them once."""
    if not place.spoken:
        assert second.run("sudo", "python3", "-c", PLANT).stdout == b"planted\n"
        wait_until(lambda: "gnp.exe" in second.info["sessions"][0]["title"])
        place.spoken = True
    return second


@pytest.mark.attack
@pytest.mark.unmeasured
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_control_characters_of_a_guest(spoken: AttackedGuest, command: str) -> None:
    printed = on_a_terminal(*COMMANDS[command](spoken.name)).decode("utf-8", "surrogateescape")
    assert harmful(printed, own="\r\n") == [], printed


@pytest.mark.attack
@pytest.mark.unmeasured
def test_the_json_of_hostile_text_is_valid(spoken: AttackedGuest) -> None:
    (guest,) = (one for one in json.loads(ccvm_tui("ls", "--json").stdout)["guests"] if one["name"] == spoken.name)
    assert "gnp.exe" in guest["sessions"][0]["title"]
    for line in ccvm_tui("egress", "--json", spoken.name).stdout.splitlines():
        json.loads(line)
    items = json.loads(ccvm_tui("guard", "--json", spoken.name).stdout)["items"]
    assert [item for item in items if "gnp.exe" in item["path"]]


# --- what the author of a project determines


@pytest.mark.attack
@pytest.mark.unmeasured
def test_the_name_of_a_directory_changes_no_option_and_runs_no_command(victim: AttackedGuest, place: Place) -> None:
    assert victim.project.name == HOSTILE_NAME
    assert not [argument for argument in victim.qemu.cmdline() if "file=secret" in argument]
    assert victim.root("pwd").rstrip("\n").endswith(HOSTILE_NAME)
    assert victim.run("bash", "-lc", "pwd").stdout.decode().rstrip("\n").endswith(HOSTILE_NAME)
    assert not list(place.root.glob("**/pwned"))
    assert victim.root("ls -A . / ~ | grep -c pwned || true") == "0\n"


@pytest.mark.attack
@pytest.mark.parametrize(
    "name", [b"a\nb", b"\x1b[2J", b"\x7f", b"caf\xe9", b"\xc2\x9b31m", b"a\rb", b"x" * 255],
    ids=["newline", "sequence", "delete", "no UTF-8", "C1", "return", "long"],
)  # fmt: skip
def test_a_directory_with_a_hostile_name_is_refused_or_has_a_harmless_name(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.mkdir()
    try:
        name_of_guest = directory.resolve(path).name
    except UserError as error:
        refusal = error
    else:
        assert re.fullmatch(r"[a-z0-9-]{1,63}", name_of_guest)
        return
    assert harmful(f"{refusal.message} {refusal.hint}") == []
