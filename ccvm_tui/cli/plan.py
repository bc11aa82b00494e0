"""What the user asked for, as the keeper wants to hear it: settings and terminal → guest and session. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ccvm_tui.cli import terminfo, tty
from ccvm_tui.cli.timezone import timezone
from ccvm_tui.config import Settings
from ccvm_tui.guest import DEFAULT_CELL, SessionKind
from ccvm_tui.project import Project
from ccvm_tui.protocol import LaunchSpec, SessionSpec

_PASSED_ON = ("COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION")
"""What programs ask the environment about the terminal. Not LANG: the guest has locales of its own."""


def launch_spec(project: Project, name: str, settings: Settings, environ: Mapping[str, str]) -> LaunchSpec:
    """The guest that ``settings`` ask for. Its image is chosen later, and only if a guest must be started."""
    return LaunchSpec(
        name=name,
        project=str(project.path),
        layer=settings.agent,
        machine=settings.machine,
        accel=settings.accel,
        memory_mib=settings.memory,
        cores=settings.cores,
        read_only=not settings.writable_cwd,
        local_dirs=settings.local_dirs,
        network=settings.network,
        seccomp=settings.seccomp,
        confine=settings.confine,
        sudo=settings.agent_sudo,
        linger=settings.linger,
        scrollback=settings.scrollback,
        waiting_titles=settings.waiting_titles,
        hostname=project.hostname,
        timezone=timezone(environ),
    )


def session_spec(
    kind: SessionKind,
    argv: tuple[str, ...],
    settings: Settings,
    environ: Mapping[str, str],
    *,
    name: str = "",
    detached: bool = False,
) -> SessionSpec:
    """A session for the terminal we are on, with the user's API keys in its environment."""
    wanted = (*_PASSED_ON, *settings.api_key_variables)
    term = environ.get("TERM", "") or "xterm-256color"
    size = tty.size()
    if detached and not size.width:  # the emulator answers for it, and has to agree
        size = size.with_cell(DEFAULT_CELL)
    return SessionSpec(
        kind=kind,
        argv=argv,
        env={variable: environ[variable] for variable in wanted if environ.get(variable)},
        term=term,
        terminfo=terminfo.compiled_entry(term, environ),
        size=size,
        name=name,
        detached=detached,
    )
