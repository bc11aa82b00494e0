"""A guest's edits of a read-only project, which exist only in the guest, and the protocol's messages about them."""

from __future__ import annotations

import msgspec

from ccvm_tui.packing import Message

EDITS_MAX = 50_000
"""Maximum number of edits that are listed."""


class Base(msgspec.Struct, frozen=True):
    """A host file as it was when the guest first edited its name.

    ``mode`` includes the file type; times are ns since 1970. ``noted`` is when this was recorded, ``copy`` the name of
    a copy of its content in the store, or empty.
    """

    mode: int
    size: int
    device: int
    inode: int
    modified: int
    changed: int
    noted: int
    copy: str = ""


class Edit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A name in a read-only project that the guest has edited; ``share.edit_list.listed`` explains the fields."""

    path: str
    place: str
    kind: str
    backing: str = ""
    base: Base | None = None
    origin: str = ""
    left: bool = False
    origin_base: Base | None = None


class CheckEdits(Message, frozen=True):
    """Return the number of edits of a read-only project as Edits, with paths or, if ``listed``, with all details."""

    listed: bool = False


class AcceptEdits(Message, frozen=True):
    """Report that edits at ``paths`` were applied to the host or undone, or with ``undoing`` are about to be undone."""

    paths: tuple[str, ...]
    undoing: bool = False


class Edits(Message, frozen=True):
    """The number of edited files that exist only in the guest, and the first paths, or up to ``EDITS_MAX`` edits."""

    files: int
    names: tuple[str, ...] = ()
    listed: tuple[Edit, ...] = ()


Request = CheckEdits | AcceptEdits
"""The part of ``protocol.Request``."""
