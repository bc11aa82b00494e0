"""The parameters of guests and sessions, derived from settings and the host's environment."""

from __future__ import annotations

from collections.abc import Mapping

from ccvm_tui.agents import AGENTS
from ccvm_tui.attempt.spec import AttemptSpec
from ccvm_tui.boot import logins, terminfo
from ccvm_tui.boot.egress import egress
from ccvm_tui.boot.sharing import key_variables, sharing
from ccvm_tui.boot.timezone import timezone
from ccvm_tui.config import Settings
from ccvm_tui.guest import DEFAULT_CELL, SessionKind, TermSize
from ccvm_tui.project import Project
from ccvm_tui.project.directory import slug
from ccvm_tui.protocol import LaunchSpec, SessionSpec

ALLOW_TMPFS = "CCVM_SCRATCH_ALLOW_TMPFS"
"""The variable that allows scratch disks in memory if it is 1."""

_FORWARDED = ("COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION")
"""Variables that describe the terminal to programs. LANG is not forwarded, because the guest has other locales."""


def launch_spec(
    project: Project,
    name: str,
    settings: Settings,
    environ: Mapping[str, str],
    attempt: AttemptSpec | None = None,
) -> LaunchSpec:
    """Return the parameters of a guest, which works on a clone of the project if it is an ``attempt``.

    ``images.provide`` adds the image, and ``attempts.planned`` the details of an attempt, which only a guest that is
    started needs.
    """
    way = logins.logins(settings, environ)
    bases = logins.base_rules(settings, environ) if way.mode == logins.BROKER else ()
    return LaunchSpec(
        name=name,
        project=str(project.path),
        layer=settings.agent,
        machine=settings.machine,
        accel=settings.accel,
        memory_mib=settings.memory,
        cores=settings.cores,
        read_only=attempt is not None or not settings.writable_cwd,
        local_dirs=() if attempt is not None else settings.local_dirs,
        network=settings.network,
        egress=egress(settings, environ, bases),
        logins=way,
        seccomp=settings.seccomp,
        confine=settings.confine,
        require_confinement=settings.require_confinement,
        guard=settings.guard,
        sudo=settings.agent_sudo,
        scratch_gib=settings.vm_disk_size,
        scratch_on_tmpfs=environ.get(ALLOW_TMPFS) == "1",
        lock_memory=settings.lock_guest_memory,
        clipboard_images=settings.clipboard.images,
        linger=settings.linger,
        scrollback=settings.scrollback,
        waiting_titles=settings.waiting_titles,
        hostname=project.hostname if attempt is None else slug(f"{project.hostname}-{attempt.name}"),
        timezone=timezone(environ),
        sharing=sharing(str(project.path), settings, environ, attempt.name if attempt is not None else ""),
        attempt=attempt,
    )


def _login_variables(settings: Settings) -> tuple[str, ...]:
    """Return the variables about logins that sessions receive. The keeper replaces the keys if it holds the logins."""
    match logins.mode(settings):
        case logins.NONE:
            return ()
        case logins.BROKER:
            return (*key_variables(settings), *logins.base_variables(settings))
        case _:
            return key_variables(settings)


def session_spec(
    kind: SessionKind,
    argv: tuple[str, ...],
    settings: Settings,
    environ: Mapping[str, str],
    size: TermSize,
    *,
    name: str = "",
    detached: bool = False,
    ssh_agent: str = "",
) -> SessionSpec:
    """Return the parameters of a session for a terminal of ``size``.

    ``ssh_agent`` is the socket of the user's SSH agent if the session may use it. The session's environment has the
    variables of the guest's agent, and the user's API keys. Raises ConfigError if settings contradict each other.
    """
    forwarded = (*_FORWARDED, *_login_variables(settings))
    own = AGENTS[settings.agent].variables if settings.agent in AGENTS else {}
    term = environ.get("TERM", "") or "xterm-256color"
    if detached and not size.width:  # the emulator reports this size to programs
        size = size.with_cell(DEFAULT_CELL)
    return SessionSpec(
        kind=kind,
        argv=argv,
        env={**own, **{variable: environ[variable] for variable in forwarded if environ.get(variable)}},
        term=term,
        terminfo=terminfo.compiled_entry(term, environ),
        size=size,
        name=name,
        detached=detached,
        ssh_agent=ssh_agent,
    )
