"""The work of the welcome tour on this machine: checks, builds, projects, and the choice of an agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ccvm_tui import config, project
from ccvm_tui.aio import Child
from ccvm_tui.boot import images, logins
from ccvm_tui.config import Settings, Source
from ccvm_tui.config.edit import set_value
from ccvm_tui.errors import ConfigError, ImageError, PrerequisiteError, UserError
from ccvm_tui.image import NO_LAYER
from ccvm_tui.project import demo
from ccvm_tui.project.history import History
from ccvm_tui.tui.actions.command_line import own_command
from ccvm_tui.tui.actions.table import shown_key
from ccvm_tui.tui.model.welcome import AgentState, Finding

Report = Callable[[float, str], None]
"""A function that receives the progress of a build: the fraction that is done, and a description."""

CHECK_TIMEOUT = 60.0
"""Seconds within which ``doctor`` must have finished. Each of its checks has a shorter deadline."""

SHOWN_LATER = frozenset({"image", "runtime", "agent", "terminal"})
"""The checks of ``doctor`` that have a step of their own in the tour, or make no sense inside the dashboard."""


class Preparation(Protocol):
    """The machine as the tour needs it. Methods that are not coroutines block. All may raise UserError."""

    async def findings(self) -> list[Finding]:
        """Return the results of the checks of this machine."""

    def image_is_built(self) -> bool:
        """Return whether the image is built, without the agent's layer."""

    def build(self, layer: str, report: Report, cancel: threading.Event, /) -> None:
        """Build the image with a layer, as far as it is missing, until ``cancel`` is set."""

    def agent(self) -> AgentState:
        """Return the configured agent."""

    def use_agent(self, name: str, /) -> None:
        """Change the settings so that guests start with another agent, or with ``none``."""

    def key_variables(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the variables for keys that the settings name, and those of them that are set."""

    def has_login(self) -> bool:
        """Return whether guests use a login of the agent on this machine, which does not enter them."""

    def add_project(self, path: str, /) -> str:
        """Add a project to the list, and return its resolved path."""

    def create_demo(self) -> str:
        """Create the demo project in the working directory, unless it exists, and return its path."""


class HostPreparation:
    """The ``Preparation`` of this machine, which follows the user's settings."""

    async def findings(self) -> list[Finding]:
        """Run ``doctor`` in a process of its own. Raises UserError if it reports nothing."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *own_command("doctor", "--json"), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        child = Child(process)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                output, errors = await process.communicate()
            checks = json.loads(output)["checks"]
            found = [Finding(check["name"], check["status"], check["detail"], check["mend"]) for check in checks]
        except TimeoutError as error:
            raise UserError("the checks of this machine did not finish", "try `ccvm-tui doctor`") from error
        except (ValueError, KeyError, TypeError) as error:
            reason = errors.decode("utf-8", "replace").strip().partition("\n")[0]
            raise UserError(f"the checks of this machine failed: {reason}", "try `ccvm-tui doctor`") from error
        finally:
            await child.end(0)
            child.close()
        return [finding for finding in found if finding.name not in SHOWN_LATER]

    def image_is_built(self) -> bool:
        """Return whether the image is built. Raises ImageError if it is damaged."""
        return images.complete_image(_settings(), NO_LAYER) is not None

    def build(self, layer: str, report: Report, cancel: threading.Event) -> None:
        """Build what is missing. Raises the errors of ``boot.images.provide``."""
        images.build_missing(
            _settings(), layer, lambda progress: report(progress.fraction, str(progress).strip()), cancel
        )

    def agent(self) -> AgentState:
        """Find the source of the configured agent."""
        settings = _settings()
        name = settings.agent
        if name == NO_LAYER:
            return AgentState(name)
        with contextlib.suppress(ImageError):  # a damaged image is the subject of another step
            if images.complete_image(settings, name) is not None:
                return AgentState(name, built=True)
        try:
            source = images.agent_source(settings)
        except (PrerequisiteError, ImageError) as error:
            return AgentState(name, problem=error.message, hint=error.hint)
        return AgentState(name, path=str(source)) if isinstance(source, Path) else AgentState(name, package=source)

    def use_agent(self, name: str) -> None:
        """Write the setting ``agent``. Raises ConfigError, with what to type instead, if that is impossible."""
        effective = config.resolve(None, os.environ)
        if effective.values["agent"] == name:
            return
        origin = effective.origins["agent"]
        if origin.source is Source.VARIABLE:
            raise ConfigError(f"the variable {origin.detail} overrides the settings", f"`unset {origin.detail}`")
        set_value("agent", name)

    def key_variables(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the variables for keys, and those that are set in this environment."""
        names = _settings().api_key_variables
        return names, tuple(name for name in names if os.environ.get(name))

    def has_login(self) -> bool:
        """Return whether there is a credentials file of the agent, and the keeper holds logins."""
        settings = _settings()
        path = logins.credentials(settings, os.environ)
        return path is not None and path.exists() and logins.mode(settings) == logins.BROKER

    def add_project(self, path: str) -> str:
        """Add a project to the history. Raises UserError if the directory cannot be a project."""
        found = project.resolve(path)
        history = History()
        with contextlib.suppress(OSError):  # it is listed until the dashboard is closed
            if all(known.path != str(found.path) for known in history.list()):
                history.remember(str(found.path), found.name, now=0.0)
        return str(found.path)

    def create_demo(self) -> str:
        """Create the demo project. Raises UserError if that is impossible."""
        directory = Path.cwd() / demo.NAME
        if (directory / demo.PROGRAM).is_file():
            return str(directory)
        settings = _settings()
        keys = f"{shown_key(settings.leader)} {shown_key(settings.keys.detach)}"
        return str(demo.create(directory, keys).path)


def _settings() -> Settings:
    return config.resolve(None, os.environ).settings


def current_directory() -> tuple[str, str]:
    """Return the working directory if it can be a project, or an empty string and the reason why it cannot."""
    try:
        return str(project.resolve(".").path), ""
    except UserError as error:
        return "", error.message
    except OSError as error:
        return "", f"the working directory cannot be used: {error.strerror}"
