"""The user's global Git configuration for the guest: identity, aliases and preferences, and nothing that cannot work.

The input is the output of ``git config --list -z``, in which includes are resolved. Removed are credentials and other
secrets, programs and files that exist on the host only, and signing, whose keys are not in the guest. A program that
may be installed in the guest, such as a pager, becomes a fragment that the guest adds if it finds the program.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from ccvm_tui.agents.secrets import is_secret_name, redacted

EXCLUDES = "core.excludesfile"
"""The key with the path of the user's global excludes file."""

ATTRIBUTES = "core.attributesfile"
"""The key with the path of the user's global attributes file."""

UNSIGNED = (("commit.gpgsign", "false"), ("tag.gpgsign", "false"), ("tag.forcesignannotated", "false"),
            ("push.gpgsign", "false"))  # fmt: skip
"""Entries that turn signing off, also for repositories that ask for it in an included file."""

_SECTIONS = frozenset({"credential", "gpg", "include", "includeif", "maintenance", "sendemail", "imap", "instaweb"})
"""Sections that are removed as a whole."""

_KEYS = frozenset(
    {
        EXCLUDES,  # sent by content
        ATTRIBUTES,
        "user.signingkey",
        "core.fsmonitor",  # as a boolean it starts a daemon, which Linux lacks; otherwise it is a program
        "core.hookspath",
        "core.sshcommand",  # the user's SSH keys are not in the guest
        "core.gitproxy",
        "core.askpass",
        "init.templatedir",
        "commit.template",  # git refuses to commit if the file is missing
        "http.sslkey",
        "http.sslcert",
        "http.cookiefile",
        *(key for key, _ in UNSIGNED),
    }
)

_PROGRAM = re.compile(
    r"core\.(pager|editor|alternaterefscommand)|sequence\.editor|pager\..+|interactive\.difffilter|web\.browser"
    r"|diff\.external|diff\..+\.(command|textconv)|merge\..+\.driver|filter\..+\.(clean|smudge|process)"
    r"|(difftool|mergetool|browser|man|guitool)\..+\.(cmd|path)|trailer\..+\.(command|cmd)"
    r"|uploadpack\.packobjectshook"
)
"""Keys whose values are commands. Commands of aliases are kept: they run only when they are called by name."""

_STORE = "/nix/store/"
_PATH = re.compile(r"(?:~[^/\s]*|%\(prefix\))?/|~")
_PATHS_KEPT = frozenset({"safe.directory"})
_BOOLEAN = re.compile(r"true|false|yes|no|on|off|[01]", re.IGNORECASE)
_SSH = re.compile(r"ssh://|git\+ssh://|(?![a-z+]+://)[^/]+:")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_SYSTEM = ("/bin/", "/usr/bin/")


@dataclass(frozen=True, slots=True)
class Entry:
    """A setting. ``key`` has the form ``section.key`` or ``section.SUBSECTION.key``.

    ``value`` is None for a key alone, which means true.
    """

    key: str
    value: str | None = None

    @property
    def section(self) -> str:
        """The name of the section."""
        return self.key.partition(".")[0]

    @property
    def subsection(self) -> str:
        """The name of the subsection, or an empty string."""
        return self.key.partition(".")[2].rpartition(".")[0]

    @property
    def name(self) -> str:
        """The name without section and subsection."""
        return self.key.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a configuration file, for guests in which the program ``needs`` exists, or for all if it is empty."""

    text: str
    needs: str = ""


def parse(listing: bytes) -> list[Entry]:
    """Return the entries in the output of ``git config --list -z``. Bytes that are not UTF-8 are kept as surrogates."""
    entries = []
    for part in listing.split(b"\0"):
        if part:
            key, newline, value = part.decode("utf-8", "surrogateescape").partition("\n")
            entries.append(Entry(key, value if newline else None))
    return entries


def last(entries: Iterable[Entry], key: str) -> str:
    """Return the value of ``key`` that is in effect, or an empty string."""
    return next((entry.value or "" for entry in reversed(list(entries)) if entry.key == key), "")


def fragments(entries: Iterable[Entry]) -> list[Fragment]:
    """Return the configuration file for the guest, in parts."""
    plain: list[Entry] = []
    programs: list[tuple[Entry, str]] = []
    for entry in entries:
        if _is_removed(entry):
            continue
        if _PROGRAM.fullmatch(entry.key) and not _BOOLEAN.fullmatch(entry.value or "true"):
            if needs := _program(entry.value or ""):
                programs.append((entry, needs))
        elif not _is_of_host(entry):
            plain.append(entry)
    plain += [Entry(key, value) for key, value in UNSIGNED]
    return [Fragment(render(plain)), *(Fragment(render([entry]), needs) for entry, needs in programs)]


def render(entries: Iterable[Entry]) -> str:
    """Return ``entries`` as the text of a configuration file."""
    lines: list[str] = []
    current = None
    for entry in entries:
        place = (entry.section, entry.subsection)
        if place != current:
            quoted = entry.subsection.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'[{entry.section} "{quoted}"]' if entry.subsection else f"[{entry.section}]")
            current = place
        lines.append(f"\t{entry.name}" if entry.value is None else f'\t{entry.name} = "{_escaped(entry.value)}"')
    return "".join(f"{line}\n" for line in lines)


def _escaped(value: str) -> str:
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\b", "\\b")):
        value = value.replace(character, escape)
    return value


def _is_removed(entry: Entry) -> bool:
    value = entry.value or ""
    if entry.section in _SECTIONS or entry.key in _KEYS or _STORE in value or _STORE in entry.subsection:
        return True
    if is_secret_name(entry.name) or entry.name in ("extraheader", "pass", "smtppass"):
        return True
    if entry.section == "http" and entry.name in ("sslkey", "sslcert", "cookiefile"):  # of one host
        return True
    if entry.section == "url" and entry.name.endswith("insteadof") and _SSH.match(entry.subsection):
        return True  # without SSH keys, the original URL is the one that may work
    return redacted(value) != value or redacted(entry.subsection) != entry.subsection


def _is_of_host(entry: Entry) -> bool:
    """Return whether the value is the path of a file, which is not in the guest."""
    return bool(_PATH.match(entry.value or "")) and entry.key not in _PATHS_KEPT and entry.section != "alias"


def _program(command: str) -> str:
    """Return the program that ``command`` runs, or an empty string if it cannot be in the guest."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    word = next((word for word in words if not _ASSIGNMENT.fullmatch(word)), "")
    if "/" in word:
        return word if word.startswith(_SYSTEM) else ""
    return word if re.fullmatch(r"[\w.+-]+", word) else ""
