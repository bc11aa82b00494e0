"""``setup`` finds what is missing, asks, runs the commands of the package manager, and provides the image.

The package manager and sudo are scripts on PATH that log their arguments. All other programs are those of the host.
"""

from __future__ import annotations

import base64
import json
import re
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ccvm_tui.cli.verbs import setup
from ccvm_tui.cli.verbs.setup import Step
from ccvm_tui.image import Store, load_recipe
from ccvm_tui.image.export import export
from ccvm_tui.machine.check import Check, Remedy
from ccvm_tui.machine.diagnostics import kvm_remedy
from ccvm_tui.machine.status import Status
from ccvm_tui.requirements import APT, DNF, MMDEBSTRAP, PACMAN, QEMU, SQUASHFS, ZYPPER, PackageManager
from tests.cli.conftest import Open, Run
from tests.image.test_store import publish
from tests.waiting import wait_until

INSTALL = "apt-get install --no-install-recommends --yes squashfs-tools"

APT_GET = """#!/bin/sh
echo "apt-get $*" >>"$LOG"
case $1 in install) ln -s "$MKSQUASHFS" "$PROGRAMS/mksquashfs" ;; esac
"""


class Host:
    """A host whose PATH is a directory of its own, without mksquashfs."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs = directory / "programs"
        self.log = directory / "log"
        self.programs.mkdir()
        for folder in map(Path, ("/usr/local/bin", "/usr/bin", "/bin")):
            for program in folder.iterdir():
                if not (self.programs / program.name).exists():
                    (self.programs / program.name).symlink_to(program)
        mksquashfs = (self.programs / "mksquashfs").resolve()
        for name in ("mksquashfs", "sudo", "apt-get"):
            self.remove(name)
        self.add("sudo", '#!/bin/sh\necho sudo >>"$LOG"\nexec "$@"\n')
        self.add("usermod", '#!/bin/sh\necho "usermod" >>"$LOG"\n')
        self.add("apt-get", APT_GET)
        for name, value in (("LOG", self.log), ("PROGRAMS", self.programs), ("MKSQUASHFS", mksquashfs)):
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("PATH", str(self.programs))
        monkeypatch.setenv("XDG_CACHE_HOME", str(directory / "cache"))

    def add(self, name: str, script: str) -> None:
        self.remove(name)
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def remove(self, name: str) -> None:
        (self.programs / name).unlink(missing_ok=True)

    @property
    def ran(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith("apt-get")]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Path) -> Host:  # noqa: ARG001 - the working directory
    return Host(tmp_path, monkeypatch)


def test_a_dry_run_prints_the_commands_and_runs_none(host: Host, ccvm_tui: Run) -> None:
    done = ccvm_tui("setup", "--dry-run")
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert lines[:2] == ["sudo apt-get update", f"sudo {INSTALL}"]
    assert lines[-1] == "ccvm-tui image build"
    assert not host.log.exists()
    assert b"ccvm-tui image build" not in ccvm_tui("setup", "--dry-run", "--no-image").stdout


def test_doctor_mentions_setup_only_if_it_can_solve_something(
    host: Host, ccvm_tui: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = ccvm_tui("doctor")
    assert missing.returncode == 1
    assert b"\n`ccvm-tui setup` offers to install" in missing.stdout
    monkeypatch.setenv("PATH", f"{host.programs}:/usr/bin:/bin")
    nothing = ccvm_tui("setup", "--dry-run", "--no-image").stdout
    assert (b"`ccvm-tui setup`" in ccvm_tui("doctor").stdout) == (nothing != b"")


def test_doctor_reports_an_image_url_without_a_key(ccvm_tui: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCVM_IMAGE_URL", "https://example.org/{version}.index.json")
    checks = {check["name"]: check for check in json.loads(ccvm_tui("doctor", "--json").stdout)["checks"]}
    assert checks["settings"]["status"] == "fail"
    assert "image_key" in checks["settings"]["detail"]


def test_everything_is_installed_without_a_question_if_that_was_requested(host: Host, ccvm_tui: Run) -> None:
    done = ccvm_tui("setup", "--yes", "--no-image")
    assert host.ran == ["apt-get update", INSTALL]
    assert done.stdout == b""
    text = done.stderr.decode()
    assert f"install mksquashfs\n    sudo apt-get update\n    sudo {INSTALL}\n" in text
    assert text.endswith("\nThis machine can run guests.\n"), text
    assert done.returncode == 0
    host.log.unlink()
    assert ccvm_tui("setup", "--yes", "--no-image").returncode == 0
    assert host.ran == []


def test_nothing_is_changed_without_a_terminal_to_ask_on(host: Host, ccvm_tui: Run) -> None:
    done = ccvm_tui("setup")
    assert done.returncode == 1
    assert b"--yes" in done.stderr
    assert b"--dry-run" in done.stderr
    assert not host.log.exists()


def answer(open_terminal: Open, first: str) -> tuple[int, str]:
    """Give the ``first`` answer to the first question of ``setup``, and refuse all others.

    Return the status and all that was shown.
    """
    terminal = open_terminal("setup", "--no-image")
    terminal.until("Run this? [Y/n] ")
    terminal.type(f"{first}\r" + "n\r" * 5)
    return terminal.ended(), terminal.shown.decode()


def test_a_refused_step_is_not_run_and_reported_again(host: Host, on_terminal: Open) -> None:
    status, shown = answer(on_terminal, "n")
    assert status == 1
    assert host.ran == []
    assert re.search(r"what is left:.*mksquashfs +not installed.*→ `sudo apt-get install", shown, re.DOTALL)
    assert shown.endswith("This machine cannot run guests yet.\r\n")


def test_a_confirmed_step_is_run(host: Host, on_terminal: Open) -> None:
    status, shown = answer(on_terminal, "")
    assert host.ran == ["apt-get update", INSTALL]
    assert status == 0, shown


def test_ctrl_c_at_the_question_runs_nothing(host: Host, on_terminal: Open) -> None:
    terminal = on_terminal("setup")
    terminal.until("Run this? [Y/n] ")
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert host.ran == []
    assert terminal.attributes == terminal.before


def test_after_ctrl_c_the_package_manager_ends_in_its_own_time(host: Host, on_terminal: Open) -> None:
    host.add(
        "apt-get",
        '#!/bin/sh\ntrap "interrupted=1" INT\necho "apt-get started" >>"$LOG"\n'
        'while [ -z "$interrupted" ]; do sleep 0.05; done\nsleep 0.5\necho "apt-get has cleaned up" >>"$LOG"\nexit 130\n',
    )
    terminal = on_terminal("setup", "--yes")
    wait_until(lambda: host.ran)
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert host.ran == ["apt-get started", "apt-get has cleaned up"]


def test_a_package_manager_that_fails_is_reported(host: Host, ccvm_tui: Run) -> None:
    host.add("apt-get", '#!/bin/sh\necho "apt-get $*" >>"$LOG"\nexit 100\n')
    done = ccvm_tui("setup", "--yes", "--no-image")
    assert done.returncode == 1
    assert host.ran == ["apt-get update"]
    assert b"`sudo apt-get update` has failed with status 100" in done.stderr
    assert re.search(rb"mksquashfs +not installed", done.stderr)


def test_without_sudo_the_commands_are_for_root(host: Host, ccvm_tui: Run) -> None:
    host.remove("sudo")
    done = ccvm_tui("setup", "--yes", "--no-image")
    assert done.returncode == 1
    assert b"sudo is not installed: run this as root" in done.stderr
    assert INSTALL.encode() in done.stderr
    assert host.ran == []


def test_the_image_is_downloaded_if_that_is_configured(
    host: Host, ccvm_tui: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Ed25519PrivateKey.generate()
    index = export(publish(Store(tmp_path / "source"), load_recipe()), None, tmp_path / "published")
    Path(f"{index}.sig").write_bytes(key.sign(index.read_bytes()))
    monkeypatch.setenv("CCVM_IMAGE_URL", index.as_uri())
    monkeypatch.setenv("CCVM_IMAGE_KEY", base64.b64encode(key.public_key().public_bytes_raw()).decode())
    monkeypatch.setenv("CCVM_AGENT", "none")
    host.remove("mmdebstrap")
    done = ccvm_tui("setup", "--yes")
    assert done.returncode == 0, done.stderr
    assert b"download it from file:///" in done.stderr
    assert len(Store().list()) == 1
    assert host.ran == ["apt-get update", INSTALL]
    assert b"image build" not in ccvm_tui("setup", "--dry-run").stdout


def test_what_no_command_solves_is_reported(host: Host, ccvm_tui: Run) -> None:
    """Without permission to create user namespaces, no command of ``setup`` helps."""
    host.add("unshare", '#!/bin/sh\necho "not today" >&2\nexit 1\n')
    done = ccvm_tui("setup", "--dry-run")
    assert done.returncode == 0
    assert re.search(rb"user namespaces +not allowed: not today\n +\xe2\x86\x92 allow them: `sudo sysctl", done.stderr)
    assert b"mksquashfs" not in done.stderr
    assert b"the guest image cannot be built: user namespaces are not allowed: not today" in done.stderr
    assert b"image build" not in done.stdout
    assert host.ran == []


def test_an_image_that_cannot_be_built_is_not_offered(host: Host, ccvm_tui: Run) -> None:
    host.remove("mmdebstrap")
    host.add("apt-get", "#!/bin/sh\nexit 100\n")
    done = ccvm_tui("setup", "--yes")
    assert done.returncode == 1
    assert b"the guest image cannot be built without mmdebstrap and mksquashfs" in done.stderr
    assert Store().list() == []


# --- the plan, for other distributions --------------------------------------------------------------------------------

MISSING = [
    Check("qemu", Status.FAIL, "not installed", "", Remedy((QEMU,))),
    Check("mmdebstrap", Status.FAIL, "not installed", "", Remedy((MMDEBSTRAP,))),
    Check("mksquashfs", Status.FAIL, "not installed", "", Remedy((SQUASHFS,))),
    Check("kvm", Status.WARN, "not accessible", "", Remedy(command=("usermod", "x"), afterwards="log in again")),
    Check("landlock", Status.WARN, "is off", "boot with it"),
]


@pytest.mark.parametrize(
    ("manager", "commands"),
    [
        (APT, ["apt-get update", f"apt-get install --no-install-recommends --yes {QEMU.packages['apt']} mmdebstrap squashfs-tools"]),
        (DNF, [f"dnf install --assumeyes {QEMU.packages['dnf']} mmdebstrap squashfs-tools"]),
        (PACMAN, [f"pacman -S --needed --noconfirm {QEMU.packages['pacman']} squashfs-tools"]),
        (ZYPPER, [f"zypper install --no-confirm {QEMU.packages['zypper']} squashfs"]),
    ],
)  # fmt: skip
def test_the_packages_of_each_distribution_are_installed(manager: PackageManager, commands: list[str]) -> None:
    install, kvm = setup.plan(MISSING, manager)
    assert [" ".join(command) for command in install.commands] == commands
    assert kvm == Step("kvm: not accessible", (("usermod", "x"),), "log in again")


def test_an_unknown_distribution_gets_no_packages() -> None:
    assert [step.commands for step in setup.plan(MISSING, None)] == [(("usermod", "x"),)]


def test_nothing_is_planned_if_nothing_is_missing() -> None:
    assert setup.plan([Check("qemu", Status.OK, "found")], APT) == []


def test_the_group_of_kvm_is_used_only_if_it_helps(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    assert kvm_remedy(device, "me") is None
    device.touch()
    device.chmod(0o660)
    group = device.group()
    remedy = kvm_remedy(device, "somebody-else")
    assert remedy is not None
    assert remedy.command == ("usermod", "--append", "--groups", group, "somebody-else")
    assert remedy.text == f"`sudo usermod --append --groups {group} somebody-else`"
    device.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert kvm_remedy(device, "somebody-else") is None
