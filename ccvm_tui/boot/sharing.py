"""The parts of the user's configuration that a guest receives, chosen by settings and the host's environment."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Mapping
from pathlib import Path

from ccvm_tui.agents import AGENTS, context
from ccvm_tui.agents.sanitize import KEY_ENDING
from ccvm_tui.boot import logins
from ccvm_tui.boot.egress import mode, reachable
from ccvm_tui.boot.git_files import git_files
from ccvm_tui.config import Settings
from ccvm_tui.protocol import Sharing


def sharing(project: str, settings: Settings, environ: Mapping[str, str], attempt: str = "") -> Sharing:
    """Return the user's choices for the keeper, which reads the files.

    ``attempt`` is the name of the attempt, or empty.
    """
    home = environ.get("HOME") or str(Path.home())
    agent = AGENTS.get(settings.agent)
    directory = agent.directory.on_host(environ, home) if agent is not None else ""
    kept = settings.persist_claude_projects and agent is not None and bool(agent.history)
    git = settings.share.git_config
    config_home = posixpath.join(home, environ.get("XDG_CONFIG_HOME") or ".config")
    return Sharing(
        home=home,
        agent=agent.name if agent is not None else "",
        directory=directory,
        directory_chosen=agent is not None and bool(environ.get(agent.directory.variable or "")),
        items=tuple(entry.name for entry in dataclasses.fields(settings.share) if getattr(settings.share, entry.name)),
        history=f"{directory}/{agent.history}" if agent is not None and kept else "",
        context=_context(project, settings, attempt, history_kept=kept) if agent is not None else "",
        key_endings=tuple(
            key[-KEY_ENDING:] for name in key_variables(settings) if len(key := environ.get(name, "")) > KEY_ENDING
        ),
        git=git_files(environ, home) if git else (),
        git_ignore=f"{config_home}/git/ignore" if git else "",
        git_attributes=f"{config_home}/git/attributes" if git else "",
    )


def key_variables(settings: Settings) -> tuple[str, ...]:
    """Return the variables that sessions receive: the user's choice, or by default those of the guest's agent."""
    agent = AGENTS.get(settings.agent)
    chosen = settings.api_key_variables != Settings().api_key_variables
    return settings.api_key_variables if chosen or agent is None else agent.keys


def _context(project: str, settings: Settings, attempt: str, *, history_kept: bool) -> str:
    run = context.Run(
        project=project,
        read_only=not settings.writable_cwd and not attempt,
        history_kept=history_kept,
        egress=mode(settings),
        hosts=reachable(settings) if mode(settings).by_name else (),
        local_dirs=() if attempt else settings.local_dirs,
        sudo=settings.agent_sudo,
        guard=settings.guard,
        scratch_gib=settings.vm_disk_size,
        attempt=attempt,
        placeholders=logins.mode(settings) == logins.BROKER,
        git_hosts=settings.login_git if logins.mode(settings) == logins.BROKER else (),
    )
    return context.text(run, settings.extra_claude_md)
