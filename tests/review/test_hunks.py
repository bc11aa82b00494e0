from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.review import difference, unified
from ccvm_tui.review.hunks import lines_of, merged
from tests.review.guests import edited_project

LINES = st.sampled_from([b"a", b"b", b"c", b"", b"\r", b"\x00x", b"{", b"}"])
TEXTS = st.builds(
    lambda lines, end: b"\n".join(lines) + end, st.lists(LINES, max_size=40), st.sampled_from([b"", b"\n"])
)


@given(old=TEXTS, new=TEXTS)
@settings(max_examples=150)
def test_all_hunks_give_the_new_text_and_none_the_old_one(old: bytes, new: bytes) -> None:
    hunks = difference.compared(old, new)
    assert merged(lines_of(old), lines_of(new), hunks) == new
    assert merged(lines_of(old), lines_of(new), []) == old
    assert bool(hunks) == (old != new)


@given(old=TEXTS, new=TEXTS, data=st.data())
@settings(max_examples=100)
def test_some_hunks_and_then_the_others_give_the_new_text(old: bytes, new: bytes, data: st.DataObject) -> None:
    hunks = difference.compared(old, new)
    chosen = [hunk for hunk in hunks if data.draw(st.booleans())]
    between = merged(lines_of(old), lines_of(new), chosen)
    assert merged(lines_of(between), lines_of(new), difference.compared(between, new)) == new
    for hunk in hunks:
        before, after = _block(hunk.lines, "-"), _block(hunk.lines, "+")
        assert after in (new if new.endswith(b"\n") or hunk is not hunks[-1] else new + b"\n") or not after
        assert before in old + b"\n"


def _block(lines: object, sign: str) -> bytes:
    return b"".join(line.text for line in lines if line.sign in (" ", sign))  # type: ignore[attr-defined]


@given(old=TEXTS, new=TEXTS)
@settings(max_examples=30)
def test_git_applies_what_is_printed(old: bytes, new: bytes) -> None:
    if b"\0" in old + new:
        return
    with edited_project() as project:
        (project.host / "f").write_bytes(old)
        project.write("f", new)
        if old == new:
            assert not project.review().changes
            return
        change = project.change("f")
        patch = b"".join(unified.unified(change, difference.compared(*unified.sides(change))))
        subprocess.run(["git", "apply", "-"], input=patch, cwd=project.host, check=True, env=_no_git(project.host))
        assert (project.host / "f").read_bytes() == new


def _no_git(directory: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(directory), "GIT_CEILING_DIRECTORIES": str(directory.parent)}


def test_without_diff_everything_between_the_first_and_the_last_difference_is_one_hunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = b"1\n2\n3\n4\n5\n", b"1\nx\n3\ny\n5\n"
    (both,) = difference.compared(old, new)
    assert both.blocks == ((1, 2, 1, 2), (3, 4, 3, 4))
    monkeypatch.setenv("PATH", "/nonexistent")
    (one,) = difference.compared(old, new)
    assert one.blocks == ((1, 4, 1, 4),)


def test_distant_changes_are_separate_hunks() -> None:
    old = [b"%d\n" % number for number in range(100)]
    new = [*old[:10], b"x\n", *old[11:50], *old[52:], b"end"]
    first, second, third = difference.compared(b"".join(old), b"".join(new))
    assert (first.header, first.counts) == ("@@ -8,7 +8,7 @@", (1, 1))
    assert (second.header, second.counts) == ("@@ -48,8 +48,6 @@", (0, 2))
    assert (third.header, third.counts) == ("@@ -98,3 +96,4 @@", (1, 0))


def test_a_name_with_control_characters_is_quoted_as_by_git() -> None:
    assert unified.quoted('a\tb"\x1b\udcff') == '"a\\tb\\"\\033\\377"'
    assert unified.quoted("plain name") == "plain name"
