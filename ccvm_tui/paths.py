"""The names of the program's files and directories.

There are three roots, all private to the user: the runtime directory (sockets, locks and logs of running guests;
cleared by a reboot), the cache (images; may be deleted at any time) and the state directory (history of projects).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

import platformdirs

from ccvm_tui.errors import PrerequisiteError, UserError

APP = "ccvm"
"""The name of the program's own directory below each root."""

SOCKET_PATH_MAX = 107
"""The maximum length of a unix socket's path in bytes: sun_path has 108 bytes, including the final NUL (unix(7))."""

GUEST_NAME_MAX = 48
"""The maximum length of a guest's name in characters."""

_LONGEST_SOCKET = "keeper.sock"


def config_file() -> Path:
    """Return the path of the user's settings. No settings are read from a project, where its guest can write."""
    return Path(platformdirs.user_config_dir(APP)) / "config.toml"


def cache_dir() -> Path:
    """Return the directory of everything that can be built or downloaded again."""
    return Path(platformdirs.user_cache_dir(APP))


def images_dir() -> Path:
    """Return the directory of guest images and runtimes."""
    return cache_dir() / "images"


def scratch_dir() -> Path:
    """Return the directory of the files behind guests' scratch disks."""
    return cache_dir() / "scratch"


def state_dir() -> Path:
    """Return the directory of data that outlives guests: known projects, and why guests ended."""
    return Path(platformdirs.user_state_dir(APP))


def unwritable(error: OSError, place: Path | None = None) -> UserError | None:
    """Return ``error`` as an error for users if a disk is full or a file may not be written, else None.

    ``place`` is named if ``error`` names no file, as errors of write(2) do.
    """
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not full and error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
        return None
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else place
    variable = next((name for name, root in _roots().items() if path and _is_on_the_way(path, root)), "")
    hints = ["free some space there"] if full else []
    if variable:
        hints.append(f"set {variable} to a directory {'with more space' if full else 'that you can write to'}")
    return UserError(f"{path}: {error.strerror}" if path else str(error.strerror), ", or ".join(hints))


def _is_on_the_way(path: Path, root: Path) -> bool:
    """Return whether ``path`` is in ``root``, or is one of its parents, which must be created first."""
    return path.is_relative_to(root) or root.is_relative_to(path)


def _roots() -> dict[str, Path]:
    """Return the directories of this program outside of the runtime directory, by the variable that moves them."""
    return {"XDG_CACHE_HOME": cache_dir(), "XDG_STATE_HOME": state_dir(), "XDG_CONFIG_HOME": config_file().parent}


def _private(path: Path) -> Path:
    """Make ``path`` a directory of this user with mode 0700. Raises PrerequisiteError if that fails."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        info = path.lstat()
    except OSError as error:
        raise PrerequisiteError(
            f"cannot create the runtime directory {path}: {error.strerror}",
            "set XDG_RUNTIME_DIR to a directory that you own, with mode 0700",
        ) from error
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise PrerequisiteError(
            f"{path} is not a directory that you own",
            "set XDG_RUNTIME_DIR to a directory that you own, with mode 0700",
        )
    if stat.S_IMODE(info.st_mode) != 0o700:
        path.chmod(0o700)
    return path


def runtime_dir() -> Path:
    """Return the runtime directory, creating it with mode 0700.

    It is ``$XDG_RUNTIME_DIR/ccvm``. If the variable is not set, it is ``/run/user/UID/ccvm``, or ``/tmp/ccvm-UID`` if
    ``/run/user/UID`` cannot be used. Raises PrerequisiteError if the directory cannot be created.
    """
    uid = os.getuid()
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        root = Path(base)
        if not root.is_dir():
            raise PrerequisiteError(
                f"XDG_RUNTIME_DIR is {base}, which is not a directory",
                "log in again, or `unset XDG_RUNTIME_DIR`",
            )
        return _checked_length(_private(root / APP))
    user = Path(f"/run/user/{uid}")
    if user.is_dir() and os.access(user, os.W_OK | os.X_OK) and user.stat().st_uid == uid:
        return _private(user / APP)
    return _private(Path(f"/tmp/{APP}-{uid}"))  # noqa: S108 - ownership and mode are checked


def _checked_length(runtime: Path) -> Path:
    longest = runtime / ("x" * GUEST_NAME_MAX) / _LONGEST_SOCKET
    if len(os.fsencode(longest)) > SOCKET_PATH_MAX:
        raise PrerequisiteError(
            f"the path of the runtime directory, {runtime}, is too long for unix sockets ({SOCKET_PATH_MAX} bytes)",
            "set XDG_RUNTIME_DIR to a shorter path",
        )
    return runtime


class GuestPaths:
    """The paths of one guest's files in the runtime directory."""

    def __init__(self, name: str, runtime: Path | None = None) -> None:
        self.name = name
        self.runtime = runtime_dir() if runtime is None else runtime

    @property
    def dir(self) -> Path:
        """The guest's own directory. Raises ValueError if the name is invalid."""
        return self.runtime / check_guest_name(self.name)

    @property
    def lock(self) -> Path:
        """The lock file that the keeper holds for as long as it lives; see ``claim``."""
        return self.dir / "lock"

    @property
    def keeper_socket(self) -> Path:
        """The unix socket on which the keeper listens for clients."""
        return self.dir / _LONGEST_SOCKET

    @property
    def ssh_socket(self) -> Path:
        """The unix socket that leads to the guest's SSH server."""
        return self.dir / "ssh.sock"

    @property
    def ssh_dir(self) -> Path:
        """The directory of the files for SSH clients, which exists only on request."""
        return self.dir / "ssh"

    @property
    def console_log(self) -> Path:
        """The output of the guest's console."""
        return self.dir / "console.log"

    @property
    def edits_dir(self) -> Path:
        """The directory with the guest's edits of a read-only project."""
        return self.dir / "edits"

    @property
    def start_repository(self) -> Path:
        """The private repository with the state of a writable project when the guest was started."""
        return self.dir / "start.git"

    @property
    def attempt_repository(self) -> Path:
        """The private repository with what was received from an attempt."""
        return self.dir / "attempt.git"

    @property
    def local_clone(self) -> Path:
        """The clone of an attempt whose programs run on this machine."""
        return self.dir / "clone"

    def empty_edits_dir(self) -> Path:
        """Create an empty directory, with mode 0700, for the guest's edits of a read-only project, and return it."""
        path = self.edits_dir
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        return path

    @property
    def qemu_log(self) -> Path:
        """The standard error of QEMU."""
        return self.dir / "qemu.log"

    @property
    def events_log(self) -> Path:
        """The guest's events, one JSON object per line."""
        return self.dir / "events.jsonl"

    @property
    def egress_log(self) -> Path:
        """The record of the guest's connections, one JSON object per line."""
        return self.dir / "egress.jsonl"

    @property
    def keeper_log(self) -> Path:
        """The keeper's own log."""
        return self.dir / "keeper.log"

    def __repr__(self) -> str:
        return f"GuestPaths({str(self.dir)!r})"


def check_guest_name(name: str) -> str:
    """Return ``name`` if it is a valid guest name, which is also a file name. Raises ValueError if it is not."""
    valid = 0 < len(name) <= GUEST_NAME_MAX and all(c.isascii() and (c.isalnum() or c in "-_.") for c in name)
    if not valid or name[0] in "-.":
        raise ValueError(f"not a guest name: {name!r}")
    return name
