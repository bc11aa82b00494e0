"""Lasting connections to a keeper: control, attached terminals, views, and exec."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from ccvm_tui import bridging, claim, framing, protocol
from ccvm_tui.attempt.spec import CheckAttempt
from ccvm_tui.edits import AcceptEdits, CheckEdits, Edits
from ccvm_tui.errors import KeeperLost, NoSuchGuest, ProtocolError, UserError, VersionMismatch, user_error
from ccvm_tui.guest import UNKNOWN_COLOURS, AttemptInfo, Forward, GuestInfo, SessionInfo, TermColours, TermSize
from ccvm_tui.outbound import AnswerEgress, ChangeEgress, EgressReport, GetEgress
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import SessionSpec, ToClient, ToKeeper

R = TypeVar("R", bound=protocol.Result)

EXIT_TIMEOUT = 10.0
"""Seconds within which a keeper must exit after its guest has stopped."""


class Stream:
    """A connection after its opening message, with messages in both directions."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, name: str, opening: protocol.Opening) -> Self:
        """Connect to the keeper of the guest ``name`` and send ``opening``.

        Raises NoSuchGuest if the guest is not running, VersionMismatch if its keeper has another version of the
        protocol, KeeperLost if the keeper closes the connection.
        """
        paths = GuestPaths(name)
        try:
            reader, writer = await asyncio.open_unix_connection(str(paths.keeper_socket))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoSuchGuest(f"no guest {name!r} is running", "see `ccvm-tui ls`") from error
        stream = cls(name, reader, writer)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(writer.close)
            await stream._greet(opening)
            on_failure.pop_all()
        return stream

    async def _greet(self, opening: protocol.Opening) -> None:
        greeting = framing.pack_json({"protocol": protocol.PROTOCOL, "op": "open"})
        self._writer.write(greeting + protocol.pack(opening))
        body = await framing.read_frame(self._reader)
        if body is None:
            raise KeeperLost(f"the keeper of {self.name} closed the connection", "see `ccvm-tui ls`")
        answer = framing.unpack_json(body)
        if answer.get("protocol") != protocol.PROTOCOL:
            raise VersionMismatch(
                f"the guest {self.name} was started by version {answer.get('version', '?')}, "
                "which speaks another protocol",
                f"`ccvm-tui stop {self.name}` stops it; nothing in it is lost until then",
            )

    def send(self, message: ToKeeper) -> None:
        """Queue a message. It is dropped if the connection is closed, which ``receive`` reports."""
        if not self._writer.is_closing():
            self._writer.write(protocol.pack(message))

    async def drain(self) -> None:
        """Wait until the queue is short. Raises KeeperLost if the connection is lost."""
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise KeeperLost(f"the keeper of {self.name} went away", "see `ccvm-tui ls`") from error

    async def receive(self) -> ToClient:
        """Return the next message.

        Raises KeeperLost at the end of the connection, or the UserError with which the keeper refused the opening.
        """
        body = await framing.read_frame(self._reader)
        if body is None:
            self._writer.close()  # the keeper waits for this
            raise KeeperLost(
                f"the keeper of {self.name} went away", f"see `ccvm-tui ls` and `ccvm-tui logs {self.name}`"
            )
        message = protocol.unpack_from_keeper(body)
        if isinstance(message, protocol.Failure) and message.id == 0:
            raise user_error(message.kind, message.message, message.hint)
        return message

    def abort(self) -> None:
        """Close the connection at once, and drop queued messages."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close the connection after queued messages are sent. Idempotent."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Keeper:
    """A control connection, for requests and events.

    ::

        async with await connect("proj-3f2a", events=True) as keeper:
            info = await keeper.info()
            async for event in keeper.events():   # Info, Happened, Console
                ...
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[protocol.Result]] = {}
        self._events: asyncio.Queue[ToClient | None] = asyncio.Queue(maxsize=1000)
        self._lost: UserError | None = None
        self._reading = asyncio.create_task(self._read(), name=f"client: control of {stream.name}")

    @property
    def name(self) -> str:
        """The name of the guest."""
        return self._stream.name

    async def _read(self) -> None:
        try:
            while True:
                message = await self._stream.receive()
                match message:
                    case protocol.Answer(id=id_, result=result):
                        if (future := self._waiting.pop(id_, None)) is not None and not future.done():
                            future.set_result(result)
                    case protocol.Failure(id=id_):
                        if (future := self._waiting.pop(id_, None)) is not None and not future.done():
                            future.set_exception(user_error(message.kind, message.message, message.hint))
                    case _:
                        if self._events.full():  # a slow consumer loses the oldest events
                            self._events.get_nowait()
                        self._events.put_nowait(message)
        except ProtocolError as error:
            self._lost = KeeperLost(f"the keeper of {self.name} broke the protocol: {error}", "see `ccvm-tui ls`")
        except UserError as error:
            self._lost = error
        finally:
            lost = self._lost or KeeperLost(f"the connection to {self.name} was closed")
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(lost)
            self._waiting.clear()
            if self._events.full():
                self._events.get_nowait()
            self._events.put_nowait(None)

    async def ask(self, request: protocol.Request, answer: type[R]) -> R:
        """Send ``request`` and return its result, which must have the type ``answer``.

        Raises the UserError with which the keeper refused the request, KeeperLost if the connection is lost,
        ProtocolError if the result has another type.
        """
        if self._lost is not None or self._reading.done():
            raise self._lost or KeeperLost(f"the connection to {self.name} was closed")
        id_ = next(self._ids)
        future: asyncio.Future[protocol.Result] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = future
        self._stream.send(protocol.Ask(id_, request))
        try:
            result = await future
        finally:
            self._waiting.pop(id_, None)
        if not isinstance(result, answer):
            raise ProtocolError(f"{type(request).__name__} was answered by {type(result).__name__}")
        return result

    async def events(self) -> AsyncIterator[protocol.Info | protocol.Happened | protocol.Console]:
        """Iterate over events until the connection ends. ``lost`` then has the reason."""
        while (message := await self._events.get()) is not None:
            if isinstance(message, protocol.Info | protocol.Happened | protocol.Console):
                yield message

    @property
    def lost(self) -> UserError | None:
        """The error that ended the connection, or None."""
        return self._lost

    async def info(self) -> GuestInfo:
        """Return the state of the guest and its sessions."""
        return (await self.ask(protocol.GetInfo(), protocol.Info)).guest

    async def start_session(self, spec: SessionSpec) -> SessionInfo:
        """Wait for the end of the boot, start a session, and return once its program runs."""
        return (await self.ask(protocol.StartSession(spec), protocol.Started)).session

    async def end_session(self, session: str, *, force: bool = False) -> None:
        """Hang up the program of a session, or with ``force`` kill it."""
        await self.ask(protocol.EndSession(session, force), protocol.Done)

    async def stop(self, *, force: bool = False) -> None:
        """Stop the guest and wait until its keeper has exited.

        Raises KeeperLost if the keeper does not exit within ``EXIT_TIMEOUT`` seconds.
        """
        with contextlib.suppress(KeeperLost):
            await self.ask(protocol.StopGuest(force), protocol.Done)
        paths = GuestPaths(self.name)
        try:
            async with asyncio.timeout(EXIT_TIMEOUT):
                while claim.alive(paths.lock):  # noqa: ASYNC110 - a lock of another process sends no event
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            raise KeeperLost(f"the keeper of {self.name} hangs", f"try `ccvm-tui stop --force {self.name}`") from error

    async def pause(self) -> None:
        """Pause the guest."""
        await self.ask(protocol.PauseGuest(), protocol.Done)

    async def resume(self) -> None:
        """Resume the guest."""
        await self.ask(protocol.ResumeGuest(), protocol.Done)

    async def rows(self, session: str, first: int, count: int) -> bytes:
        """Return rows of scrollback and screen, by absolute number, as encoded ``ccvm_tui.terminal.cells.Lines``."""
        return (await self.ask(protocol.GetRows(session, first, count), protocol.Blob)).data

    async def text(self, session: str, first: int, last: int) -> str:
        """Return the text of the rows ``first`` to ``last``, with soft-wrapped rows joined."""
        return (await self.ask(protocol.GetText(session, first, last), protocol.Text)).text

    async def find_text(self, session: str, needle: str, limit: int = 10_000) -> protocol.Matches:
        """Return the newest matches of ``needle`` in scrollback and screen, at most ``limit``."""
        return await self.ask(protocol.FindText(session, needle, limit), protocol.Matches)

    async def busy(self) -> tuple[tuple[str, str], ...]:
        """Return (session, command) of each session with a command in its foreground."""
        return (await self.ask(protocol.CheckBusy(), protocol.Busy)).sessions

    async def edits(self) -> Edits:
        """Return the edits of a read-only project, which exist in the guest's memory only."""
        return await self.ask(CheckEdits(), Edits)

    async def list_edits(self) -> Edits:
        """Return all edits of a read-only project, with what is needed to apply them."""
        return await self.ask(CheckEdits(listed=True), Edits)

    async def accept_edits(self, paths: Sequence[str], *, undoing: bool = False) -> None:
        """Report that edits at ``paths`` were applied to the host or undone, or are about to be undone."""
        await self.ask(AcceptEdits(tuple(paths), undoing), protocol.Done)

    async def check_attempt(self, *, wait: bool = True) -> AttemptInfo | None:
        """Return the current state of the guest's attempt, or None if it is none.

        Without ``wait``, the state is the last one that is known, and a newer one becomes known later.
        """
        return (await self.ask(CheckAttempt(wait), protocol.Info)).guest.attempt

    async def allow_guarded(self, item: str) -> str:
        """Allow a change that the guard has blocked or noticed, and return a text about it. Raises UserError."""
        return (await self.ask(protocol.AllowGuarded(item), protocol.Text)).text

    async def seen(self, session: str) -> None:
        """Report that the user has looked at a session, which clears its attention mark."""
        await self.ask(protocol.Seen(session), protocol.Done)

    async def egress(self, version: int = 0) -> EgressReport:
        """Return the rules of the guest's egress, and the attempts that have changed after ``version``."""
        return await self.ask(GetEgress(version), EgressReport)

    async def change_egress(self, effect: str, rule: str) -> None:
        """Add a rule to the guest's egress (``effect`` is allow or deny), or remove it (forget)."""
        await self.ask(ChangeEgress(effect, rule), protocol.Done)

    async def answer_egress(self, question: str, *, allow: bool, once: bool) -> None:
        """Answer a question of the guest's egress, for the held connections or for the guest."""
        await self.ask(AnswerEgress(question, allow, once), protocol.Done)

    async def mute(self, session: str, muted: bool) -> None:
        """Mute or unmute a session."""
        await self.ask(protocol.Mute(session, muted), protocol.Done)

    async def ports(self) -> bridging.Ports:
        """Return the ports on which programs of the guest listen, and the forwarded ports."""
        return await self.ask(bridging.GetPorts(), bridging.Ports)

    async def forward(self, guest: int, host: int = 0) -> Forward:
        """Forward the port ``host`` of this machine, 0 for a free one, to the port ``guest`` of the guest."""
        return (await self.ask(bridging.AddForward(guest, host), bridging.Forwarded)).forward

    async def remove_forward(self, host: int) -> None:
        """End the forwarding of the port ``host`` of this machine."""
        await self.ask(bridging.RemoveForward(host), protocol.Done)

    async def answer_link(self, link: int, *, opened: bool) -> None:
        """Accept or reject the offer of a link. An accepted login's callback port is forwarded."""
        await self.ask(bridging.AnswerLink(link, opened), protocol.Done)

    async def answer_signature(self, question: int, *, allow: bool, once: bool) -> None:
        """Answer a question about a signature, for this one or for all equal ones of the session."""
        await self.ask(bridging.AnswerSignature(question, allow, once), protocol.Done)

    async def prepare_ssh(self) -> str:
        """Prepare the guest for SSH clients, and return the directory with the files for them."""
        return (await self.ask(bridging.PrepareSsh(), bridging.SshFiles)).directory

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def connect(name: str, *, events: bool = False, console: bool = False, asks: bool = False) -> Keeper:
    """Open a control connection. With ``events`` it receives events, with ``console`` also the console of a boot.

    With ``asks`` the caller must show the user the guest's questions about its egress and about signatures.

    Raises the errors of ``Stream.open``.
    """
    return Keeper(await Stream.open(name, protocol.Control(events=events, console=console, asks=asks)))


async def attach(
    name: str, session: str, size: TermSize, *, scrollback: bool = True, watch_only: bool = False
) -> Stream:
    """Attach a raw terminal to ``session``: send Input and Resize; receive Output, and finally Exited.

    Raises the errors of ``Stream.open``.
    """
    return await Stream.open(name, protocol.Attach(session, size, scrollback, watch_only))


async def view(name: str, session: str, size: TermSize, colours: TermColours = UNKNOWN_COLOURS) -> Stream:
    """Open a view of ``session``: receive FrameData, and send an Ack after drawing each; send Input and Resize.

    ``colours`` are those of the terminal on which the view is drawn; send Recolour when they change. Raises the errors
    of ``Stream.open``.
    """
    return await Stream.open(name, protocol.View(session, size, colours))


async def execute(name: str, argv: tuple[str, ...], env: dict[str, str]) -> Stream:
    """Run a program without a pty: send and receive Data, and finally receive Exited.

    Raises the errors of ``Stream.open``.
    """
    return await Stream.open(name, protocol.Exec(argv, env))
