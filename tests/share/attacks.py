"""Attempts of a guest to make the host run a program, as calls of the file server's client.

Each is a function of a client whose shared directory is a repository with a commit. ``program`` is the path of a script
on the host that leaves a mark. A call that is refused raises OSError; what comes after it is attempted all the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import ROOT_ID, Op
from tests.share.client import Client

Attack = Callable[["Guest"], None]


class Guest:
    """Short forms of the client's calls. A call that the server refuses is recorded and has no effect."""

    def __init__(self, client: Client, program: bytes) -> None:
        self.client = client
        self.program = program
        self.refused: list[OSError] = []

    @property
    def evil(self) -> bytes:
        return b"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = " + self.program + b"\n"

    @property
    def harmless(self) -> bytes:
        return b"[core]\n\trepositoryformatversion = 0\n\tbare = false\n"

    @property
    def script(self) -> bytes:
        return b"#!/bin/sh\nexec " + self.program + b"\n"

    @contextlib.contextmanager
    def trying(self):  # type: ignore[no-untyped-def]
        try:
            yield
        except OSError as error:
            self.refused.append(error)

    def put(self, path: bytes, content: bytes, mode: int = 0o644, flags: int = os.O_TRUNC) -> None:
        with self.trying():
            node, handle = self.client.open(path, os.O_WRONLY | os.O_CREAT | flags, mode)
            try:
                if content:
                    self.client.write(node, handle, content, 0)
            finally:
                self.client.release(node, handle)

    def get(self, path: bytes) -> bytes:
        node, handle = self.client.open(path, os.O_RDONLY)
        content = self.client.read(node, handle, 60_000, 0)
        self.client.release(node, handle)
        return content

    def mkdir(self, *paths: bytes) -> None:
        for path in paths:
            with self.trying():
                self.client.mkdir(path)

    def rename(self, old: bytes, new: bytes, flags: int = 0) -> None:
        with self.trying():
            self.client.rename(old, new, flags)

    def symlink(self, target: bytes, path: bytes) -> None:
        with self.trying():
            self.client.symlink(target, path)

    def link(self, old: bytes, new: bytes) -> None:
        with self.trying():
            self.client.link_node(self.client.find(old).node, new)

    def chmod(self, path: bytes, mode: int) -> None:
        with self.trying():
            self.client.set(self.client.find(path).node, mode=mode)

    def unlink(self, path: bytes) -> None:
        with self.trying():
            self.client.unlink(path)

    def copy(self, source: bytes, target: bytes) -> None:
        """Copy a directory of the project, with all files."""
        self.mkdir(target)
        for name, (_, kind) in self.client.listing(source).items():
            if kind == 0o040000:
                self.copy(source + b"/" + name, target + b"/" + name)
            else:
                self.put(target + b"/" + name, self.get(source + b"/" + name))


# --- hooks ------------------------------------------------------------------------------------------------------------


def a_new_hook(guest: Guest) -> None:
    guest.put(b".git/hooks/post-checkout", guest.script, 0o755)


def a_renamed_hook(guest: Guest) -> None:
    guest.put(b"x", guest.script, 0o755)
    guest.rename(b"x", b".git/hooks/post-checkout")


def a_linked_hook(guest: Guest) -> None:
    guest.put(b"x", guest.script, 0o755)
    guest.link(b"x", b".git/hooks/post-checkout")


def a_hook_without_a_name(guest: Guest) -> None:
    node, handle = guest.client.temporary(b"")
    guest.client.write(node, handle, guest.script, 0)
    with guest.trying():
        guest.client.set(node, mode=0o755)
        guest.client.link_node(node, b".git/hooks/post-checkout")
    guest.client.release(node, handle)


def a_sample_becomes_a_hook(guest: Guest) -> None:
    guest.put(b".git/hooks/post-checkout.sample", guest.script, 0o755)
    guest.rename(b".git/hooks/post-checkout.sample", b".git/hooks/post-checkout")


def a_changed_hook(guest: Guest) -> None:
    """The user has the hook ``pre-commit``."""
    guest.put(b".git/hooks/pre-commit", guest.script, 0o755)
    guest.put(b".git/hooks/pre-commit", guest.script, 0o755, flags=0)


def an_exchanged_hook(guest: Guest) -> None:
    guest.put(b"x", guest.script, 0o755)
    guest.rename(b"x", b".git/hooks/pre-commit", 2)


def an_enabled_hook(guest: Guest) -> None:
    """The user has the hook ``post-commit``, which is not executable."""
    guest.chmod(b".git/hooks/post-commit", 0o755)


def a_hook_in_an_open_file(guest: Guest) -> None:
    guest.put(b"x", b"", 0o755)
    node, handle = guest.client.open(b"x", os.O_WRONLY)
    guest.rename(b"x", b".git/hooks/post-checkout")
    with guest.trying():
        guest.client.write(node, handle, guest.script, 0)
    guest.client.release(node, handle)


def another_directory_of_hooks(guest: Guest) -> None:
    guest.mkdir(b"evil")
    guest.put(b"evil/post-checkout", guest.script, 0o755)
    guest.rename(b".git/hooks", b"old-hooks")
    guest.rename(b"evil", b".git/hooks")


def a_link_to_hooks(guest: Guest) -> None:
    guest.mkdir(b"evil")
    guest.put(b"evil/post-checkout", guest.script, 0o755)
    guest.rename(b".git/hooks", b"old-hooks")
    guest.symlink(b"../evil", b".git/hooks")


def a_renamed_link_to_hooks(guest: Guest) -> None:
    guest.mkdir(b"evil")
    guest.put(b"evil/post-checkout", guest.script, 0o755)
    guest.rename(b".git/hooks", b"old-hooks")
    guest.symlink(b"../evil", b"link")
    guest.rename(b"link", b".git/hooks")


def a_link_as_a_hook(guest: Guest) -> None:
    guest.put(b"x", guest.script, 0o755)
    guest.symlink(b"../../x", b".git/hooks/post-checkout")


# --- configuration ----------------------------------------------------------------------------------------------------


def a_configuration_in_place(guest: Guest) -> None:
    guest.put(b".git/config", guest.evil)


def an_appended_entry(guest: Guest) -> None:
    with guest.trying():
        node, handle = guest.client.open(b".git/config", os.O_WRONLY | os.O_APPEND)
        guest.client.write(node, handle, b"[core]\n\tfsmonitor = " + guest.program + b"\n", 0)
        guest.client.release(node, handle)


def a_renamed_configuration(guest: Guest) -> None:
    guest.put(b".git/config.lock", guest.evil)
    guest.rename(b".git/config.lock", b".git/config")


def an_exchanged_configuration(guest: Guest) -> None:
    guest.put(b"x", guest.evil)
    guest.rename(b"x", b".git/config", 2)
    guest.rename(b".git/config", b"y")
    guest.put(b"x", guest.evil)
    guest.rename(b"x", b".git/config")


def a_configuration_in_pieces(guest: Guest) -> None:
    with guest.trying():
        node, handle = guest.client.open(b".git/config", os.O_WRONLY | os.O_TRUNC)
        for at in range(len(guest.evil)):
            with guest.trying():
                guest.client.write(node, handle, guest.evil[at : at + 1], at)
        guest.client.release(node, handle)


def a_configuration_in_an_open_file(guest: Guest) -> None:
    guest.put(b"x", guest.harmless)
    node, handle = guest.client.open(b"x", os.O_WRONLY)
    guest.rename(b"x", b".git/config")
    with guest.trying():
        guest.client.write(node, handle, guest.evil, 0)
    guest.client.release(node, handle)


def a_configuration_with_two_names(guest: Guest) -> None:
    """The server forgets one of two names, through which the file is then changed."""
    guest.put(b"x", guest.harmless)
    guest.link(b"x", b"y")
    guest.rename(b"x", b".git/config")
    node = guest.client.find(b"y").node
    guest.client.forget(node, 1 << 20)
    guest.put(b"y", guest.evil)


def a_configuration_with_another_name(guest: Guest) -> None:
    guest.link(b".git/config", b"y")
    guest.put(b"y", guest.evil)


def a_hidden_part_of_a_configuration(guest: Guest) -> None:
    """An entry is in a comment, which is then shortened by a truncation, or started by another write."""
    guest.put(b"x", b"#[core]\n#\tfsmonitor = " + guest.program + b"\n")
    guest.rename(b"x", b".git/config")
    with guest.trying():
        node, handle = guest.client.open(b".git/config", os.O_WRONLY)
        guest.client.write(node, handle, b" ", 0)
        guest.client.write(node, handle, b" ", 8)
        guest.client.release(node, handle)


def a_copied_configuration(guest: Guest) -> None:
    guest.put(b"x", guest.evil)
    with guest.trying():
        source, target = guest.client.open(b"x", os.O_RDONLY), guest.client.open(b".git/config", os.O_WRONLY)
        body = fuse.COPY_IN.pack(source[1], 0, target[0], target[1], 0, len(guest.evil), 0)
        try:
            guest.client.request(Op.COPY_FILE_RANGE, source[0], body)
        finally:
            guest.client.release(*target)


def an_include(guest: Guest) -> None:
    guest.put(b"x", guest.evil)
    guest.put(b".git/config.lock", guest.harmless + b"[include]\n\tpath = ../x\n")
    guest.rename(b".git/config.lock", b".git/config")


def a_configuration_of_a_worktree(guest: Guest) -> None:
    guest.put(b".git/config.lock", guest.harmless + b"[extensions]\n\tworktreeConfig = true\n")
    guest.rename(b".git/config.lock", b".git/config")
    guest.put(b".git/config.worktree", guest.evil)


def a_path_of_hooks(guest: Guest) -> None:
    guest.mkdir(b"evil")
    guest.put(b"evil/post-checkout", guest.script, 0o755)
    guest.put(b".git/config.lock", guest.harmless + b"[core]\n\thooksPath = evil\n")
    guest.rename(b".git/config.lock", b".git/config")


def a_filter(guest: Guest) -> None:
    guest.put(b".gitattributes", b"* filter=evil diff=evil\n")
    section = b'[filter "evil"]\n\tclean = %s\n[diff "evil"]\n\ttextconv = %s\n' % (guest.program, guest.program)
    guest.put(b".git/config.lock", guest.harmless + section)
    guest.rename(b".git/config.lock", b".git/config")


def an_external_diff(guest: Guest) -> None:
    guest.put(b".git/config", guest.harmless + b"[diff]\n\texternal = " + guest.program + b"\n", flags=0)


def an_editor(guest: Guest) -> None:
    guest.put(b".git/config", guest.harmless + b"[core]\n\teditor = " + guest.program + b"\n")


# --- directories ------------------------------------------------------------------------------------------------------


def another_repository(guest: Guest) -> None:
    """A copy of the repository takes its place."""
    guest.copy(b".git", b"copy")
    guest.unlink(b"copy/HEAD")
    guest.put(b"copy/config", guest.evil)
    guest.rename(b".git", b"old")
    guest.rename(b"copy", b".git")
    guest.put(b".git/HEAD", b"ref: refs/heads/main\n")


def a_repository_filled_elsewhere(guest: Guest) -> None:
    guest.rename(b".git", b"old")
    guest.unlink(b"old/HEAD")
    guest.put(b"old/config", guest.evil)
    guest.put(b"old/hooks/post-checkout", guest.script, 0o755)
    guest.put(b"old/HEAD", b"ref: refs/heads/main\n")
    guest.rename(b"old", b".git")


def a_nested_repository(guest: Guest) -> None:
    guest.mkdir(b"sub")
    guest.copy(b".git", b"sub/x")
    guest.unlink(b"sub/x/HEAD")
    guest.put(b"sub/x/config", guest.evil)
    guest.rename(b"sub/x", b"sub/.git")
    guest.put(b"sub/.git/HEAD", b"ref: refs/heads/main\n")


def a_git_file(guest: Guest) -> None:
    guest.mkdir(b"sub")
    guest.copy(b".git", b"sub/x")
    guest.unlink(b"sub/x/HEAD")
    guest.put(b"sub/x/config", guest.evil)
    guest.put(b"sub/x/HEAD", b"ref: refs/heads/main\n")
    guest.put(b"sub/.git", b"gitdir: x\n")


def a_git_link(guest: Guest) -> None:
    guest.mkdir(b"sub")
    guest.copy(b".git", b"sub/x")
    guest.unlink(b"sub/x/HEAD")
    guest.put(b"sub/x/config", guest.evil)
    guest.symlink(b"x", b"sub/.git")
    guest.put(b"sub/x/HEAD", b"ref: refs/heads/main\n")


def _bare(guest: Guest, *, without: bytes = b"HEAD") -> None:
    guest.copy(b".git", b"sub")
    guest.rename(b"sub/" + without, b"kept")
    guest.put(b"sub/config", guest.evil + b"\tworktree = ..\n")


def a_bare_repository(guest: Guest) -> None:
    _bare(guest)
    guest.put(b"sub/HEAD", b"ref: refs/heads/main\n")


def a_bare_repository_completed_by_a_rename(guest: Guest) -> None:
    _bare(guest, without=b"objects")
    guest.rename(b"kept", b"sub/objects")


def a_bare_repository_completed_by_a_directory(guest: Guest) -> None:
    _bare(guest, without=b"refs")
    guest.mkdir(b"sub/refs", b"sub/refs/heads")


def a_bare_repository_completed_by_a_link(guest: Guest) -> None:
    _bare(guest)
    guest.symlink(b"refs/heads/main", b"sub/HEAD")


def a_bare_repository_completed_by_a_hard_link(guest: Guest) -> None:
    _bare(guest)
    guest.link(b"kept", b"sub/HEAD")


def a_bare_repository_changed_later(guest: Guest) -> None:
    guest.copy(b".git", b"sub")
    guest.put(b"sub/config", guest.evil + b"\tworktree = ..\n")


def a_common_directory(guest: Guest) -> None:
    """A directory with HEAD and commondir is a repository, whose configuration is elsewhere."""
    guest.copy(b".git", b"x")
    guest.unlink(b"x/HEAD")
    guest.put(b"x/config", guest.evil)
    guest.mkdir(b"sub", b"d")
    guest.put(b"d/commondir", b"../x\n")
    guest.put(b"d/HEAD", b"ref: refs/heads/main\n")
    guest.put(b"sub/.git", b"gitdir: ../d\n")


def a_common_directory_of_the_repository(guest: Guest) -> None:
    guest.copy(b".git", b"x")
    guest.unlink(b"x/HEAD")
    guest.put(b"x/config", guest.evil)
    guest.put(b".git/commondir", b"../x\n")


def a_worktree_with_another_common_directory(guest: Guest) -> None:
    guest.copy(b".git", b"x")
    guest.unlink(b"x/HEAD")
    guest.put(b"x/config", guest.evil)
    guest.mkdir(b"sub", b".git/worktrees", b".git/worktrees/sub")
    guest.put(b".git/worktrees/sub/HEAD", b"ref: refs/heads/main\n")
    guest.put(b".git/worktrees/sub/commondir", b"../../../x\n")
    guest.put(b".git/worktrees/sub/gitdir", b"../../../sub/.git\n")
    guest.put(b"sub/.git", b"gitdir: ../.git/worktrees/sub\n")


def a_submodule(guest: Guest) -> None:
    guest.copy(b".git", b"x")
    guest.unlink(b"x/HEAD")
    guest.mkdir(b".git/modules", b"sub")
    guest.rename(b"x", b".git/modules/sub")
    guest.put(b".git/modules/sub/config", guest.evil + b"\tworktree = ../../../sub\n")
    guest.put(b".git/modules/sub/hooks/post-checkout", guest.script, 0o755)
    guest.put(b".git/modules/sub/HEAD", b"ref: refs/heads/main\n")
    guest.put(b"sub/.git", b"gitdir: ../.git/modules/sub\n")


def a_directory_in_another_case(guest: Guest) -> None:
    """The guest's names are those of the host, which may ignore case. Here the name is changed afterwards."""
    guest.mkdir(b"sub", b"sub/.GIT")
    guest.copy(b".git", b"sub/x")
    guest.unlink(b"sub/x/HEAD")
    guest.put(b"sub/x/config", guest.evil)
    guest.rename(b"sub/x", b"sub/.GIT")
    guest.rename(b"sub/.GIT", b"sub/.git")
    guest.put(b"sub/.git/HEAD", b"ref: refs/heads/main\n")


def a_directory_whose_place_is_outdated(guest: Guest) -> None:
    """The guest forgets a directory, so that the server does not know that one in it is renamed."""
    git = guest.client.find(b".git").node
    guest.mkdir(b".git/foo")
    inner = guest.client.find(b".git/foo").node
    guest.client.forget(git, 1 << 20)
    guest.rename(b".git/hooks", b".git/old")
    with guest.trying():
        again = guest.client.find(b".git").node
        body = fuse.RENAME2_IN.pack(again, 0, 0) + b"foo\0hooks\0"
        guest.client.request(Op.RENAME2, again, body)
    with guest.trying():
        body = fuse.CREATE_IN.pack(os.O_WRONLY | os.O_CREAT, 0o100755, 0, 0) + b"post-checkout\0"
        reply = guest.client.request(Op.CREATE, inner, body)
        node = fuse.ENTRY.unpack_from(reply)[0]
        handle = fuse.OPEN_OUT.unpack_from(reply, fuse.ENTRY.size + fuse.ATTR.size)[0]
        guest.client.write(node, handle, guest.script, 0)
        guest.client.release(node, handle)


def an_open_file_whose_place_is_outdated(guest: Guest) -> None:
    """The guest forgets the directory of a file that it writes to, and renames the directory."""
    guest.copy(b".git", b"x")
    guest.unlink(b"x/hooks/pre-commit")
    guest.unlink(b"x/hooks/post-commit")
    node, handle = guest.client.open(b"x/config", os.O_WRONLY)
    guest.client.forget(guest.client.find(b"x").node, 1 << 20)
    guest.rename(b".git", b"old")
    guest.rename(b"x", b".git")
    with guest.trying():
        guest.client.write(node, handle, guest.evil, 0)
    guest.client.release(node, handle)


def a_mapped_configuration(guest: Guest) -> None:
    """A file that both sides map is written when it is closed, then under another name."""
    guest.mkdir(b"sub")
    guest.copy(b".git", b"sub/x")
    guest.unlink(b"sub/x/HEAD")
    guest.unlink(b"sub/x/config")
    guest.put(b"sub/x/c-shm", guest.harmless)
    node, handle = guest.client.open(b"sub/x/c-shm", os.O_RDWR)
    guest.rename(b"sub/x/c-shm", b"sub/x/config")
    with guest.trying():
        guest.client.write(node, handle, guest.evil, 0, flags=fuse.WRITE_CACHE)
    for name in (b"pre-commit", b"post-commit"):
        guest.unlink(b"sub/x/hooks/" + name)
    guest.put(b"sub/x/HEAD", b"ref: refs/heads/main\n")
    guest.rename(b"sub/x", b"sub/.git")
    with guest.trying():
        guest.client.release(node, handle)


ATTACKS: tuple[Attack, ...] = (
    a_new_hook, a_renamed_hook, a_linked_hook, a_hook_without_a_name, a_sample_becomes_a_hook, a_changed_hook,
    an_exchanged_hook, an_enabled_hook, a_hook_in_an_open_file, another_directory_of_hooks, a_link_to_hooks,
    a_renamed_link_to_hooks, a_link_as_a_hook, a_configuration_in_place, an_appended_entry, a_renamed_configuration,
    an_exchanged_configuration, a_configuration_in_pieces, a_configuration_in_an_open_file,
    a_configuration_with_two_names, a_configuration_with_another_name, a_hidden_part_of_a_configuration,
    a_copied_configuration, an_include, a_configuration_of_a_worktree, a_path_of_hooks, a_filter, an_external_diff,
    an_editor, another_repository, a_repository_filled_elsewhere, a_nested_repository, a_git_file, a_git_link,
    a_bare_repository, a_bare_repository_completed_by_a_rename, a_bare_repository_completed_by_a_directory,
    a_bare_repository_completed_by_a_link, a_bare_repository_completed_by_a_hard_link,
    a_bare_repository_changed_later, a_common_directory, a_common_directory_of_the_repository,
    a_worktree_with_another_common_directory, a_submodule, a_directory_in_another_case,
    a_directory_whose_place_is_outdated, an_open_file_whose_place_is_outdated,
)  # fmt: skip
__all__ = ["ATTACKS", "ROOT_ID", "Guest", "Path"]
