"""The table of requirements, the package managers of distributions, and ranges of subordinate ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import requirements, subids
from ccvm_tui.errors import PrerequisiteError
from ccvm_tui.requirements import (
    APT,
    DNF,
    MANAGERS,
    MMDEBSTRAP,
    PACMAN,
    QEMU,
    SQUASHFS,
    TABLE,
    ZYPPER,
    PackageManager,
    alternatives,
    how_to_install,
    package_manager,
)

RELEASES = {
    'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n': APT,
    'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n': APT,
    'NAME="Fedora Linux"\nID=fedora\n': DNF,
    'ID="rocky"\nID_LIKE="rhel centos fedora"\n': DNF,
    "ID=arch\n": PACMAN,
    "ID=manjaro\nID_LIKE=arch\n": PACMAN,
    'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n': ZYPPER,
    'ID="opensuse-leap"\n': ZYPPER,
    "ID=nixos\n": None,
    "ID=archaic\n": None,
    "": None,
    "NOT_ID=debian\nVERSION_ID=13\n": None,
}


@pytest.mark.parametrize(("text", "manager"), RELEASES.items())
def test_the_distribution_determines_the_package_manager(text: str, manager: PackageManager | None) -> None:
    assert package_manager(text) is manager


@given(st.text())
def test_any_text_is_accepted_as_os_release(text: str) -> None:
    assert package_manager(text) in (*MANAGERS, None)


def test_every_requirement_can_be_installed_or_has_an_alternative() -> None:
    for requirement in TABLE:
        assert requirement.programs or requirement.files
        assert set(requirement.packages) <= {manager.name for manager in MANAGERS}
        for manager in MANAGERS:
            assert manager.name in requirement.packages or requirement.otherwise, (requirement.name, manager.name)


def test_one_command_installs_everything_that_has_a_package() -> None:
    assert how_to_install(MMDEBSTRAP, SQUASHFS, manager=APT) == (
        "`sudo apt-get install --no-install-recommends mmdebstrap squashfs-tools`"
    )
    assert how_to_install(MMDEBSTRAP, SQUASHFS, manager=ZYPPER) == (
        f"`sudo zypper install squashfs`; {MMDEBSTRAP.otherwise}"
    )
    assert how_to_install(MMDEBSTRAP, SQUASHFS, manager=PACMAN).startswith("`sudo pacman -S --needed squashfs-tools`; ")


def test_nothing_is_installed_on_an_unknown_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "OS_RELEASE", (tmp_path / "missing",))
    assert how_to_install(SQUASHFS) == "install a package that contains mksquashfs"
    assert alternatives(QEMU) == QEMU.otherwise


def test_all_missing_programs_are_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteError, match=r"^a build needs mksquashfs and mmdebstrap$"):
        requirements.require(SQUASHFS, MMDEBSTRAP, SQUASHFS, what="a build")
    (tmp_path / "mksquashfs").touch(mode=0o755)
    (tmp_path / "mmdebstrap").touch(mode=0o755)
    requirements.require(SQUASHFS, MMDEBSTRAP, what="a build")


def test_a_new_range_of_ids_is_behind_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "subuid").write_text("one:100000:65536\ntwo:165536:65536\nbroken line\nx:1:y\n")
    (tmp_path / "subgid").write_text("one:300000:10\n")
    monkeypatch.setattr(subids, "SUBUID", tmp_path / "subuid")
    monkeypatch.setattr(subids, "SUBGID", tmp_path / "subgid")
    assert subids.command("three") == (
        "usermod", "--add-subuids", "300010-365545", "--add-subgids", "300010-365545", "three",
    )  # fmt: skip
    assert subids.has_range("two")
    assert not subids.has_range("three")
    (tmp_path / "subuid").unlink()
    (tmp_path / "subgid").unlink()
    assert subids.command("three")[2] == "100000-165535"


@given(st.text())
def test_any_text_is_accepted_as_ranges(text: str) -> None:
    assert subids.free(subids.parse(text)) >= 100_000
