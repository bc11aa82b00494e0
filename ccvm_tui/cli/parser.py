"""From words to the verb that runs them."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from ccvm_tui import __version__

PROGRAM = "ccvm-tui"
USAGE_STATUS = 2

_CHOICE = re.compile(r"argument (?P<what>VERB|ACTION): invalid choice: '(?P<word>.*)' \(choose from (?P<choices>.*)\)")
_UNKNOWN = re.compile(r"unrecognized arguments: (?P<word>-\S+)")

VERBS = {
    "run": "open an agent or a shell in a project's guest, starting the guest if need be",
    "attach": "show a session on this terminal",
    "ls": "list running guests and their sessions",
    "exec": "run a program in a guest, with pipes instead of a terminal",
    "stop": "stop guests",
    "pause": "freeze a guest",
    "resume": "let a paused guest go on",
    "logs": "what a guest printed, or what happened to it",
    "image": "build and look after guest images",
    "config": "show the settings in effect and where they come from",
    "doctor": "check that this machine can run guests",
    "gc": "remove what dead guests and old images left behind",
    "completion": "print a completion script for your shell",
    "version": "print versions",
}
"""The verbs, in the order of the help. Each has a module of its own."""


class _Parser(argparse.ArgumentParser):
    """Errors name what was probably meant, point at the help and use the documented status."""

    def error(self, message: str) -> NoReturn:
        message, meant = self._meant(message)
        hint = f"did you mean `{meant}`? `{self.prog} --help` tells more" if meant else f"see `{self.prog} --help`"
        print(f"{self.prog}: {message}\n  → {hint}", file=sys.stderr)
        raise SystemExit(USAGE_STATUS)

    def _meant(self, message: str) -> tuple[str, str]:
        """argparse's message in our words, and what to type instead, if anything is near."""
        from ccvm_tui.config.file import nearest

        if match := _CHOICE.match(message):
            what, word, choices = match["what"].lower(), match["word"], re.findall(r"[\w-]+", match["choices"])
            if what == "verb" and Path(word).is_dir():
                return f"{word} is a directory, not a verb", f"{self.prog} run {shlex.quote(word)}"
            near = nearest(word, choices)
            return f"there is no {what} {word!r}", f"{self.prog} {near}" if near else ""
        if match := _UNKNOWN.match(message):
            near = nearest(match["word"].partition("=")[0], list(self._option_string_actions))
            return f"there is no option {match['word']}", f"{self.prog} {near}" if near else ""
        return message, ""


def dispatch(words: list[str]) -> int:
    """Run the verb in ``words``; none opens the dashboard. Returns the exit status."""
    if words and words[0] in VERBS:
        return _run(words[0], words[1:])
    if not words:
        return _dashboard()
    try:
        _top().parse_args(words)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def _run(verb: str, words: list[str]) -> int:
    module = verb_module(verb)
    parser = _Parser(prog=f"{PROGRAM} {verb}", description=VERBS[verb], allow_abbrev=False)
    module.configure(parser)
    split = getattr(module, "split", None)
    ours, rest = (words, []) if split is None else split(words)
    try:
        args = parser.parse_args(ours)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    args.rest = rest
    return int(module.run(args))


def verb_module(verb: str) -> ModuleType:
    return importlib.import_module(f"ccvm_tui.cli.verbs.{verb}")


def _top() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="A disposable virtual machine for every project. Without a verb: the dashboard.",
        epilog=f"`{PROGRAM} VERB --help` tells more about a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb, about in VERBS.items():
        verbs.add_parser(verb, help=about, add_help=False)
    return parser


def complete_parser() -> argparse.ArgumentParser:
    """Every verb with all its options in one parser, for completion scripts and the documentation's test."""
    parser = _Parser(prog=PROGRAM)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", dest="verb")
    for verb, about in VERBS.items():
        verb_module(verb).configure(verbs.add_parser(verb, help=about, description=about))
    return parser


def _dashboard() -> int:
    from ccvm_tui.cli import dashboard

    return dashboard.run()
