"""The guest's one user: same uid and gid as the person on the host, home in memory."""

from __future__ import annotations

import os

from .files import make_directories, write

HOME = "/home/dev"
SHELL = "/usr/bin/zsh"


class User:
    __slots__ = ("gid", "name", "sudo", "uid")

    def __init__(self, name: str, uid: int, gid: int, sudo: bool) -> None:
        self.name, self.uid, self.gid, self.sudo = name, uid, gid, sudo

    @property
    def owner(self) -> tuple[int, int]:
        return self.uid, self.gid


def create(user: User, root: str = "") -> None:
    """Add the user to the account files under ``root``. Its lines come first: where the host's ids are those of
    one of the guest's own accounts, they mean the user."""
    _prepend(f"{root}/etc/passwd", f"{user.name}:x:{user.uid}:{user.gid}:{user.name}:{HOME}:{SHELL}\n", 0o644)
    _prepend(f"{root}/etc/group", f"{user.name}:x:{user.gid}:\n", 0o644)
    _prepend(f"{root}/etc/shadow", f"{user.name}:*:20000:0:99999:7:::\n", 0o640)
    if user.sudo and os.path.isdir(f"{root}/etc/sudoers.d"):
        write(f"{root}/etc/sudoers.d/ccvm", f"{user.name} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)


def own_home(user: User) -> None:
    """Hand the home over, with what keeps the shell from greeting a new user with questions."""
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
