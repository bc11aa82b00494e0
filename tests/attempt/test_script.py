"""The parsing of what an attempt's guest prints, which can have any content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.attempt import script
from ccvm_tui.errors import UserError

ONE, TWO = "1" * 40, "2" * 40
LINES = (
    f"# branch.oid {ONE}\n# branch.head fix\n1 .M N... 100644 100644 100644 {ONE} {ONE} a.txt\n"
    f"2 R. N... 100644 100644 100644 {ONE} {ONE} R100 new\told\nu UU N... more\n? new file\n"
)


def test_the_state_is_counted() -> None:
    state = script.parse(f"{LINES}unfetched 2\napart 1 3\nchanged 7\n".encode())
    assert (state.branch, state.head, state.ahead, state.behind) == ("fix", ONE, 3, 1)
    assert (state.uncommitted, state.changed, state.unfetched) == (4, 8, 2)


def test_without_commits_the_changed_files_are_the_uncommitted_ones() -> None:
    assert script.parse(LINES.encode()).changed == 4


def test_branches_and_the_commit_of_the_files_precede_a_pack() -> None:
    state = script.parse(f"{LINES}ref {ONE} refs/heads/fix\nref {TWO} refs/heads/a/b\nfiles {TWO}".encode())
    assert state.refs == {"fix": ONE, "a/b": TWO}
    assert state.files == TWO


def test_no_branch_and_no_commit_are_empty() -> None:
    state = script.parse(b"# branch.oid (initial)\n# branch.head (detached)\n")
    assert (state.branch, state.head) == ("", "")


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"# branch.head fix\n",
        b"# branch.oid 123\n# branch.head fix\n",
        f"{LINES}ref {ONE[1:]} refs/heads/x".encode(),
        f"{LINES}files --upload-pack=x".encode(),
        f"{LINES}unfetched many".encode(),
        f"{LINES}apart 1".encode(),
        "# branch.oid \u0661\n".encode(),
    ],
)
def test_other_output_is_an_error(output: bytes) -> None:
    with pytest.raises(UserError):
        script.parse(output)


@given(st.binary(max_size=200))
def test_no_output_causes_another_error(output: bytes) -> None:
    for begin in (b"", LINES.encode()):
        try:
            state = script.parse(begin + output)
        except UserError:
            continue
        assert all(0 <= number <= script.COUNT_MAX for number in (state.ahead, state.behind, state.changed))
