"""Configuration of the guest by the ``configure`` message.

sshd takes longest to start, so it is started as early as possible, and the other steps run meanwhile.
"""

from __future__ import annotations

import binascii
import os
import time

from . import account, home_files, login, machine, network, programs, scratch, workspace

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BRIDGE = "/run/ccvm/bridge"
"""The directory of the user for sockets that the host listens on, through SSH."""

OPEN_NETWORK, GATE, NO_NETWORK = "user", "gate", "none"
"""The kinds of networks: a card of QEMU, the gate, or none."""

_PREPARED = "/run/ccvm/prepared"
_PREPARE_TIMEOUT = 20.0


class CannotConfigure(Exception):
    """The configuration failed. ``hint`` explains how to fix it, and may be empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Settings:
    """The content of a ``configure`` message.

    Raises KeyError, TypeError, ValueError or AttributeError if a member is missing or has the wrong type.
    """

    def __init__(self, message: dict[str, Any]) -> None:
        user, ssh = message["user"], message["ssh"]
        self.hostname = str(message["hostname"])
        self.guest = str(message["guest"])
        self.user = account.User("dev", int(user["uid"]), int(user["gid"]), bool(user.get("sudo", False)))
        self.host_key = str(ssh["host_key"])
        self.authorized_key = str(ssh["authorized_key"])
        self.workspace: dict[str, Any] | None = message.get("workspace")
        self.mounts: list[dict[str, Any]] = list(message.get("mounts", []))
        self.files: list[dict[str, Any]] = list(message.get("files", []))
        self.time_ns = int(message["time_ns"])
        self.entropy = bytes.fromhex(message["entropy"])
        zone = message.get("timezone", {})
        self.timezone = str(zone.get("name", "")), binascii.a2b_base64(zone.get("data", ""))
        self.network = str(message.get("network", NO_NETWORK))
        self.scratch = bool(message.get("scratch", False))


def parse(message: dict[str, Any]) -> Settings:
    """Parse a ``configure`` message. Raises CannotConfigure if a member is missing or has the wrong type."""
    try:
        return Settings(message)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CannotConfigure(f"the host sent incomplete settings: {error!r}") from error


def apply(
    settings: Settings,
    disk: tuple[int, int] | None,
    on_phase: Callable[[str], None],
    start_login: Callable[[], None],
) -> None:
    """Configure the guest.

    ``disk`` is the result of ``scratch.start``. ``on_phase`` is called at the start of each phase, and ``start_login``
    to start the SSH server. Raises CannotConfigure if a step fails.
    """
    user = settings.user
    machine.seed(settings.entropy)
    machine.set_clock(settings.time_ns)
    on_phase("user")
    account.create(user)
    login.write_settings(settings.host_key, settings.authorized_key, user.name, user.uid)
    on_phase("sshd")
    start_login()
    if settings.network == GATE:
        from . import gate, servers

        servers.ensure_running(gate.RECORD, gate.start)  # it starts meanwhile
    machine.name(settings.hostname)
    machine.set_timezone(*settings.timezone)
    machine.harden()
    _await_preparation()
    account.prepare_home(user)
    os.chown("/run/ccvm/sessions", *user.owner)
    os.mkdir(BRIDGE, 0o700)
    os.chown(BRIDGE, *user.owner)
    on_phase("mounts")
    _mount_workspace(settings)
    on_phase("network")
    try:
        _set_up_network(settings.network)
    except OSError as error:
        raise CannotConfigure(f"the guest's network could not be set up: {error}") from error
    try:
        home_files.place(settings.files, user)
    except (KeyError, ValueError, OSError) as error:
        raise CannotConfigure(f"a file from the host could not be put in place: {error}") from error
    for share in settings.mounts:
        try:
            workspace.mount_in_home(str(share["tag"]), str(share["path"]), user.owner)
        except (OSError, KeyError) as error:
            raise CannotConfigure(f"{share.get('path')} could not be mounted: {error}") from error
    project = settings.workspace
    directory = str(project.get("clone") or project["path"]) if project else account.HOME
    programs.configure(user, settings.guest, directory)
    if settings.scratch:
        try:
            scratch.finish(disk, user.owner)
        except OSError as error:
            raise CannotConfigure(f"the scratch disk could not be set up: {error}") from error


def _set_up_network(kind: str) -> None:
    """Set up the network. Raises OSError if that fails."""
    network.raise_loopback()
    if kind == OPEN_NETWORK:
        network.configure()
    elif kind == GATE:
        from . import gate, redirect

        network.configure_dummy()
        gate.await_ready()
        redirect.route()


def _mount_workspace(settings: Settings) -> None:
    share = settings.workspace
    if share is None:
        return
    try:
        workspace.mount(str(share["tag"]), str(share["path"]), writable="clone" not in share)
        if "clone" in share:
            workspace.make_empty(str(share["clone"]), settings.user.owner)
    except (OSError, KeyError) as error:
        raise CannotConfigure(
            f"the project's directory could not be mounted: {error}", "does it still exist, and may you read it?"
        ) from error
    for name in share.get("local_dirs", ()):
        try:
            workspace.keep_local(str(share["path"]), str(name), settings.user.owner)
        except OSError as error:
            raise CannotConfigure(
                f"{name} cannot be kept in the guest: {error}", "is it a directory? see the setting local_dirs"
            ) from error


def _await_preparation() -> None:
    deadline = time.monotonic() + _PREPARE_TIMEOUT
    while not os.path.exists(_PREPARED):
        if time.monotonic() > deadline:
            raise CannotConfigure("the guest's modules and mounts were not ready in time")
        time.sleep(0.005)
