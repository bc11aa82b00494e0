"""From a directory to the project that a guest may see, and to the guest's name."""

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
"""Hex digits of the path's SHA-256 at the end of a guest's name, to tell equally named directories apart."""

_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
_WITH_ALL_BELOW = ("/dev", "/proc", "/sys")


@dataclass(frozen=True, slots=True)
class Project:
    """``path`` is resolved; ``name`` names its guest, ``hostname`` is what the guest calls itself."""

    path: Path
    name: str
    hostname: str


def resolve(directory: str | os.PathLike[str]) -> Project:
    """The project in ``directory``, symbolic links resolved. Raises UserError when it must not be shared."""
    given = Path(directory).expanduser()
    try:
        path = given.resolve(strict=True)
        is_directory = path.is_dir()
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a symbolic link goes in circles"
        raise UserError(f"cannot use {given} as a project: {reason}") from error
    if not is_directory:
        raise UserError(f"{given} is not a directory", f"name the directory that holds it: {given.parent}")
    _refuse_dangerous(path)
    if not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"cannot use {given} as a project: you may not read it", "a guest sees what you may see")
    return Project(path, guest_name(path), slug(path.name))


def slug(text: str, longest: int = paths.GUEST_NAME_MAX - _DIGITS - 1) -> str:
    """``text`` in lower-case ASCII letters, digits and single hyphens: fit for a host name (RFC 1123)."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return words[:longest].rstrip("-") or "project"


def guest_name(path: Path) -> str:
    """The name of the guest for a resolved path: the same path always gives the same name."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:_DIGITS]
    return paths.name_checked(f"{slug(path.name)}-{digest}")


def _refuse_dangerous(path: Path) -> None:
    home = Path.home().resolve()
    hint = "make a directory for the project, and run it there"
    if path == home or path in home.parents:
        what = "your home directory" if path == home else f"{path}, which holds your home directory"
        raise UserError(f"a guest would see all of {what}", hint)
    if str(path) in _SYSTEM or any(path.is_relative_to(root) for root in _WITH_ALL_BELOW):
        raise UserError(f"{path} belongs to the system, it is no project", hint)
    for ours in (paths.config_file().parent, paths.cache_dir(), paths.state_dir(), paths.runtime_dir()):
        ours = ours.resolve()
        if path in ours.parents or path == ours or ours in path.parents:
            raise UserError(f"a guest that may write {path} could change ccvm's own files in {ours}", hint)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the path {os.fsencode(path)!r} is not UTF-8, a guest cannot mount it",
                        "rename the directory") from error  # fmt: skip
    if any(unicodedata.category(character) == "Cc" for character in str(path)):
        raise UserError(f"the path {str(path)!r} has control characters in it", "rename the directory")
