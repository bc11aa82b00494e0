"""Functions that write files of the guest without following symbolic links, and that run programs."""

from __future__ import annotations

import os


def write(path: str, data: bytes | str, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
    """Create or replace the file ``path`` atomically. Its directory must exist."""
    fresh = f"{path}.ccvm-new"
    content = data.encode() if isinstance(data, str) else data
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    os.chown(fresh, *owner)
    os.chmod(fresh, mode)
    os.rename(fresh, path)


def make_directories(path: str, owner: tuple[int, int] = (0, 0)) -> None:
    """Create ``path`` and its missing parents with mode 0755. Only the new directories belong to ``owner``."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        os.mkdir(directory, 0o755)
        os.chown(directory, *owner)


def set_sysctl(name: str, value: str) -> None:
    """Set a kernel parameter. A parameter that this kernel lacks is ignored."""
    try:
        with open(f"/proc/sys/{name}", "w") as file:
            file.write(value)
    except OSError:
        pass


def run(*argv: str) -> None:
    """Run a program and wait for its exit. Raises OSError with the command line if it fails."""
    pid = os.posix_spawn(argv[0], argv, {"PATH": "/usr/bin:/usr/sbin"})
    _, status = os.waitpid(pid, 0)
    if status:
        raise OSError(f"{' '.join(argv)} failed with status {os.waitstatus_to_exitcode(status)}")
