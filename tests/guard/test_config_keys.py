"""The entries of a Git configuration that pass the guard, and those that do not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.guard.config_file import parse
from ccvm_tui.guard.config_keys import harmful
from tests.guard.poison import HARMFUL, config


@pytest.mark.parametrize(("key", "value"), HARMFUL)
def test_harmful_entries_are_found(key: str, value: str) -> None:
    (entry,) = parse(config(key, value)).entries
    assert harmful([entry]) == [entry]


@given(st.sampled_from(HARMFUL), st.data())
def test_harmful_entries_are_found_in_any_case_and_layout(pair: tuple[str, str], data: st.DataObject) -> None:
    text = config(*pair)
    head, line = text.rstrip(b"\n").split(b"\n")
    name, _, rest = line.partition(b" = ")
    cased = bytes(byte ^ 0x20 if chr(byte).isalpha() and data.draw(st.booleans()) else byte for byte in name)
    around = data.draw(st.sampled_from((b"", b"\n", b" ", b"\t", b"\r\n", b"\n# comment\n", b"\n;x\n")))
    before = data.draw(st.sampled_from((b"", b"[core]\n\tbare = false\n", b"\xef\xbb\xbf", b"[user]name=x\n")))
    parsed = parse(before + head + around + cased + b"=" + rest + around)
    assert harmful(parsed.entries)


@given(st.sampled_from(HARMFUL), st.integers(0, 60))
def test_no_part_of_the_name_of_a_harmful_entry_is_effective(pair: tuple[str, str], length: int) -> None:
    """A file may be written in pieces. Only a name alone may be unfinished, and it has no value then."""
    text = config(*pair)
    for entry in harmful(parse(text[:length]).entries) or parse(text[:length]).entries:
        assert entry.value is not None or entry.unfinished or harmful([entry])


def test_what_git_writes_into_a_repository_is_harmless(tmp_path: Path, git: Callable[..., str]) -> None:
    source, clone, bare = (str(tmp_path / name) for name in ("source", "clone", "bare.git"))
    git("init", "-q", source)
    git("-C", source, "commit", "-q", "--allow-empty", "-m", "one")
    git("clone", "-q", source, clone)
    git("clone", "-q", "--bare", source, bare)
    git("clone", "-q", "--mirror", source, str(tmp_path / "mirror.git"))
    git("-C", clone, "checkout", "-q", "-b", "topic", "--track", "origin/HEAD")
    git("-C", clone, "remote", "add", "-t", "main", "other", "git@example.org:me/project.git")
    git("-C", clone, "remote", "set-url", "--push", "other", "https://example.org/me/project")
    git("-C", clone, "config", "user.name", "Me")
    git("-C", clone, "config", "user.email", "me@example.org")
    git("-C", clone, "branch", "--edit-description", "topic")
    git("-C", clone, "-c", "protocol.file.allow=always", "submodule", "add", "-q", source, "lib")
    git("-C", clone, "sparse-checkout", "set", "src")
    git("-C", clone, "worktree", "add", "-q", str(tmp_path / "worktree"))
    git("-C", clone, "config", "extensions.worktreeConfig", "true")
    found = [path for path in tmp_path.rglob("config*") if path.is_file()]
    assert len(found) >= 5
    for path in found:
        rest = [entry for entry in harmful(parse(path.read_bytes()).entries) if entry.key != b"core.worktree"]
        assert not rest, path


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``git("init", path)`` runs Git without the user's configuration."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_EDITOR", "true")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Me")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "me@example.org")

    def run(*argv: str) -> str:
        return subprocess.run(["git", *argv], check=True, capture_output=True, text=True).stdout

    return run
