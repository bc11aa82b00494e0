"""Decisions about connections: the policy, the user's answers in mode ``ask``, and changes while the guest runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ccvm_tui.egress.hosts import Address, Host, text
from ccvm_tui.egress.policy import Effect, Policy, Rule, Verdict, parse_rule
from ccvm_tui.egress.resolve import OwnNetworks

ASK_TIMEOUT = 60.0
"""Seconds for which a connection is held while the user is being asked."""

ASKED = "ask"
"""The rule in the verdicts of questions."""

HELD_MAX = 20
"""Maximum number of questions at a time."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the user: whether the guest may connect to this host and port."""

    host: Host
    port: int

    def __str__(self) -> str:
        return text(self.host, self.port)


@dataclass(frozen=True, eq=False)
class Connection:
    """An open connection, and the function that ends it."""

    host: Host
    port: int
    address: Address
    end: Callable[[], None]


class Decider:
    """The current policy of a guest.

    ``can_ask`` returns whether a client could answer a question. ``on_change`` is called when the policy or the list of
    questions has changed.
    """

    def __init__(self, policy: Policy, can_ask: Callable[[], bool], on_change: Callable[[], None]) -> None:
        self._policy = policy
        self._own = OwnNetworks()
        self._can_ask = can_ask
        self._on_change = on_change
        self._questions: dict[Question, asyncio.Future[Effect]] = {}
        self._connections: set[Connection] = set()
        self.learned: list[Rule] = []
        """The rules that the user's answers have added, oldest first."""

    @property
    def policy(self) -> Policy:
        """The policy, with this machine's current networks."""
        return replace(self._policy, own=self._own.get())

    @property
    def questions(self) -> tuple[Question, ...]:
        """The open questions, oldest first."""
        return tuple(self._questions)

    async def for_host(self, host: Host, port: int, on_hold: Callable[[], None]) -> Verdict:
        """Return the verdict about a host, after asking the user if the policy says so."""
        verdict = self.policy.for_host(host, port)
        if verdict.effect is not Effect.ASK:
            return verdict
        question = Question(host, port)
        answer = self._questions.get(question)
        remedy = f"--allow {question}"
        if answer is None:
            if not self._can_ask():
                return Verdict(Effect.DENY, ASKED, "it is not listed, and no dashboard is open that could ask", remedy)
            if len(self._questions) >= HELD_MAX:
                return Verdict(Effect.DENY, ASKED, f"{HELD_MAX} other questions are open", remedy)
            answer = self._questions[question] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(ASK_TIMEOUT, self._expire, question, answer)
            self._on_change()
        on_hold()
        effect = await asyncio.shield(answer)
        if effect is Effect.ASK:
            return Verdict(Effect.DENY, ASKED, f"there was no answer within {ASK_TIMEOUT:.0f} s", remedy)
        return Verdict(effect, ASKED) if effect is Effect.ALLOW else Verdict(effect, ASKED, "you refused it", remedy)

    def _expire(self, question: Question, answer: asyncio.Future[Effect]) -> None:
        if self._questions.get(question) is answer:
            self._settle(question, Effect.ASK)

    def _settle(self, question: Question, effect: Effect) -> None:
        answer = self._questions.pop(question, None)
        if answer is not None and not answer.done():
            answer.set_result(effect)
        self._on_change()

    def answer(self, question: Question, effect: Effect, *, once: bool) -> None:
        """Answer a question, for this connection or, unless ``once``, for the guest."""
        self._settle(question, effect)
        if not once:
            self.add(parse_rule(str(question), effect))

    def add(self, rule: Rule) -> None:
        """Add a rule. Open questions and existing connections that it decides are settled at once."""
        self.forget(rule)
        self._policy = self._policy.with_rule(rule)
        self.learned.append(rule)
        policy = self.policy
        for question in self.questions:
            verdict = policy.for_host(question.host, question.port)
            if verdict.effect is not Effect.ASK:
                self._settle(question, verdict.effect)
        for connection in list(self._connections):
            if policy.denies(connection.host, connection.port, connection.address):
                connection.end()
        self._on_change()

    def forget(self, rule: Rule) -> None:
        """Remove the rules about the host and port of ``rule``."""
        self._policy = self._policy.without_rule(rule)
        self.learned = [old for old in self.learned if (old.pattern, old.port) != (rule.pattern, rule.port)]
        self._on_change()

    @contextlib.contextmanager
    def connected(self, connection: Connection) -> Iterator[None]:
        """Call ``connection.end`` if a change of the policy denies the connection while the block runs."""
        self._connections.add(connection)
        try:
            yield
        finally:
            self._connections.discard(connection)
