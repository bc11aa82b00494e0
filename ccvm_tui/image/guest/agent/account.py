"""The guest's user, with the uid and gid of the user on the host, and a home in memory."""

from __future__ import annotations

import os

from .files import make_directories, write

HOME = "/home/dev"
"""The user's home directory."""

SHELL = "/usr/bin/zsh"
"""The user's login shell."""


class User:
    """The guest's user. With ``sudo``, the user may become root without a password."""

    __slots__ = ("gid", "name", "sudo", "uid")

    def __init__(self, name: str, uid: int, gid: int, sudo: bool) -> None:
        self.name, self.uid, self.gid, self.sudo = name, uid, gid, sudo

    @property
    def owner(self) -> tuple[int, int]:
        """The uid and gid, as a pair for chown."""
        return self.uid, self.gid


def create(user: User, root: str = "") -> None:
    """Add the user to the account files under ``root``.

    The user's lines come first, so that they take precedence over accounts of the guest with the same ids.
    """
    _prepend(f"{root}/etc/passwd", f"{user.name}:x:{user.uid}:{user.gid}:{user.name}:{HOME}:{SHELL}\n", 0o644)
    _prepend(f"{root}/etc/group", f"{user.name}:x:{user.gid}:\n", 0o644)
    _prepend(f"{root}/etc/shadow", f"{user.name}:*:20000:0:99999:7:::\n", 0o640)
    if user.sudo and os.path.isdir(f"{root}/etc/sudoers.d"):
        write(f"{root}/etc/sudoers.d/ccvm", f"{user.name} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)


def prepare_home(user: User) -> None:
    """Make the user the owner of the home, and add a ``.zshrc``, without which zsh starts its setup dialog."""
    make_directories(HOME)
    os.chown(HOME, *user.owner)
    os.chmod(HOME, 0o750)
    if not os.path.exists(f"{HOME}/.zshrc"):
        write(f"{HOME}/.zshrc", "", 0o644, user.owner)


def _prepend(path: str, line: str, mode: int) -> None:
    try:
        with open(path) as file:
            rest = file.read()
        owner = os.stat(path)
    except FileNotFoundError:
        write(path, line, mode)
        return
    account = line.partition(":")[0]
    kept = [old for old in rest.splitlines(keepends=True) if old.partition(":")[0] != account]
    write(path, line + "".join(kept), mode, (owner.st_uid, owner.st_gid))
