"""Changes as text: a unified diff in Git's format, and one line for each file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ccvm_tui.review.hunks import Hunk, Line
from ccvm_tui.review.model import Change, Kind, Version

NO_NEWLINE = b"\\ No newline at end of file\n"
"""The line that follows a line without a newline."""

_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def quoted(path: str) -> str:
    """Return a path as Git quotes it: in double quotes with escapes if it has bytes that are not printable ASCII."""
    data = path.encode("utf-8", "surrogateescape")
    if all(32 <= byte < 127 and byte not in _ESCAPES for byte in data):
        return path
    return (
        '"' + "".join(_ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in data) + '"'
    )


def header(change: Change) -> list[str]:
    """Return the lines before the hunks, without line ends. Directories, which Git does not know, are described."""
    if Kind.DIRECTORY in (change.base.kind, change.guest.kind):
        return [_directory(change)]
    old, new = quoted(f"a/{change.origin or change.place}"), quoted(f"b/{change.path}")
    lines = [f"Conflict: {change.three_way}"] if change.three_way else []
    lines.append(f"diff --git {old} {new}")
    before, after = _git_mode(change.base), _git_mode(change.guest)
    if change.letter == "A":
        lines.append(f"new file mode {after}")
    elif change.letter == "D":
        lines.append(f"deleted file mode {before}")
    elif before != after:
        lines += [f"old mode {before}", f"new mode {after}"]
    if change.origin:
        lines += [f"rename from {quoted(change.origin)}", f"rename to {quoted(change.path)}"]
    shown = ("/dev/null" if change.letter == "A" else old, "/dev/null" if change.letter == "D" else new)
    if has_lines(change):
        lines += [f"--- {shown[0]}", f"+++ {shown[1]}"]
    elif not change.base.same_content(change.guest) and not _is_empty(change):
        lines.append(f"Binary files {shown[0]} and {shown[1]} differ")
    return lines


def _directory(change: Change) -> str:
    name = quoted(change.path)
    if change.origin:
        return f"Directory {quoted(change.origin)} renamed to {name}"
    if change.letter == "D":
        return f"Directory {name} deleted, with {change.files} file{'s' if change.files != 1 else ''}"
    return f"Directory {name} {change.words}"


def has_lines(change: Change) -> bool:
    """Return whether a change is shown by its lines: if both sides are text or symbolic links."""
    return change.is_text or any(version.kind is Kind.SYMLINK for version in (change.base, change.guest))


def host_sides(change: Change) -> tuple[bytes, bytes] | None:
    """Return the texts of the base and of the host's version if both sides have changed the file, as far as known."""
    versions = (change.base, change.host)
    if not change.three_way or any(version.data is None and version.kind is not Kind.ABSENT for version in versions):
        return None
    return change.base.data or b"", change.host.data or b""


def sides(change: Change) -> tuple[bytes, bytes]:
    """Return the texts of the base and of the guest's version, for a change that has lines."""
    return change.base.data or b"", change.guest.data or b""


def _is_empty(change: Change) -> bool:
    return change.base.size == change.guest.size == 0


def _git_mode(version: Version) -> str:
    if version.kind is Kind.SYMLINK:
        return "120000"
    return f"100{version.mode & 0o777:03o}"


def line_bytes(line: Line) -> bytes:
    """Return a line of a hunk with its sign, and with the note about a missing newline."""
    data = line.sign.encode() + line.text
    return data if data.endswith(b"\n") else data + b"\n" + NO_NEWLINE


def unified(change: Change, hunks: Sequence[Hunk], on_host: Sequence[Hunk] = ()) -> Iterator[bytes]:
    """Yield a change as lines of a unified diff, with their ends.

    The changes ``on_host`` of a conflict precede it in lines that begin with "# ", which programs ignore.
    """
    for hunk in on_host:
        yield f"# {hunk.header} on the host\n".encode()
        for shown in hunk.lines:
            yield b"# " + line_bytes(shown).replace(b"\n\\", b"\n# \\")
    for line in header(change):
        yield line.encode("utf-8", "surrogateescape") + b"\n"
    for hunk in hunks:
        yield hunk.header.encode() + b"\n"
        for shown in hunk.lines:
            yield line_bytes(shown)


def counts(hunks: Sequence[Hunk]) -> tuple[int, int]:
    """Return the numbers of added and removed lines."""
    return sum(hunk.counts[0] for hunk in hunks), sum(hunk.counts[1] for hunk in hunks)
