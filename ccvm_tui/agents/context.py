"""The text for the agent about the guest in which it works, which is appended to the user's instructions."""

from __future__ import annotations

from dataclasses import dataclass

from ccvm_tui.config import BUILT_IN

_ABOUT = """\
## Working in this guest

- Everything outside of the project is lost when the guest stops: installed packages, caches, other files. Packages, \
builds and experiments cannot damage the user's machine.
- Of the user's machine, only the project is here. There are no SSH keys, no cloud credentials and no keyring.
- What should last belongs in the project: in its documentation, its code and its commits.

## Work for the user

Hand over what needs the user's machine or credentials instead of trying it again:

- `git push` and `git fetch` for other private remotes or over SSH, and signed commits. Commits themselves work; Git \
knows the user's name unless they have turned that off.
- Programs that need hardware, a graphical session, or services of the user's machine.

Give the user the exact commands for a terminal on their machine, in one code block, one command per line, without \
comments in the block. Describe outside of the block what they do.
"""


_GUARD = {
    "block": (
        "New Git hooks, and settings by which Git runs programs, cannot be written to repositories in the project: "
        'programs get "Operation not permitted". Do not look for ways around this: name the hook or the setting to the '
        "user."
    ),
    "warn": "New Git hooks, and settings by which Git runs programs, are reported to the user.",
}


@dataclass(frozen=True, slots=True)
class Run:
    """The facts of one guest that its agent must know.

    ``egress`` is the kind of its egress, and ``hosts`` are the listed hosts if that is ``allowlist`` or ``ask``.
    ``guard`` is the value of that setting, ``scratch_gib`` the size of the scratch disk, 0 without one. ``attempt`` is
    the name of the attempt, if the guest works on a clone of the project. With ``placeholders``, API keys and logins in
    the guest are placeholders. ``git_hosts`` are those with a login for Git.
    """

    project: str
    read_only: bool
    history_kept: bool
    egress: str
    hosts: tuple[str, ...] = ()
    local_dirs: tuple[str, ...] = ()
    sudo: bool = True
    guard: str = "block"
    scratch_gib: int = 0
    attempt: str = ""
    placeholders: bool = False
    git_hosts: tuple[str, ...] = ()


def text(run: Run, extra: str) -> str:
    """Return the text for ``run``: its facts, then ``extra``, or the built-in text if ``extra`` is BUILT_IN.

    If ``extra`` is empty, so is the result.
    """
    if not extra.strip():
        return ""
    body = _ABOUT if extra == BUILT_IN else f"{extra.rstrip()}\n"
    return f"{_facts(run)}\n{body}"


def appended(instructions: bytes | None, context: str) -> bytes:
    """Return the user's instructions with ``context`` at the end."""
    own = (instructions or b"").rstrip()
    return own + b"\n\n" * bool(own) + context.encode()


def _facts(run: Run) -> str:
    edits = (
        _attempt(run.attempt)
        if run.attempt
        else (
            "Edits of the project stay in this guest until the user has reviewed and applied them. The others are "
            "DISCARDED when it stops. Tell the user what they should keep."
            if run.read_only
            else "Edits of the project are LIVE: they are on the user's disk at once."
        )
    )
    history = (
        "The history of conversations is kept for later guests of the user."
        if run.history_kept
        else "The history of conversations and memories are lost when this guest stops."
    )
    place = (
        f"works on a private clone of the user's repository, at the same path, {run.project}"
        if run.attempt
        else f"shares the directory {run.project} with the user's machine, at the same path"
    )
    lines = [
        f"You work in a disposable virtual machine (a ccvm guest) that {place}.",
        "",
        f"- {edits}",
        f"- {history}",
        f"- {_scratch(run)}",
        f"- {_network(run)}",
    ]
    if not run.read_only and not run.attempt and run.guard in _GUARD:
        lines.append(f"- {_GUARD[run.guard]}")
    if run.placeholders:
        lines.append(
            "- API keys and tokens of this agent are placeholders, which the user's machine replaces in requests to "
            "their own hosts. They are worth nothing anywhere else."
        )
    if run.git_hosts:
        lines.append(f"- `git push` and `git fetch` over HTTPS are logged in for {', '.join(run.git_hosts)}.")
    if run.local_dirs:
        lines.append(f"- These directories of the project are only in this guest: {', '.join(run.local_dirs)}.")
    lines.append(f"- `sudo` {'works without a password' if run.sudo else 'is not available'}.")
    return "# This session\n\n" + "\n".join(lines) + "\n"


def _attempt(name: str) -> str:
    return (
        f"This is the attempt `{name}`, one of several that may work on the same project, each in a guest of its own. "
        f"COMMIT your work to the branch `{name}`, in small commits with good messages: the user fetches, reviews and "
        "merges commits. Everything else is DISCARDED when the guest stops. The user's checkout is at /mnt/project, "
        "read-only; `git fetch host` gets new commits from there. There is no need to push."
    )


def _scratch(run: Run) -> str:
    if not run.scratch_gib:
        return "There is no scratch disk: all other files are in memory, and large ones can exhaust it."
    return (
        f"`/scratch` is a disk of {run.scratch_gib} GiB for large files and builds, which is emptied when this guest "
        "stops. All other files are in memory."
    )


def _network(run: Run) -> str:
    match run.egress:
        case "none":
            return "There is no network. Do not try downloads; ask the user for what you need."
        case "open":
            return "The network is open: all hosts can be reached."
        case "public":
            return (
                "All hosts on the internet can be reached over TCP, but none of the user's machine and networks. UDP "
                "and IPv6 addresses do not work."
            )
    others = "are refused" if run.egress == "allowlist" else "are held until the user has allowed them"
    return (
        f"Only these hosts can be reached: {', '.join(run.hosts)}. Connections to others {others}. Do not look for "
        "ways around this: leave work that needs other hosts to the user, and name the hosts."
    )
