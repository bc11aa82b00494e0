"""The global configuration of Git for the guest, checked with the real Git."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.agents import gitconfig
from ccvm_tui.agents.gitconfig import UNSIGNED, Entry


def listed(text: str) -> list[Entry]:
    """Return the entries that Git reads from a file with ``text``."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        listing = subprocess.run(
            ["git", "config", "--file", file.name, "--list", "-z"], capture_output=True, check=True, cwd="/"
        )
    return gitconfig.parse(listing.stdout)


def guest(*lines: str) -> dict[str, str | None]:
    """Return what crosses of a configuration file with ``lines``, apart from the entries that turn signing off."""
    texts = [fragment.text for fragment in gitconfig.fragments(listed("\n".join(lines)))]
    entries = {entry.key: entry.value for entry in listed("".join(texts))}
    assert {key: entries.pop(key) for key, _ in UNSIGNED} == dict(UNSIGNED)
    return entries


def needs(*lines: str) -> list[str]:
    return [fragment.needs for fragment in gitconfig.fragments(listed("\n".join(lines)))]


names = st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True)
texts = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=20)
subsections = st.one_of(
    st.just(""), st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), max_size=8)
)


@settings(max_examples=60)
@given(st.lists(st.tuples(names, subsections, names, st.one_of(st.none(), texts)), max_size=8))
def test_git_reads_back_what_is_rendered(parts: list[tuple[str, str, str, str | None]]) -> None:
    entries = [
        Entry(f"{section}.{sub}.{name}" if sub else f"{section}.{name}", value) for section, sub, name, value in parts
    ]
    assert listed(gitconfig.render(entries)) == entries


def test_identity_aliases_and_preferences_cross() -> None:
    lines = [
        "[user]", "name = A B", "email = a@b", "[alias]", 'x = "!f() { echo \\"a;b\\"; }; f"', "[pull]", "rebase = true",
        "[color]", "ui", '[branch "a.b"]', "remote = o", "[safe]", "directory = /srv/x", "[core]", "autocrlf = input",
        '[url "https://host/"]', "insteadOf = gh:",
    ]  # fmt: skip
    assert guest(*lines) == {
        "user.name": "A B",
        "user.email": "a@b",
        "alias.x": '!f() { echo "a;b"; }; f',
        "pull.rebase": "true",
        "color.ui": None,
        "branch.a.b.remote": "o",
        "safe.directory": "/srv/x",
        "core.autocrlf": "input",
        "url.https://host/.insteadof": "gh:",
    }


@pytest.mark.parametrize(
    "lines",
    [
        ["[credential]", "helper = store"],
        ['[credential "https://host"]', "username = me"],
        ["[http]", "extraHeader = Authorization: Basic Zm9v"],
        ['[http "https://host"]', "extraHeader = X: Zm9v"],
        ["[http]", "proxy = http://me:pw@proxy:3128"],
        ['[url "https://me:tok@host/"]', "insteadOf = gh:"],
        ['[url "git@host:"]', "insteadOf = https://host/"],
        ['[url "ssh://git@host/"]', "pushInsteadOf = https://host/"],
        ["[github]", "token = abc"],
        ["[sendemail]", "smtpPass = x", "smtpUser = y"],
        ["[commit]", "gpgSign = true", "template = ~/.message"],
        ["[tag]", "gpgSign = true", "forceSignAnnotated = true"],
        ["[gpg]", "format = ssh"],
        ['[gpg "ssh"]', "program = op-ssh-sign"],
        ["[user]", "signingKey = ABC"],
        ["[core]", "excludesFile = ~/.ignore", "attributesFile = /x"],
        ["[core]", "pager = /nix/store/abc-delta/bin/delta"],
        ["[core]", "editor = /opt/editor/bin/editor --wait"],
        ["[core]", "editor = ~/bin/ed", "hooksPath = hooks", "fsmonitor = true", "sshCommand = ssh -v"],
        ["[init]", "templateDir = ~/.template"],
        ["[http]", "sslCAInfo = /etc/own.pem"],
        ['[http "https://host"]', "sslKey = key.pem"],
        ["[include]", "path = none"],
        ['[includeIf "gitdir:~/company/"]', "path = none"],
        ["[maintenance]", "repo = /home/me/x"],
        ["[diff]", 'external = "unbalanced \\" quote"'],
    ],
)
def test_secrets_and_settings_of_the_host_do_not_cross(lines: list[str]) -> None:
    assert guest(*lines) == {}


def test_programs_cross_only_to_guests_that_have_them() -> None:
    lines = ["[core]", "pager = LESS=-R delta --dark", "editor = /usr/bin/vim", "[pager]", "log = false", "diff = bat"]
    assert needs(*lines) == ["", "delta", "/usr/bin/vim", "bat"]
    assert guest(*lines)["pager.log"] == "false"


def test_a_required_filter_stays_required_without_its_program() -> None:
    """Git then refuses to add the files, instead of committing them in the wrong form."""
    lines = ['[filter "lfs"]', "clean = git-lfs clean -- %f", "smudge = git-lfs smudge", "required = true"]
    first, *others = gitconfig.fragments(listed("\n".join(lines)))
    assert 'required = "true"' in first.text
    assert [fragment.needs for fragment in others] == ["git-lfs", "git-lfs"]


def test_the_last_value_is_in_effect() -> None:
    entries = listed("[core]\nexcludesFile = a\nexcludesFile = b\n")
    assert gitconfig.last(entries, gitconfig.EXCLUDES) == "b"
    assert gitconfig.last(entries, gitconfig.ATTRIBUTES) == ""


@given(st.binary(max_size=60))
def test_any_listing_is_accepted(data: bytes) -> None:
    assert gitconfig.fragments(gitconfig.parse(data))


def test_the_rendered_file_can_have_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"[user]\n\tname = \xff\n")
    (entry,) = gitconfig.parse(b"user.name\n\xff\0")
    (tmp_path / "again").write_text(gitconfig.render([entry]), encoding="utf-8", errors="surrogateescape")
    assert b'"\xff"' in (tmp_path / "again").read_bytes()
