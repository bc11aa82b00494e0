"""The project in a directory, and the name of its guest."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui import paths
from ccvm_tui.errors import UserError

_DIGITS = 4
"""The number of hex digits of the path's SHA-256 at the end of a guest's name. They distinguish directories of the same
name."""

_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
_WITH_ALL_BELOW = ("/dev", "/proc", "/sys")


@dataclass(frozen=True, slots=True)
class Project:
    """A project: its resolved path, the name of its guest, and the host name inside the guest."""

    path: Path
    name: str
    hostname: str


def resolve(directory: str | os.PathLike[str]) -> Project:
    """Return the project in ``directory``, with symbolic links resolved. Raises UserError if it must not be shared."""
    given = Path(directory).expanduser()
    try:
        path = given.resolve(strict=True)
        is_directory = path.is_dir()
    except PermissionError as error:
        raise _unreadable(error.filename or given) from error
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its symbolic links form a loop"
        raise UserError(f"cannot use {given} as a project: {reason}") from error
    if not is_directory:
        raise UserError(f"{given} is not a directory", f"use the directory that contains it: {given.parent}")
    _refuse_dangerous(path)
    if not os.access(path, os.R_OK | os.X_OK):
        raise _unreadable(path)
    return Project(path, guest_name(path), slug(path.name))


def _unreadable(path: Path | str) -> UserError:
    return UserError(
        f"cannot use {path} as a project: you do not have permission to read it",
        "a guest can only read what you can read",
    )


def slug(text: str, longest: int = paths.GUEST_NAME_MAX - _DIGITS - 1) -> str:
    """Convert ``text`` to lower-case ASCII letters, digits and single hyphens, valid in a host name (RFC 1123).

    The result has at most ``longest`` characters.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    label = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return label[:longest].rstrip("-") or "project"


def guest_name(path: Path) -> str:
    """Return the name of the guest for a resolved path, always the same name for the same path."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:_DIGITS]
    return paths.check_guest_name(f"{slug(path.name)}-{digest}")


def attempt_guest(project: Project, attempt: str) -> str:
    """Return the name of the guest of an attempt: that of the project's guest, shortened if necessary, and its own."""
    name, _, digits = project.name.rpartition("-")
    longest = paths.GUEST_NAME_MAX - len(attempt) - len(digits) - 2
    return paths.check_guest_name(f"{name[:longest].rstrip('-')}-{digits}.{attempt}")


def _refuse_dangerous(path: Path) -> None:
    home = Path.home().resolve()
    hint = "create a directory for the project and run the command there"
    if path == home or path in home.parents:
        what = "your home directory" if path == home else f"{path}, which contains your home directory"
        raise UserError(f"a guest would see all of {what}", hint)
    if str(path) in _SYSTEM or any(path.is_relative_to(root) for root in _WITH_ALL_BELOW):
        raise UserError(f"{path} is a system directory, not a project", hint)
    for own in (paths.config_file().parent, paths.cache_dir(), paths.state_dir(), paths.runtime_dir()):
        own = own.resolve()
        if path in own.parents or path == own or own in path.parents:
            raise UserError(f"a guest that can write to {path} could change ccvm's own files in {own}", hint)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"the path {os.fsencode(path)!r} is not UTF-8, so a guest cannot mount it", "rename the directory"
        ) from error
    if any(unicodedata.category(character) == "Cc" for character in str(path)):
        raise UserError(f"the path {str(path)!r} contains control characters", "rename the directory")
