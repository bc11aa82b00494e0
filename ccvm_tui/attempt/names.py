"""The names of attempts and of their branches. Without input and output."""

from __future__ import annotations

import re
from typing import Final

from ccvm_tui.errors import ConfigError

NAME_MAX: Final = 40
"""Maximum length of an attempt's name. It is a part of the guest's name, whose length is limited too."""

BRANCH_MAX: Final = 200
"""Maximum length of the name of a branch that is fetched from a guest."""

REFS: Final = "refs/ccvm"
"""The beginning of the references in the host's repository."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@#=,-]*", re.ASCII)
_DEPTH_MAX: Final = 8


def check(name: str) -> str:
    """Return ``name`` if an attempt and its branch can have it. Raises ConfigError if not."""
    if not _NAME.fullmatch(name) or not is_branch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of an attempt and its branch",
            "use letters, digits and the characters - _ . in it, for example `--attempt fix-login`",
        )
    if len(name) > NAME_MAX:
        raise ConfigError(f"the name of an attempt may have at most {NAME_MAX} characters", "use a shorter one")
    if name.upper() == "HEAD":
        raise ConfigError(f"a branch cannot be called {name}", "use another name")
    return name


def is_branch(name: str) -> bool:
    """Return whether a branch of a guest is fetched: its name is plain and valid (git-check-ref-format(1))."""
    parts = name.split("/")
    return (
        len(name) <= BRANCH_MAX
        and len(parts) <= _DEPTH_MAX
        and all(_PART.fullmatch(part) and not part.endswith((".", ".lock")) for part in parts)
        and ".." not in name
        and "@{" not in name
    )


def reference(attempt: str, branch: str) -> str:
    """Return the reference in the host's repository for a branch of an attempt."""
    return f"{REFS}/{attempt}/{branch}"
