"""A report of the file server to the keeper: a change that was blocked or noticed."""

from __future__ import annotations

import msgspec

from ccvm_tui import packing

KEPT_MAX = 64 << 10
"""Maximum number of bytes of a file's content in a report."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change by the guest.

    ``path`` is relative to the project. ``check`` and ``reason`` are those of the rule, ``problems`` the parts of the
    content that are not harmless. ``content`` is the file that the guest wanted, as far as it is known and small
    enough, or the target if ``link`` is true; ``complete`` is true if that is all of it. ``before`` is the version of
    the file that it would have replaced, or empty if there is none. Without ``blocked`` the change was carried out.
    """

    path: str
    check: str
    reason: str
    problems: tuple[str, ...]
    blocked: bool
    content: bytes = b""
    complete: bool = False
    executable: bool = False
    link: bool = False
    before: str = ""


_unpack: packing.Unpacker[Report] = packing.Unpacker(Report)


def encode(report: Report) -> bytes:
    """Return the report as one message."""
    return packing.pack(report)


def decode(message: bytes) -> Report:
    """Return the report in a message. Raises ValueError if it is malformed."""
    return _unpack(message)
