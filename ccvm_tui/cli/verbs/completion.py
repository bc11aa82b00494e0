"""``ccvm-tui completion``: print a script by which a shell completes verbs, options and guests."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish", "tcsh")
"""The shells for which shtab can write a script."""

_EXAMPLES = """\
bash: ccvm-tui completion bash > ~/.local/share/bash-completion/completions/ccvm-tui
zsh:  ccvm-tui completion zsh > ~/.zfunc/_ccvm-tui   (a directory of your fpath)
fish: ccvm-tui completion fish > ~/.config/fish/completions/ccvm-tui.fish
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument("shell", choices=SHELLS, help="the shell that will read the script")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(script(args.shell))
    return 0


def script(shell: str) -> str:
    """Return the completion script for ``shell``, which is one of ``SHELLS``."""
    import shtab

    from ccvm_tui.cli.parser import complete_parser
    from ccvm_tui.config import SCHEMA

    parser = complete_parser()
    for verb in _parsers_below(parser):
        for action in verb._actions:  # noqa: SLF001 - argparse has no public access
            if choice := _CHOICES.get(action.dest):
                action.complete = choice  # type: ignore[attr-defined]
            elif action.dest in SCHEMA and SCHEMA[action.dest].kind.values:
                action.choices = SCHEMA[action.dest].kind.values
    return str(shtab.complete(parser, shell, preamble=_PREAMBLE.get(shell, "")))


def _parsers_below(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of the verbs and of their actions, which are private in argparse."""
    below = [
        verb
        for action in parser._actions  # noqa: SLF001 - argparse has no public access
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001 - argparse has no public access
        for verb in action.choices.values()
    ]
    return below + [action for verb in below for action in _parsers_below(verb)]


_GUESTS = {"bash": "_ccvm_tui_guests", "zsh": "_ccvm_tui_guests", "fish": "(_ccvm_tui_guests)"}
_DIRECTORIES = {
    "bash": "_shtab_compgen_dirs", "zsh": "_files -/", "fish": "(__fish_complete_directories)", "tcsh": "d",
}  # fmt: skip
_CHOICES = {"guest": _GUESTS, "target": _GUESTS, "path": _DIRECTORIES, "directory": _DIRECTORIES}
"""The completion of an argument in each shell, by the argument's name."""

_PREAMBLE = {
    "bash": r"""
_ccvm_tui_guests() {
  compgen -W "$(ccvm-tui ls --json 2>/dev/null | sed -n 's/^      "name": "\(.*\)",$/\1/p')" -- "$1"
}
""",
    "zsh": r"""
_ccvm_tui_guests() {
  local -a guests
  guests=(${(f)"$(ccvm-tui ls --json 2>/dev/null | sed -n 's/^      "name": "\(.*\)",$/\1/p')"})
  _describe guest guests
}
""",
    "fish": r"""
function _ccvm_tui_guests
  ccvm-tui ls --json 2>/dev/null | string replace -rf '^      "name": "(.*)",$' '$1'
end
""",
}
"""Functions that complete the names of guests. In ``ls --json`` each name is on a separate line, indented by six."""
