"""Lock files are read, compared, and refused if they are damaged."""

from __future__ import annotations

import copy
import json
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.locks import Change, Follows, Locked, LockError, compare, parse

LOCK: dict[str, Any] = {
    "nodes": {
        "crane": {
            "flake": False,
            "locked": {
                "lastModified": 1784000000,
                "narHash": "sha256-Y3JhbmU=",
                "type": "tarball",
                "url": "https://api.example.org/f/pinned/crane/0.20.1/source.tar.gz",
            },
            "original": {"type": "tarball", "url": "https://example.org/f/crane/0.20.tar.gz"},
        },
        "dots": {
            "inputs": {"nixpkgs": "nixpkgs_2"},
            "locked": {
                "lastModified": 1783000000,
                "narHash": "sha256-ZG90cw==",
                "ref": "refs/heads/main",
                "rev": "0123456789abcdef0123456789abcdef01234567",
                "revCount": 71,
                "type": "git",
                "url": "https://git.example.org/dots",
            },
            "original": {"type": "git", "url": "https://git.example.org/dots"},
        },
        "forge": {
            "locked": {
                "host": "gitlab.example.org",
                "narHash": "sha256-Zm9yZ2U=",
                "owner": "group%2Fsub",
                "repo": "forge",
                "rev": "fedcba9876543210fedcba9876543210fedcba98",
                "type": "gitlab",
            },
            "original": {"host": "gitlab.example.org", "owner": "group%2Fsub", "repo": "forge", "type": "gitlab"},
        },
        "home-manager": {
            "inputs": {"nixpkgs": ["nixpkgs"], "utils": ["dots", "nixpkgs"]},
            "locked": {
                "lastModified": 1785700000,
                "narHash": "sha256-aG9tZQ==",
                "owner": "nix-community",
                "repo": "home-manager",
                "rev": "be85afc7e6c48bf26191bbfc7ae9ec6a9af4253c",
                "type": "github",
            },
            "original": {"owner": "nix-community", "repo": "home-manager", "type": "github"},
        },
        "local": {
            "locked": {"lastModified": 1, "narHash": "sha256-bG9jYWw=", "path": "/srv/local", "type": "path"},
            "original": {"path": "/srv/local", "type": "path"},
        },
        "nixpkgs": {
            "locked": {
                "lastModified": 1785599192,
                "narHash": "sha256-dg4RTtDxnXY13UkJNdhmgTUTl0n/IJBlCigfO7nutZw=",
                "owner": "NixOS",
                "repo": "nixpkgs",
                "rev": "6d65bfc1bcef2ef39a239d38e577e92a89fb0f07",
                "type": "github",
            },
            "original": {"owner": "NixOS", "ref": "nixos-unstable", "repo": "nixpkgs", "type": "github"},
        },
        "nixpkgs_2": {
            "locked": {
                "lastModified": 1780000000,
                "narHash": "sha256-b2xk",
                "owner": "NixOS",
                "repo": "nixpkgs",
                "rev": "a" * 40,
                "type": "github",
            },
            "original": {"id": "nixpkgs", "type": "indirect"},
        },
        "root": {
            "inputs": {
                "crane": "crane",
                "dots": "dots",
                "forge": "forge",
                "home-manager": "home-manager",
                "local": "local",
                "nixpkgs": "nixpkgs",
                "systems": [],
            }
        },
    },
    "root": "root",
    "version": 7,
}


def edited(path: str, value: Any) -> str:
    """Return the lock file with one value replaced; ``path`` is separated by spaces."""
    lock = copy.deepcopy(LOCK)
    *parents, last = path.split()
    table = lock
    for key in parents:
        table = table[key]
    table[last] = value
    return json.dumps(lock)


def test_all_inputs_are_found_by_their_paths() -> None:
    inputs = parse(json.dumps(LOCK))
    assert sorted(inputs) == [
        "crane", "dots", "dots/nixpkgs", "forge", "home-manager", "home-manager/nixpkgs", "home-manager/utils",
        "local", "nixpkgs", "systems",
    ]  # fmt: skip
    assert inputs["nixpkgs"] == Locked(
        "github",
        "github:NixOS/nixpkgs",
        "6d65bfc1bcef2ef39a239d38e577e92a89fb0f07",
        "sha256-dg4RTtDxnXY13UkJNdhmgTUTl0n/IJBlCigfO7nutZw=",
        date(2026, 8, 1),
        "https://github.com/NixOS/nixpkgs",
    )
    assert inputs["home-manager/nixpkgs"] == Follows("nixpkgs")
    assert inputs["home-manager/utils"] == Follows("dots/nixpkgs")
    assert inputs["systems"] == Follows("")


@pytest.mark.parametrize(
    ("path", "label", "link"),
    [
        ("nixpkgs", "6d65bfc1b", "https://github.com/NixOS/nixpkgs/commit/6d65bfc1bcef2ef39a239d38e577e92a89fb0f07"),
        (
            "forge",
            "fedcba987",
            "https://gitlab.example.org/group/sub/forge/-/commit/fedcba9876543210fedcba9876543210fedcba98",
        ),
        ("dots", "012345678", "https://git.example.org/dots"),
        ("crane", "sha256-Y3JhbmU=", "https://api.example.org/f/pinned/crane/0.20.1/source.tar.gz"),
        ("local", "sha256-bG9jYWw=", ""),
    ],
)
def test_an_input_is_shown_by_its_revision_or_its_hash(path: str, label: str, link: str) -> None:
    found = parse(json.dumps(LOCK))[path]
    assert isinstance(found, Locked)
    assert (found.label, found.link) == (label, link)


def test_differences_are_additions_removals_and_changes() -> None:
    old, new = parse(json.dumps(LOCK)), parse(edited("nodes nixpkgs locked rev", "b" * 40))
    (change,) = compare(old, new)
    assert change.path == "nixpkgs"
    assert change.comparison == (
        f"https://github.com/NixOS/nixpkgs/compare/6d65bfc1bcef2ef39a239d38e577e92a89fb0f07...{'b' * 40}"
    )
    assert compare({}, old) == [Change(path, None, old[path]) for path in sorted(old)]
    assert compare(old, {}) == [Change(path, old[path], None) for path in sorted(old)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("nodes nixpkgs locked owner", "somebody-else"),  # commits of two repositories cannot be compared
        ("nodes nixpkgs locked type", "tarball"),
    ],
)
def test_different_sources_have_no_list_of_commits(path: str, value: str) -> None:
    (change,) = compare(parse(json.dumps(LOCK)), parse(edited(path, value)))
    assert change.comparison == ""


@pytest.mark.parametrize(
    "source", ["javascript:alert(1)", "https://example.org/a)b", "https://a b", "http://example.org", "ssh://x/y"]
)
def test_only_plain_addresses_become_links(source: str) -> None:
    found = parse(edited("nodes crane locked url", source))["crane"]
    assert isinstance(found, Locked)
    assert (found.link, found.source) == ("", f"tarball:{source}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "the lock file is missing or not an object"),
        (edited("version", 8), "version of the format is 8"),
        (edited("version", True), "version of the format is True"),
        (edited("nodes", None), "nodes is missing"),
        (edited("root", "trunk"), "the node 'trunk' is missing"),
        (edited("nodes root inputs crane", "crane_2"), "the node 'crane_2' is missing"),
        (edited("nodes root inputs crane", 3), "the input 'crane' is missing or not a string"),
        (edited("nodes root inputs crane", ["nixpkgs", 3]), "inputs of 'root' is missing or not a string"),
        (edited("nodes crane locked", None), "locked of 'crane' is missing"),
        (edited("nodes crane locked type", ""), "the node 'crane' has no type"),
        (edited("nodes nixpkgs locked rev", "main"), "which is not a hash"),
        (edited("nodes nixpkgs locked lastModified", "today"), "lastModified of 'nixpkgs' is not a number"),
        (edited("nodes nixpkgs locked lastModified", 10**30), "lastModified of 'nixpkgs' is not a time"),
    ],
)
def test_a_damaged_lock_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(LockError, match=message):
        parse(text)


def test_inputs_that_contain_themselves_end() -> None:
    inputs = parse(edited("nodes dots inputs", {"again": "dots", "up": "home-manager"}))
    assert "dots/again" in inputs
    assert "dots/again/again" not in inputs


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
PATHS = st.sampled_from(
    [
        "version", "root", "nodes", "nodes root", "nodes root inputs", "nodes root inputs dots", "nodes dots inputs",
        "nodes dots locked", "nodes dots locked type", "nodes dots locked rev", "nodes crane locked url",
        "nodes crane locked lastModified", "nodes crane locked narHash", "nodes forge locked host",
    ]
)  # fmt: skip


@given(PATHS, JSON)
def test_any_value_in_any_place_is_read_or_refused(path: str, value: Any) -> None:
    try:
        inputs = parse(edited(path, value))
    except LockError:
        return
    assert compare(inputs, inputs) == []
    for change in compare({}, inputs):
        if isinstance(change.new, Locked):
            assert re.fullmatch(r"(https://[^\s()|]+)?", change.new.link)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(LockError):
        parse(text)
