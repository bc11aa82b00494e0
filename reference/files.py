"""The files that a wheel installs besides the package: manual pages and completion scripts."""

from __future__ import annotations

from ccvm_tui.cli.parser import PROGRAM
from ccvm_tui.cli.verbs.completion import script
from reference.manual import pages

COMPLETIONS = {
    "bash": f"share/bash-completion/completions/{PROGRAM}",
    "zsh": f"share/zsh/site-functions/_{PROGRAM}",
    "fish": f"share/fish/vendor_completions.d/{PROGRAM}.fish",
}
"""The path below the prefix at which each shell finds its completion script."""


def shared_files() -> dict[str, str]:
    """Return the content of all files by their path below the prefix, such as ``/usr``."""
    manual = {f"share/man/{path}": source for path, source in pages().items()}
    return manual | {path: f"{script(shell).rstrip()}\n" for shell, path in COMPLETIONS.items()}
