"""The user's SSH agent in sessions that may use it, and the questions about each signature.

Each session has a socket of its own in the guest, on which the keeper listens as long as the session runs. A signature
is held until a dashboard answers, and refused if none does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from ccvm_tui.aio import ByteReader, ByteWriter
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SignatureQuestion
from ccvm_tui.protocol import Happened, SessionSpec
from ccvm_tui.session.channel import Listener, Transport
from ccvm_tui.signing.agent import AgentFilter, Use
from ccvm_tui.signing.wire import VARIABLE
from ccvm_tui.text import plain

log = logging.getLogger(__name__)

ASK_TIMEOUT = 60.0
"""Seconds for which a signature is held while the user is being asked."""

HELD_MAX = 8
"""Maximum number of questions at a time."""

REFUSALS_INTERVAL = 1.0
"""Minimum seconds between two events about refusals that the user has not caused. A program may try many times."""

_Grant = tuple[str, tuple[bytes, ...]]
"""The fingerprint of a key, and the purpose for which the user has allowed it."""


@dataclass(eq=False)
class _Held:
    """A question, and the requests that wait for its answer, which all have the same data."""

    question: SignatureQuestion
    use: Use
    answer: asyncio.Future[tuple[bool, str]]
    waiting: int = 0


@dataclass(eq=False)
class _Forwarded:
    """The agent in one session: its socket, the connections to it, and what the user has allowed."""

    listener: Listener | None = None
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    granted: set[_Grant] = field(default_factory=set)


class SshAgents:
    """The SSH agent in the sessions of one guest.

    ``can_ask`` returns whether a client could answer a question. ``record`` records what was signed or refused,
    ``changed`` is called after changes of ``questions``.
    """

    def __init__(
        self, can_ask: Callable[[], bool], record: Callable[[Happened], None], changed: Callable[[], None]
    ) -> None:
        self._can_ask = can_ask
        self._record = record
        self._changed = changed
        self._numbers = itertools.count(1)
        self._sessions: dict[str, _Forwarded] = {}
        self._held: dict[int, _Held] = {}
        self._reported = 0.0

    # --- sessions -----------------------------------------------------------------------------------------

    async def open(self, session: str, spec: SessionSpec, transport: Transport) -> SessionSpec:
        """Let ``session`` use the agent if ``spec`` says so, and return ``spec`` with the variable for its programs.

        Raises UserError if the guest cannot listen.
        """
        if not spec.ssh_agent:
            return spec
        forwarded = self._sessions[session] = _Forwarded()
        agent = AgentFilter(spec.ssh_agent, partial(self._confirm, session))
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._sessions.pop, session, None)
            try:
                listener = await transport.listen(f"ssh-agent-{session}.sock", partial(self._serve, forwarded, agent))
            except OSError as error:
                hint = "start the session without it"
                raise UserError(f"the SSH agent cannot be forwarded: {error}", hint) from error
            on_failure.pop_all()
        forwarded.listener = listener
        self._record(Happened(time.time(), "signature", "may use your SSH agent", session))
        return msgspec.structs.replace(spec, env={**spec.env, VARIABLE: listener.path})

    def close(self, session: str) -> None:
        """End the use of the agent by ``session``. Idempotent."""
        forwarded = self._sessions.pop(session, None)
        if forwarded is None:
            return
        if forwarded.listener is not None:
            forwarded.listener.close()
        for connection in forwarded.connections:
            connection.cancel()

    async def _serve(self, forwarded: _Forwarded, agent: AgentFilter, reader: ByteReader, writer: ByteWriter) -> None:
        task = asyncio.ensure_future(agent.serve(reader, writer))
        forwarded.connections.add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            forwarded.connections.discard(task)
            writer.close()

    # --- questions ----------------------------------------------------------------------------------------

    def questions(self) -> tuple[SignatureQuestion, ...]:
        """Return the open questions, oldest first."""
        return tuple(held.question for held in self._held.values())

    def answer(self, number: int, *, allow: bool, once: bool) -> None:
        """Answer a question, for its signature or, unless ``once``, for this key and purpose in the session.

        Raises UserError if the question is not open any more.
        """
        held = self._held.get(number)
        if held is None:
            raise UserError("this signature is not waiting any more")
        if not allow:
            self._settle(held, allowed=False, why="you refused it")
        elif once or not held.use.purpose.known:
            self._settle(held, allowed=True, why="you allowed it once")
        else:
            grant, session = _grant(held.use), held.question.session
            if session in self._sessions:
                self._sessions[session].granted.add(grant)
            for other in [one for one in self._held.values() if one.question.session == session]:
                if _grant(other.use) == grant:
                    self._settle(other, allowed=True, why="you allowed it for this session")

    async def _confirm(self, session: str, use: Use) -> bool:
        """Return whether ``session`` may use a key, after asking the user, and record the decision."""
        if session not in self._sessions:
            return False
        if _grant(use) in self._sessions[session].granted:
            allowed, why = True, "you allowed it for this session"
        else:
            held = next((one for one in self._held.values() if (one.question.session, one.use) == (session, use)), None)
            if held is None and (obstacle := self._obstacle()):
                self._record_refusal(session, use, f"refused, because {obstacle}")
                return False
            allowed, why = await self._answer_to(held or self._hold(session, use))
        self._record(_event(session, use, why))
        return allowed

    def _obstacle(self) -> str:
        """Return why the user cannot be asked, or an empty string."""
        if not self._can_ask():
            return "no dashboard is open that could ask"
        return f"{HELD_MAX} other questions are open" if len(self._held) >= HELD_MAX else ""

    def _hold(self, session: str, use: Use) -> _Held:
        loop, number = asyncio.get_running_loop(), next(self._numbers)
        question = SignatureQuestion(number, session, use.key, use.comment, use.purpose.text, use.purpose.known)
        held = self._held[number] = _Held(question, use, loop.create_future())
        why = f"refused, because there was no answer within {ASK_TIMEOUT:.0f} s"
        loop.call_later(ASK_TIMEOUT, partial(self._settle, held, allowed=False, why=why))
        self._changed()
        return held

    async def _answer_to(self, held: _Held) -> tuple[bool, str]:
        """Wait for the answer to a question, which is withdrawn if nothing waits for it any more."""
        held.waiting += 1
        try:
            return await asyncio.shield(held.answer)
        finally:
            held.waiting -= 1
            if not held.waiting:
                self._settle(held, allowed=False, why="it was withdrawn")

    def _settle(self, held: _Held, *, allowed: bool, why: str) -> None:
        if not held.answer.done():
            held.answer.set_result((allowed, why))
        if self._held.pop(held.question.number, None) is not None:
            self._changed()

    def _record_refusal(self, session: str, use: Use, why: str) -> None:
        now = time.monotonic()
        if now - self._reported >= REFUSALS_INTERVAL:
            self._reported = now
            self._record(_event(session, use, why))


def _grant(use: Use) -> _Grant:
    return use.key, use.purpose.exact


def _event(session: str, use: Use, why: str) -> Happened:
    text = f"wants to {use.purpose.text} with the key {use.comment} {use.key}: {why}"
    return Happened(time.time(), "signature", plain(text, 500), session)
