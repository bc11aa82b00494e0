"""The egress of one guest as a whole, as the keeper uses it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from ccvm_tui.egress.connect import Connector, Intercept
from ccvm_tui.egress.decide import Decider
from ccvm_tui.egress.link import Link
from ccvm_tui.egress.outer import Outer
from ccvm_tui.egress.policy import Effect, Mode, Policy, Rule, parse_rule, parse_rules
from ccvm_tui.egress.proxy import Proxy
from ccvm_tui.egress.record import Attempt, Record
from ccvm_tui.egress.resolve import Resolver
from ccvm_tui.errors import UserError
from ccvm_tui.guest import EgressInfo
from ccvm_tui.outbound import Egress, EgressAttempt, EgressReport

FORGET = "forget"
"""The effect that removes a rule."""


def policy(spec: Egress) -> Policy:
    """Return the policy that a guest starts with. Raises ValueError if a rule is not valid."""
    rules: tuple[Rule, ...] = (*parse_rules(spec.deny, Effect.DENY), *parse_rules(spec.allow))
    return Policy(Mode(spec.mode), rules, spec.ports)


class EgressService:
    """The proxy of a guest with its policy and its record.

    ``can_ask`` returns whether a client could answer a question. ``on_attempt`` is called for each change of an
    attempt, ``on_change`` for changes of the policy and of the open questions. ``intercepts`` are functions that serve
    connections to a name and port in place of that host.
    """

    def __init__(
        self,
        guest: str,
        spec: Egress,
        log: Path,
        *,
        can_ask: Callable[[], bool] = lambda: False,
        on_attempt: Callable[[Attempt], None] = lambda _: None,
        on_change: Callable[[], None] = lambda: None,
        intercepts: Mapping[tuple[str, int], Intercept] | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self.decider = Decider(policy(spec), can_ask, on_change)
        self.record = Record(log, on_attempt)
        self._resolver = resolver or Resolver()
        proxies = Outer.parse(spec.http_proxy, spec.https_proxy, spec.no_proxy)
        own = {} if intercepts is None else intercepts
        connector = Connector(guest, self.decider, self.record, self._resolver, own, proxies)
        self._proxy = Proxy(connector, self._resolver)
        self._link: Link | None = None

    async def attach(self, sock: socket.socket) -> None:
        """Serve the machine whose egress port is ``sock``, in place of a previous one. Takes ownership of ``sock``."""
        await self._detach()
        self._link = await Link.attach(sock, self._proxy.serve, self._proxy.lookup)

    async def _detach(self) -> None:
        if self._link is not None:
            await self._link.close()
            self._link = None

    def info(self) -> EgressInfo:
        """Return the current state."""
        connected = self._link is not None and self._link.connected
        questions = tuple(str(question) for question in self.decider.questions)
        return EgressInfo(self.decider.policy.mode.value, connected, self.record.refused, questions)

    def report(self, version: int) -> EgressReport:
        """Return the rules, and the attempts that have changed after ``version``."""
        attempts = tuple(
            EgressAttempt(
                attempt.number, attempt.time, attempt.via, attempt.host, attempt.port, attempt.outcome.value,
                attempt.rule, attempt.reason, attempt.address, attempt.session, attempt.sent, attempt.received,
            )
            for attempt in self.record.since(version)
        )  # fmt: skip
        rules = self.decider.policy.rules
        return EgressReport(
            self.record.version,
            attempts,
            allowed=tuple(str(rule) for rule in rules if rule.effect is Effect.ALLOW),
            denied=tuple(str(rule) for rule in rules if rule.effect is Effect.DENY),
            learned=tuple(str(rule) for rule in self.decider.learned if rule.effect is Effect.ALLOW),
        )

    def change(self, effect: str, rule: str) -> None:
        """Add a rule or, if ``effect`` is "forget", remove it. Raises UserError if that is not possible."""
        try:
            if effect == FORGET:
                self.decider.forget(parse_rule(rule))
            else:
                self.decider.add(parse_rule(rule, Effect(effect)))
        except ValueError as error:
            raise UserError(f"cannot {effect[:20]} {rule[:300]!r}: {error}", "see `ccvm-tui egress --help`") from error

    def answer(self, question: str, *, allow: bool, once: bool) -> None:
        """Answer a question of the decider. Raises UserError if it is not open any more."""
        for known in self.decider.questions:
            if str(known) == question:
                self.decider.answer(known, Effect.ALLOW if allow else Effect.DENY, once=once)
                return
        raise UserError(f"nothing waits for {question[:300]} any more", "`ccvm-tui egress` shows what became of it")

    async def close(self) -> None:
        """End all connections and close the record."""
        await self._detach()
        self._resolver.close()
        self.record.close()
