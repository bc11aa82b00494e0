"""The generated parts of the documentation's pages.

A page contains a generated part between ``<!-- generated: NAME -->`` and ``<!-- end -->``. ``updated`` replaces what is
between the two lines; everything else on the page is written by hand.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable

from ccvm_tui import requirements
from ccvm_tui.cli import ccvm, parser
from ccvm_tui.config import SCHEMA, Keys, Setting, Settings
from ccvm_tui.tui.actions import table
from ccvm_tui.tui.model import scrollback
from reference.commands import STATUSES, Command, commands

PAGES = ("commands.md", "configuration.md", "install.md", "keys.md")
"""The pages in ``docs`` that have generated parts."""

_WIDTH = 100
_PART = re.compile(r"(<!-- generated: (?P<name>.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(page: str) -> str:
    """Return ``page`` with its generated parts as they should be. Raises KeyError if a part's name is unknown."""
    parts = _parts()
    return _PART.sub(lambda found: f"{found[1]}{parts[found['name']]()}{found[3]}", page)


def names(page: str) -> list[str]:
    """Return the names of the generated parts of ``page``."""
    return [found["name"] for found in _PART.finditer(page)]


def _parts() -> dict[str, Callable[[], str]]:
    parts: dict[str, Callable[[], str]] = {
        "verbs": _verbs,
        "exit statuses": lambda: _table(("status", "meaning"), STATUSES.items()),
        "ccvm": lambda: _table(("flag", "meaning"), ((f"`{flag}`", about) for flag, about in ccvm.FLAGS.items())),
        "settings": _settings,
        "requirements": _requirements,
        "keys": _keys,
        "copy mode": lambda: _table(("key", "meaning"), scrollback.KEYS),
    }
    for verb in parser.VERBS:
        parts[verb] = lambda verb=verb: _verb(verb)  # type: ignore[misc]
    return parts


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in line)}|\n" for line in lines)


def _verbs() -> str:
    return _table(("verb", "purpose"), ((f"[`{verb}`](#{verb})", about) for verb, about in parser.VERBS.items()))


def _verb(verb: str) -> str:
    """Return usage and options of a verb, and of each of its actions."""
    return "\n".join(_command(command) for command in commands() if command.verb == verb)


def _command(command: Command) -> str:
    usage = f"```text\n{usage_text(command, _WIDTH)}\n```\n"
    rows = [(f"`{option.spelling}`", option.about) for option in (*command.arguments, *command.options)]
    action = f"{command.about[0].upper()}{command.about[1:]}:\n\n" if command.name != command.verb else ""
    return action + usage + (f"\n{_table(('argument', 'meaning'), rows)}" if rows else "")


def usage_text(command: Command, width: int) -> str:
    """Return the usage in lines of at most ``width`` characters, without breaks inside an option."""
    first, *rest = (part.replace(" ", "\N{NO-BREAK SPACE}") for part in command.usage)
    indent = " " * (len(first) + 1)
    lines = textwrap.wrap(
        " ".join((first, *rest)), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _requirements() -> str:
    """Return the table of what the host needs, with a column of packages for each package manager."""
    managers = requirements.MANAGERS
    qemu = [requirements.qemu(machine) for machine in ("x86_64", "aarch64")]
    rows = [*qemu, *(row for row in requirements.TABLE if row is not requirements.QEMU)]
    return _table(
        ("needed", "purpose", *(manager.name for manager in managers)),
        (
            (
                " or ".join(f"`{program}`" for program in row.programs) or "keys of Debian",
                row.purpose,
                *(
                    f"`{row.packages[manager.name]}`" if manager.name in row.packages else "none"
                    for manager in managers
                ),
            )
            for row in rows
        ),
    )


def _settings() -> str:
    return _table(
        ("setting", "default", "variable", "meaning"),
        (
            (
                f"`{row.name}`",
                f"`{json.dumps(row.default, ensure_ascii=False)}`",
                f"`{row.variable}`" if row.variable else "",
                meaning(row),
            )
            for row in SCHEMA.values()
        ),
    )


def meaning(row: Setting) -> str:
    """Return the description of a setting, with its values if there are only some."""
    return f"{row.about} ({row.kind.requirement})" if row.kind.values else row.about


def _keys() -> str:
    """Return the table of all actions that have a key in the tree or after the leader, with the default keys."""
    after_leader = {title: key for key, title, _ in table.leader_keys(Settings().leader, Keys())}
    in_tree = {title: key for key, title in table.tree_keys()}
    descriptions = {action.title: action.description for action in table.ACTIONS}
    titles = [*(title for _, title in table.NAVIGATION), *descriptions]
    return _table(
        ("action", "meaning", "after the leader", "in the tree"),
        (
            (title, descriptions.get(title, ""), _key(after_leader.get(title, "")), _key(in_tree.get(title, "")))
            for title in [*titles, *(title for title in after_leader if title not in titles)]
            if title in after_leader or title in in_tree
        ),
    )


def _key(key: str) -> str:
    return key if " or " in key or not key else f"`{key}`"
