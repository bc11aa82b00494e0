"""Checks of what the guest image and the agent's layer need: programs, user namespaces, and a source of the agent."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from ccvm_tui import subids
from ccvm_tui.machine.check import Check, Remedy, first_line, output_of, required, user_name
from ccvm_tui.machine.status import Status
from ccvm_tui.requirements import AGENT, KEYRING, MMDEBSTRAP, SQUASHFS, UIDMAP, UTIL_LINUX, alternatives

USER_NAMESPACES = "user namespaces"
"""The name of the check without which no image can be built."""

_ALLOW_NAMESPACES = (
    "allow them: `sudo sysctl kernel.unprivileged_userns_clone=1`, or if AppArmor forbids them, "
    "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
)


def checks(*, downloads: bool) -> list[Callable[[], Awaitable[Check]]]:
    """Return the checks. If the image is downloaded (``downloads``), it need not be built here."""
    build: list[Callable[[], Awaitable[Check]]] = [
        _user_namespaces,
        lambda: required(MMDEBSTRAP),
        lambda: required(KEYRING, Status.WARN),
    ]
    return [
        *([] if downloads else build),
        lambda: required(SQUASHFS),
        lambda: required(UTIL_LINUX),
        _agent,
    ]


async def _user_namespaces() -> Check:
    """Create a user namespace with a range of uids, which mmdebstrap needs when it does not run as root."""
    name = USER_NAMESPACES
    if os.getuid() == 0:
        return Check(name, Status.OK, "not needed: images are built as root")
    status, output = await output_of("unshare", "--user", "--map-root-user", "true")
    if status != 0:
        return Check(name, Status.FAIL, f"not allowed: {first_line(output)}", _ALLOW_NAMESPACES)
    remedy = Remedy(
        () if UIDMAP.found() else (UIDMAP,),
        () if subids.has_range(user_name()) else subids.command(user_name()),
    )
    if remedy.requirements or remedy.command:
        missing = [
            *(["newuidmap is not installed"] if remedy.requirements else []),
            *(["you have no range of uids"] if remedy.command else []),
        ]
        return Check(name, Status.FAIL, ", and ".join(missing), remedy.text, remedy)
    status, output = await output_of("unshare", "--user", "--map-auto", "--map-root-user", "chown", "--version")
    if status != 0:
        fix = f"`{subids.SUBUID}` and `{subids.SUBGID}` must give you a range of ids; see subuid(5)"
        return Check(name, Status.FAIL, f"your range of uids cannot be used: {first_line(output)}", fix)
    return Check(name, Status.OK, "available, with a range of uids")


async def _agent() -> Check:
    """Check the source of the agent's layer: the user's installation, or else npm."""
    if (found := AGENT.found()) is not None:
        return Check("agent", Status.OK, f"from {found}")
    return Check("agent", Status.WARN, "neither claude nor npm is installed", alternatives(AGENT), Remedy((AGENT,)))
