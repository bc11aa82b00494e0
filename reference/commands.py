"""The verbs of ``ccvm-tui`` with their usage and options, as the parser defines them.

The help of argparse differs from one version of Python to another. The reference must not, since it is committed, so
it is derived from the parser's actions and not from its help.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from ccvm_tui.cli import parser

STATUSES = {
    "0": "done; also after detaching",
    "1": "refused or failed; standard error contains the reason and what to type next",
    "2": "the command line or a setting is invalid",
    "3": "no such guest or session",
    "4": "a prerequisite, an image or an accelerator is missing or does not work",
    "5": "the guest did not become ready",
    "6": "the connection to the guest or its keeper was lost, or the keeper uses another version of the protocol",
    "70": "a bug in ccvm; the message names the file with the details",
    "126": "a program's arguments and environment exceed the limits of Linux",
    "128 + n": "ended by signal n: 130 Ctrl+C, 141 the reader of the output has exited",
}
"""The exit statuses and their meaning."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option or a positional argument: its spelling, such as ``--memory MIB``, and its help."""

    spelling: str
    about: str


@dataclass(frozen=True, slots=True)
class Command:
    """A verb, or one action of a verb: ``image build``.

    ``usage`` are the parts of the usage that must not be divided by a line break. ``note`` is the end of the help.
    """

    name: str
    about: str
    usage: tuple[str, ...]
    arguments: tuple[Option, ...]
    options: tuple[Option, ...]
    note: str

    @property
    def verb(self) -> str:
        """The first word of the name."""
        return self.name.partition(" ")[0]


def commands() -> list[Command]:
    """Return all verbs in the order of the help, with a command for each action of a verb that has actions."""
    verbs = _subparsers(parser.complete_parser())
    assert verbs is not None
    return [command for verb, about in parser.VERBS.items() for command in _commands(verb, about, verbs.choices[verb])]


def _commands(name: str, about: str, verb: argparse.ArgumentParser) -> Iterator[Command]:
    actions = _subparsers(verb)
    if actions is None:
        yield _command(name, about, verb)
        return
    helps = {choice.dest: choice.help or "" for choice in actions._choices_actions}
    for action, inner in actions.choices.items():
        yield from _commands(f"{name} {action}", helps[action], inner)


def _command(name: str, about: str, verb: argparse.ArgumentParser) -> Command:
    own = [action for action in _actions(verb) if action.dest != "help"]
    positional = [action for action in own if not action.option_strings]
    optional = [action for action in own if action.option_strings]
    usage = [*_groups(verb, optional), *(_placed(action) for action in positional)]
    if hasattr(parser.verb_module(name.partition(" ")[0]), "split"):
        usage.append("[-- ARGUMENT…]")
    return Command(
        name,
        about,
        (f"{parser.PROGRAM} {name}", *usage),
        tuple(Option(_value(action), action.help or "") for action in positional),
        tuple(Option(_spelling(action), action.help or "") for action in optional),
        # the examples of completion are in the documentation
        "" if verb.formatter_class is argparse.RawDescriptionHelpFormatter else verb.epilog or "",
    )


def _subparsers(parent: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser] | None:
    return next((action for action in _actions(parent) if isinstance(action, argparse._SubParsersAction)), None)


def _actions(verb: argparse.ArgumentParser) -> list[argparse.Action]:
    return verb._actions


def _groups(verb: argparse.ArgumentParser, optional: list[argparse.Action]) -> Iterator[str]:
    """Yield the options for the usage, those that exclude each other together."""
    groups = [group._group_actions for group in verb._mutually_exclusive_groups]
    for action in optional:
        group = next((group for group in groups if action in group), [action])
        if action is group[0]:
            yield f"[{' | '.join(_short(member) for member in group)}]"


def _short(action: argparse.Action) -> str:
    return " ".join(filter(None, (action.option_strings[0], _value(action) if _takes_value(action) else "")))


def _spelling(action: argparse.Action) -> str:
    return " ".join(filter(None, (", ".join(action.option_strings), _value(action) if _takes_value(action) else "")))


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _placed(action: argparse.Action) -> str:
    """Return a positional argument for the usage."""
    value = _value(action)
    return {
        "?": f"[{value}]",
        "*": f"[{value}…]",
        "+": f"{value}…",
        argparse.REMAINDER: f"{value} [ARGUMENT…]",
    }.get(str(action.nargs), value)
