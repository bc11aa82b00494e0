"""The table of what guests and builds need from the host, and the packages that contain it.

Error messages, ``doctor``, ``setup`` and docs/install.md are derived from it. Only packages of the distribution itself
are listed, because only these can be installed with one command.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ccvm_tui.errors import PrerequisiteError

OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
"""The files that name the distribution (os-release(5)), in the order in which they are tried."""

_ASSIGNMENT = re.compile(r"""^(ID|ID_LIKE)=["']?([^"'\n]*)["']?$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PackageManager:
    """A package manager. ``distributions`` are values of ID and ID_LIKE in os-release(5).

    ``refresh`` is the command that updates the package lists, or empty if ``install`` does that. The names of packages
    are appended to ``install``. ``unattended`` is the option of ``install`` that prevents questions.
    """

    name: str
    distributions: tuple[str, ...]
    install: tuple[str, ...]
    unattended: str
    refresh: tuple[str, ...] = ()

    def command(self, packages: Iterable[str], *, unattended: bool = False) -> tuple[str, ...]:
        """Return the command that installs ``packages``. Only root can run it."""
        return (*self.install, *([self.unattended] if unattended else []), *packages)


APT = PackageManager(
    "apt", ("debian", "ubuntu"), ("apt-get", "install", "--no-install-recommends"), "--yes", ("apt-get", "update")
)
DNF = PackageManager("dnf", ("fedora", "rhel", "centos"), ("dnf", "install"), "--assumeyes")
# The databases are not refreshed, because Arch does not support an installation without an upgrade of everything.
PACMAN = PackageManager("pacman", ("arch",), ("pacman", "-S", "--needed"), "--noconfirm")
ZYPPER = PackageManager("zypper", ("suse", "opensuse"), ("zypper", "install"), "--no-confirm")

MANAGERS = (APT, DNF, PACMAN, ZYPPER)
"""All package managers whose packages are known."""


@dataclass(frozen=True, slots=True, eq=False)
class Requirement:
    """One row of the table: a program or a file that must exist, and its package by the name of the package manager.

    One of ``programs`` on PATH is enough, or one of ``files``. ``otherwise`` is the alternative on a distribution that
    has no package.
    """

    name: str
    purpose: str
    packages: Mapping[str, str]
    programs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    otherwise: str = field(default="", kw_only=True)

    def found(self) -> str | None:
        """Return the path of the program or file, or None if it is missing."""
        for program in self.programs:
            if (path := shutil.which(program)) is not None:
                return path
        return next((path for path in self.files if Path(path).exists()), None)


def _same(name: str, **others: str) -> dict[str, str]:
    """Return the packages of a program whose package has the same name everywhere, except in ``others``."""
    return {**{manager.name: name for manager in MANAGERS}, **others}


_QEMU_PACKAGES = {
    "x86_64": {
        "apt": "qemu-system-x86",
        "dnf": "qemu-system-x86-core",
        "pacman": "qemu-system-x86",
        "zypper": "qemu-x86",
    },
    "aarch64": {
        "apt": "qemu-system-arm",
        "dnf": "qemu-system-aarch64-core",
        "pacman": "qemu-system-aarch64",
        "zypper": "qemu-arm",
    },
}


def qemu(machine: str) -> Requirement:
    """Return the row of QEMU for an architecture, as ``uname`` reports it."""
    return Requirement(
        "qemu",
        "it runs guests",
        _QEMU_PACKAGES.get(machine, {}),
        programs=(f"qemu-system-{machine}",),
        otherwise='`ccvm-tui image build` unpacks a separate QEMU, which runs guests then, as with `runtime = "own"`',
    )


QEMU = qemu(platform.machine())
MMDEBSTRAP = Requirement(
    "mmdebstrap",
    "it builds the guest image",
    {"apt": "mmdebstrap", "dnf": "mmdebstrap"},
    programs=("mmdebstrap",),
    otherwise="set `image_url` and `image_key` to download the guest image instead of building it",
)
KEYRING = Requirement(
    "debian keyring",
    "it authenticates the packages in the guest image",
    {"apt": "debian-archive-keyring", "dnf": "debian-keyring", "pacman": "debian-archive-keyring"},
    files=("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"),
    otherwise=MMDEBSTRAP.otherwise,
)
SQUASHFS = Requirement(
    "mksquashfs",
    "it packs the guest image and the agent",
    _same("squashfs-tools", zypper="squashfs"),
    programs=("mksquashfs",),
)
UTIL_LINUX = Requirement("setpriv", "it ends the programs of a build", _same("util-linux"), programs=("setpriv",))
UIDMAP = Requirement(
    "newuidmap",
    "it gives builds a range of user ids",
    {"apt": "uidmap", "dnf": "shadow-utils", "pacman": "shadow", "zypper": "shadow"},
    programs=("newuidmap",),
)
NCURSES = Requirement(
    "infocmp",
    "it describes your terminal to the guest",
    {"apt": "ncurses-bin", "dnf": "ncurses", "pacman": "ncurses", "zypper": "ncurses-utils"},
    programs=("infocmp",),
)
AGENT = Requirement(
    "agent",
    "the agent is taken from your installation, or from npm",
    _same("npm", zypper="npm-default"),
    programs=("claude", "npm"),
    otherwise="install claude or npm, or use `--agent none`",
)

TABLE = (QEMU, MMDEBSTRAP, KEYRING, SQUASHFS, UTIL_LINUX, UIDMAP, NCURSES, AGENT)
"""All rows."""

BUILD = (MMDEBSTRAP, SQUASHFS, UTIL_LINUX)
"""The programs that build a guest image."""

LAYER = (SQUASHFS, UTIL_LINUX)
"""The programs that pack an agent's layer."""


def package_manager(os_release: str | None = None) -> PackageManager | None:
    """Return the package manager of the distribution that ``os_release`` (default: this machine's) names, or None.

    Programs on PATH do not identify it: Fedora and Arch have packages of apt, which mmdebstrap depends on.
    """
    text = _os_release() if os_release is None else os_release
    values = {key: value.split() for key, value in _ASSIGNMENT.findall(text)}
    for name in (*values.get("ID", []), *values.get("ID_LIKE", [])):
        for manager in MANAGERS:
            if any(name == known or name.startswith(f"{known}-") for known in manager.distributions):
                return manager
    return None


def _os_release() -> str:
    for path in OS_RELEASE:
        try:
            return path.read_text()
        except OSError:
            continue
    return ""


def packages(wanted: Iterable[Requirement], manager: PackageManager) -> list[str]:
    """Return the packages of all requirements that have one, without duplicates."""
    return list(
        dict.fromkeys(
            requirement.packages[manager.name] for requirement in wanted if manager.name in requirement.packages
        )
    )


def how_to_install(*wanted: Requirement, manager: PackageManager | None = None) -> str:
    """Return a hint: the command that installs ``wanted``, and alternatives to what has no package.

    Without ``manager``, it is the one of this machine's distribution.
    """
    manager = manager or package_manager()
    names = packages(wanted, manager) if manager else []
    parts = [f"`sudo {' '.join(manager.command(names))}`"] if manager and names else []
    parts += [
        requirement.otherwise or f"install a package that contains {requirement.name}"
        for requirement in wanted
        if manager is None or manager.name not in requirement.packages
    ]
    return "; ".join(dict.fromkeys(parts))


def alternatives(requirement: Requirement) -> str:
    """Return a hint: the command that installs ``requirement``, and what can be done instead."""
    return "; or ".join(dict.fromkeys([how_to_install(requirement), requirement.otherwise]))


def require(*wanted: Requirement, what: str) -> None:
    """Raise PrerequisiteError, which names all that is missing and how to install it, if something is missing.

    ``what`` is the subject of the message, such as "building an image".
    """
    missing = [requirement for requirement in dict.fromkeys(wanted) if requirement.found() is None]
    if missing:
        names = " and ".join(requirement.name for requirement in missing)
        raise PrerequisiteError(f"{what} needs {names}", how_to_install(*missing))
