"""Attacks of the guest's root on files of the host: nothing outside of the project is read or changed.

The fixture ``untouched``, which all guests here use, compares the user's directory outside of the project, with times.
"""

from __future__ import annotations

import os
import stat

import pytest

from tests.attack.conftest import AttackedGuest, Place
from tests.guest.conftest import ccvm_tui
from tests.share.client import snapshot

pytestmark = [pytest.mark.attack, pytest.mark.unmeasured]

SECRET = "of the host"


def test_the_outside_is_not_there(victim: AttackedGuest, place: Place) -> None:
    found = victim.root(
        'ls -A "$1" "$2" ../outside ../../outside 2>/dev/null || true; cat "$1/secret" 2>&1 || true',
        str(place.outside),
        str(place.root),
    )
    assert SECRET not in found
    assert "program\n" not in found


@pytest.mark.parametrize("target", ["absolute", "../../outside", "../../../../../../../../.."])
def test_a_symbolic_link_leads_to_nothing_of_the_host(victim: AttackedGuest, place: Place, target: str) -> None:
    to = str(place.outside) if target == "absolute" else target
    if target.endswith(".."):
        to += str(place.outside)
    found = victim.root(
        """
        ln -s "$1" leads-out
        trap 'rm -f leads-out' EXIT
        cat leads-out/secret 2>&1 || true
        for name in secret new; do echo evil >leads-out/$name || true; done
        mkdir leads-out/made || true
        rm leads-out/program || true
        chmod 777 leads-out/secret || true
        """,
        to,
    )
    assert SECRET not in found


@pytest.mark.parametrize("path", ["../secret", "../../outside/secret", "../../../etc/passwd"])
def test_dots_end_at_the_root_of_the_project(victim: AttackedGuest, path: str) -> None:
    """The parent of the mounted directory is a directory of the guest."""
    script = """
        exec 9<.
        before=$(cd /proc/self/fd/9/.. && pwd -P)
        echo evil >"$1" || true
        cat "/proc/self/fd/9/$1" 2>/dev/null || true
        """
    assert SECRET not in victim.root(script, path)


def test_a_hard_link_does_not_leave_the_project(victim: AttackedGuest, place: Place) -> None:
    found = victim.root(
        """
        rm -rf "$1"; mkdir -p "$1"
        echo "of the guest" >"$1/secret"
        ! ln "$1/secret" linked 2>/dev/null || echo linked in
        ! ln hello.txt "$1/linked" 2>/dev/null || echo linked out
        rm -rf "$1"
        """,
        str(place.outside),
    )
    assert found == ""
    assert not (victim.project / "linked").exists()


def test_a_rename_does_not_leave_the_project(victim: AttackedGuest) -> None:
    script = """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        open("moved", "w").close()
        for target in (b"../moved", b"../../outside/secret", b"/tmp/moved"):
            for flags in (0, 1, 2):
                if libc.renameat2(-100, b"moved", -100, target, flags) == 0:
                    print("renamed to", target)
        os.unlink("moved")
        """
    assert victim.root('python3 -c "$1"', _dedented(script)) == ""


def _dedented(script: str) -> str:
    import textwrap

    return textwrap.dedent(script)


@pytest.mark.parametrize("race", ["directories", "files", "moves"])
def test_a_race_between_check_and_use_is_lost(victim: AttackedGuest, place: Place, race: str) -> None:
    """The links lead to the same absolute path in the guest, which is another directory there."""
    counts = victim.program("races", race, "2", str(place.outside))
    assert "'written'" in counts or race == "moves", counts
    assert not {"race", "race-link"} & set(os.listdir(victim.project))
    victim.root('rm -rf "$1"', str(place.outside))


def test_file_handles_lead_to_no_other_file(victim: AttackedGuest) -> None:
    """open_by_handle_at(2) with handles that were made up: numbers of nodes and generations."""
    script = """
        import ctypes, os, struct
        libc = ctypes.CDLL(None, use_errno=True)
        mount = os.open(".", os.O_RDONLY)
        for kind in (0x81, 0x82, 1, 2):
            for node in [*range(0, 200), 1 << 32, (1 << 64) - 1]:
                body = struct.pack("<QI", node, 0) + struct.pack("<QI", 1, 0)
                size = 12 if kind in (0x81, 1) else 24
                handle = ctypes.create_string_buffer(struct.pack("<Ii", size, kind) + body[:size])
                fd = libc.syscall(304, mount, handle, os.O_RDONLY)
                if fd < 0:
                    continue
                try:
                    if b"of the host" in os.read(fd, 100):
                        print("read", node)
                except OSError:
                    if {"outside", "projects", "XDG_STATE_HOME"} & set(os.listdir(fd)):
                        print("listed", node)
                os.close(fd)
        """
    assert victim.root('python3 -c "$1"', _dedented(script)) == ""


def test_no_other_file_system_can_be_mounted(victim: AttackedGuest) -> None:
    script = """
        mountpoint=$(mktemp -d)
        for tag in root host / .. home workspace2 hostshare share1 ""; do
            for kind in virtiofs 9p; do
                ! mount -t $kind "$tag" "$mountpoint" 2>/dev/null || ls -A "$mountpoint"
            done
        done
        """
    assert victim.root(script) == ""


MAKE_SET_USER_ID = {
    "chmod": "cp /bin/true made; chmod 6755 made",
    "install": "install -m 6755 /bin/true made",
    "cp": "cp /bin/true /tmp/made; chmod 6755 /tmp/made; cp -p /tmp/made made",
    "tar": "cp /bin/true /tmp/made; chmod 6755 /tmp/made; tar -C /tmp -cf - made | tar -xpf -",
    "mknod": "python3 -c \"import os, stat; os.mknod('made', stat.S_IFREG | 0o6755)\"",
    "open": "python3 -c \"import os; os.umask(0); os.open('made', os.O_CREAT | os.O_WRONLY, 0o6755)\"",
    "rename": "cp /bin/true /tmp/made; chmod 6755 /tmp/made; mv /tmp/made made",
    "directory": "mkdir made; chmod 6777 made",
    "mask": "install -m 6755 /bin/true made; mv made again; mv again made; chmod u+s made",
}


def test_nothing_on_the_host_becomes_a_set_user_id_program(victim: AttackedGuest) -> None:
    ways = [f"mkdir {way}; ( cd {way}; {commands} ) 2>/dev/null" for way, commands in MAKE_SET_USER_ID.items()]
    victim.root("mkdir ways; cd ways\n" + " || true\n".join([*ways, "true"]))
    try:
        made = [path for path in (victim.project / "ways").rglob("*") if path.parent.name != "ways"]
        assert len(made) == len(MAKE_SET_USER_ID)
        for path in made:
            info = path.stat()
            assert not info.st_mode & stat.S_ISUID, path
            assert path.is_dir() or not info.st_mode & stat.S_ISGID, path
            assert info.st_uid == os.getuid()
    finally:
        victim.root("rm -rf ways")


def test_no_device_is_created_on_the_host(victim: AttackedGuest) -> None:
    victim.root(
        """
        for kind in "b 7 0" "c 1 1" "c 10 200"; do ! mknod made $kind 2>/dev/null || exit 1; done
        cp -a /dev/null made 2>/dev/null || true
        mv /dev/null made 2>/dev/null || true
        """
    )
    assert not (victim.project / "made").exists()


ATTRIBUTES = {
    "security.capability": "0100000202000000000000000000000000000000",
    "trusted.overlay.opaque": "79",
    "system.posix_acl_access": "0200000001000600ffffffff04000400ffffffff20000400ffffffff",
    "security.selinux": "41",
}


def test_attributes_with_a_meaning_for_the_host_are_not_stored(victim: AttackedGuest) -> None:
    script = f"""
        import os
        open("made", "w").close()
        for name, value in {ATTRIBUTES}.items():
            try:
                os.setxattr("made", name, bytes.fromhex(value))
            except OSError:
                pass
        """
    try:
        victim.root('python3 -c "$1"', _dedented(script))
        assert os.listxattr(victim.project / "made") == []
    finally:
        victim.root("rm -f made")


def test_no_file_of_the_host_gets_another_owner(victim: AttackedGuest) -> None:
    victim.root("touch made; for owner in 0:0 4242:4242 1:1; do chown $owner made 2>/dev/null || true; done")
    try:
        info = (victim.project / "made").stat()
        assert (info.st_uid, info.st_gid) == (os.getuid(), os.getgid())
    finally:
        victim.root("rm -f made")


def test_flags_of_files_are_not_set_on_the_host(victim: AttackedGuest) -> None:
    """An immutable file could not be deleted by the user."""
    victim.root("touch made; chattr +ia made 2>/dev/null || true; rm -f made")
    assert not (victim.project / "made").exists()


def test_special_files_delay_no_command_of_the_host(victim: AttackedGuest) -> None:
    """A FIFO that is opened for reading would wait for a writer for ever."""
    names = ".git .gitignore .envrc CLAUDE.md .ccvm"
    victim.root(f"rm -rf {names}; for name in {names}; do mkfifo $name 2>/dev/null || true; done")
    try:
        assert stat.S_ISFIFO((victim.project / ".gitignore").stat().st_mode)
        for command in (("guard", "--json", victim.name), ("ls", "--json"), ("diff", victim.name)):
            ccvm_tui(*command, within=30)
        assert victim.info["state"] == "running"
    finally:
        victim.root(f"rm -f {names}")


def test_names_of_every_kind_stay_in_the_project(victim: AttackedGuest, place: Place) -> None:
    """Names that a careless program of the host would take for something else."""
    before = snapshot(os.fsencode(place.outside))
    names = [
        "-rf",
        "--",
        "~",
        "$(touch pwned)",
        "`touch pwned`",
        "a\\nb",
        "\\033[2J",
        ";touch pwned;",
        "*",
        "|",
        "\\377",
    ]
    arguments = " ".join(f"$'./{name}'" for name in names)
    victim.root(f"mkdir names && cd names && touch {arguments} && ls -A | wc -l")
    try:
        assert len(os.listdir(os.fsencode(victim.project / "names"))) == len(names)
        for command in (("guard", victim.name), ("ls",), ("diff", victim.name)):
            ccvm_tui(*command, within=20)
        assert "pwned" not in os.listdir(victim.project)
        assert snapshot(os.fsencode(place.outside)) == before
    finally:
        victim.root("rm -rf names")
