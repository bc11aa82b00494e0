"""Every file and directory name of the program, in one place.

Three roots, all private to the user: the runtime directory (sockets, locks and logs of running guests; gone
after a reboot), the cache (images; may be deleted at any time) and the state directory (history of projects).
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import platformdirs

from ccvm_tui.errors import PrerequisiteError

APP = "ccvm"

SOCKET_PATH_MAX = 107
"""Longest path of a unix socket: sun_path has 108 bytes, the last one a NUL (unix(7))."""

GUEST_NAME_MAX = 48
_LONGEST_SOCKET = "keeper.sock"


def config_file() -> Path:
    """The user's settings. Never looked for in a project: the guest can write there."""
    return Path(platformdirs.user_config_dir(APP)) / "config.toml"


def cache_dir() -> Path:
    return Path(platformdirs.user_cache_dir(APP))


def images_dir() -> Path:
    return cache_dir() / "images"


def state_dir() -> Path:
    """History that outlives guests: projects seen, why a guest died."""
    return Path(platformdirs.user_state_dir(APP))


def _private(path: Path) -> Path:
    """Make ``path`` a directory of ours with mode 0700, or say why it cannot be one."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        info = path.lstat()
    except OSError as error:
        raise PrerequisiteError(
            f"cannot create the runtime directory {path}: {error.strerror}",
            "set XDG_RUNTIME_DIR to a directory of yours with mode 0700",
        ) from error
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise PrerequisiteError(
            f"{path} is not a directory of yours",
            "set XDG_RUNTIME_DIR to a directory of yours with mode 0700",
        )
    if stat.S_IMODE(info.st_mode) != 0o700:
        path.chmod(0o700)
    return path


def runtime_dir() -> Path:
    """``$XDG_RUNTIME_DIR/ccvm``; without the variable /run/user/UID, and where that is missing /tmp.

    Created with mode 0700. Raises PrerequisiteError when no such directory can be had.
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
            f"the runtime directory {runtime} is too long for unix sockets ({SOCKET_PATH_MAX} bytes)",
            "set XDG_RUNTIME_DIR to a shorter path",
        )
    return runtime


class GuestPaths:
    """What one guest owns under the runtime directory."""

    def __init__(self, name: str, runtime: Path | None = None) -> None:
        self.name = name
        self.runtime = runtime_dir() if runtime is None else runtime

    @property
    def dir(self) -> Path:
        return self.runtime / name_checked(self.name)

    @property
    def lock(self) -> Path:
        """The keeper holds an exclusive flock on it for life; a free lock means a dead guest."""
        return self.dir / "lock"

    @property
    def keeper_socket(self) -> Path:
        return self.dir / _LONGEST_SOCKET

    @property
    def ssh_socket(self) -> Path:
        return self.dir / "ssh.sock"

    @property
    def console_log(self) -> Path:
        return self.dir / "console.log"

    def empty_edits_dir(self) -> Path:
        """A new empty directory, with mode 0700, for what the guest edits in a read-only project."""
        path = self.dir / "edits"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        return path

    @property
    def qemu_log(self) -> Path:
        return self.dir / "qemu.log"

    @property
    def events_log(self) -> Path:
        return self.dir / "events.jsonl"

    @property
    def keeper_log(self) -> Path:
        return self.dir / "keeper.log"

    def __repr__(self) -> str:
        return f"GuestPaths({str(self.dir)!r})"


def name_checked(name: str) -> str:
    """Return ``name`` if it can name a guest (a file, a host, a word to type), else raise ValueError."""
    fine = 0 < len(name) <= GUEST_NAME_MAX and all(c.isascii() and (c.isalnum() or c in "-_.") for c in name)
    if not fine or name[0] in "-.":
        raise ValueError(f"not a guest name: {name!r}")
    return name
