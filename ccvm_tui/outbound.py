"""The messages of the protocol about a guest's connections to other hosts.

They are part of ``ccvm_tui.protocol``.
"""

from __future__ import annotations

import msgspec

from ccvm_tui.packing import Message


class Egress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The guest's way to the network; see the settings ``egress`` and those that begin with it.

    ``mode`` is the value of the setting. ``allow`` and ``deny`` are rules (``ccvm_tui.egress.policy``), ``ports`` those
    of rules without a port. ``http_proxy``, ``https_proxy`` and ``no_proxy`` are variables of the host, and may contain
    a password.
    """

    mode: str = "public"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    ports: tuple[int, ...] = (443,)
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""

    def __repr__(self) -> str:
        """Show everything but the proxies."""
        return f"Egress(mode={self.mode!r}, allow={self.allow!r}, deny={self.deny!r}, ports={self.ports!r})"


class Logins(msgspec.Struct, frozen=True, omit_defaults=True):
    """The way in which a guest gets the user's logins; see the settings in the group ``login``.

    ``mode`` is broker, key or none. ``credentials`` is the path of the agent's credentials file on the host, ``bases``
    the URLs that the user wants in place of the agent's own. With ``keep``, a login in the guest is stored in the file.
    ``git`` are hosts, optionally with a port and a path, for which Git gets a login of the credential helpers in the
    files ``git_config``, which run with the home directory ``home``.
    """

    mode: str = "key"
    credentials: str = ""
    bases: tuple[str, ...] = ()
    keep: bool = False
    git: tuple[str, ...] = ()
    git_config: tuple[str, ...] = ()
    home: str = ""


class GetEgress(Message, frozen=True):
    """Return the rules of the guest's egress and the attempts that have changed after ``version``, as EgressReport."""

    version: int = 0


class ChangeEgress(Message, frozen=True):
    """Add a rule, which takes effect at once, or remove it. ``effect`` is allow, deny or forget."""

    effect: str
    rule: str


class AnswerEgress(Message, frozen=True):
    """Answer one of the questions in ``EgressInfo``, for the held connections or, unless ``once``, for the guest."""

    question: str
    allow: bool
    once: bool


class EgressAttempt(Message, frozen=True):
    """An attempt of the guest to reach a host; see ``ccvm_tui.egress.record.Attempt``."""

    number: int
    time: float
    via: str
    host: str
    port: int
    outcome: str
    rule: str = ""
    reason: str = ""
    address: str = ""
    session: str = ""
    sent: int = 0
    received: int = 0


class EgressReport(Message, frozen=True):
    """The rules of the guest's egress, in the order of their precedence, and attempts.

    ``learned`` are the rules, of hosts that are allowed, that were added while the guest ran. ``version`` is for the
    next GetEgress.
    """

    version: int
    attempts: tuple[EgressAttempt, ...] = ()
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()


Request = GetEgress | ChangeEgress | AnswerEgress
"""The part of ``protocol.Request``."""
