"""The logins of a guest that the keeper holds: its broker, and the files that the guest gets instead of credentials."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from ccvm_tui.agents import AGENTS
from ccvm_tui.keeper.guests import GuestOwner
from ccvm_tui.keeper.staging import GuestFile, writable_roots
from ccvm_tui.protocol import Happened, LaunchSpec

if TYPE_CHECKING:  # slow to import
    from ccvm_tui.broker.broker import Broker
    from ccvm_tui.egress.connect import Intercept

BROKER = "broker"
"""The mode in which the keeper holds the logins."""


def broker_for(spec: LaunchSpec, intercepts: dict[tuple[str, int], Intercept], owner: GuestOwner) -> Broker | None:
    """Return the broker of a guest, which adds the hosts that it serves to ``intercepts``, or None without a broker."""
    if spec.logins.mode != BROKER:
        return None
    from ccvm_tui.broker.broker import Broker
    from ccvm_tui.egress.outer import Outer

    reported: set[str] = set()

    def report(text: str) -> None:
        if text not in reported:
            reported.add(text)
            owner.record_event(Happened(time.time(), "login", text))

    writable = partial(writable_roots, spec.project)
    proxies = Outer.parse(spec.egress.http_proxy, spec.egress.https_proxy, spec.egress.no_proxy)
    broker = Broker(spec.logins, spec.sharing.agent, intercepts, report, proxies=proxies, writable=writable)
    if spec.session is not None:
        broker.environment(spec.session.env)  # so that the agent's key has its placeholder before files are sent
    return broker


def files_of(broker: Broker | None, spec: LaunchSpec) -> list[GuestFile]:
    """Return the certificate authority for the guest, and its credentials file with placeholders."""
    if broker is None:
        return []
    certificates = broker.certificates().items()
    files = [GuestFile(path, data, append=path.endswith("ca-certificates.crt")) for path, data in certificates]
    agent = AGENTS.get(spec.sharing.agent)
    content = broker.credentials()
    if agent is not None and agent.login.subscription is not None and content is not None:
        path = f"{agent.directory.default}/{agent.login.subscription.file}"
        files.append(GuestFile(path, content, 0o600))
    return files
