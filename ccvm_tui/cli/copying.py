"""Copies between the host and a guest.

A program in the guest sends or receives the files over an exec connection, in the format of
``ccvm_tui.image.guest.agent.trees``. The guest may be hostile: it determines the content of what is copied, but not
where it is stored. See ``tree_receiver``.

A guest can plant symbolic links in its project. So paths on the host that lead out of the guest's project through a
link are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.cli import output, target
from ccvm_tui.cli.standard_streams import ProgramInput
from ccvm_tui.client import connection, listing
from ccvm_tui.client.connection import Stream
from ccvm_tui.errors import UserError
from ccvm_tui.image.guest.agent import tree_receiver, tree_sender, trees
from ccvm_tui.protocol import Data, Exited, Taken
from ccvm_tui.text import printable, size_text

PROGRAM = "/usr/lib/ccvm/copy"
"""The program in the guest."""

FROM_GUEST_MASK = 0o755
"""The permissions that files from a guest can have: only their owner may write to them."""

MESSAGES_MAX = 20
"""Messages about omitted files that are printed. The others are counted."""

_BATCH = 1 << 16
_LINE_MAX = 1 << 13


@dataclass(frozen=True, slots=True)
class Place:
    """A path on the host, or in a guest if ``guest`` is not None. An empty ``guest`` is this directory's."""

    guest: str | None
    path: str


def place(argument: str) -> Place:
    """Parse ``PATH`` or ``GUEST:PATH``. A path with a colon can be written as ``./a:b``."""
    guest, colon, path = argument.partition(":")
    return Place(guest, path) if colon and "/" not in guest else Place(None, argument)


async def copy(sources: list[str], destination: str, *, quiet: bool) -> int:
    """Copy ``sources`` to ``destination``, one of which is in a guest, and return the exit status.

    Raises UserError if nothing can be copied or the copy is interrupted.
    """
    places, to = [place(source) for source in sources], place(destination)
    guests = {source.guest for source in places}
    if len(guests) != 1 or (to.guest is None) == (guests == {None}):
        raise UserError(
            "either the sources or the destination must be in a guest, and not both",
            "`ccvm-tui cp FILE GUEST:PATH` or `ccvm-tui cp GUEST:PATH DIRECTORY`",
        )
    guest = target.guest(to.guest if to.guest is not None else places[0].guest or None)
    copying = _Copy(guest, quiet=quiet)
    paths = [source.path for source in places]
    try:
        await (copying.receive(paths, to.path) if to.guest is None else copying.send(paths, to.path))
    except trees.TreeError as error:
        raise UserError(printable(str(error)), "what was copied before is complete") from error
    return copying.finish()


class _Copy:
    def __init__(self, guest: str, *, quiet: bool) -> None:
        self._guest = guest
        self._project = Path(str(listing.ask_once(guest).get("project", "/nonexistent")))
        self._tally = trees.Tally()
        self._line = _ProgressLine(self._tally, quiet=quiet)
        self._messages = 0
        self._failed = False
        self._ended = False

    def finish(self) -> int:
        """Print the result and return the exit status."""
        self._line.close()
        if self._messages > MESSAGES_MAX:
            print(f"ccvm-tui: {self._messages - MESSAGES_MAX} more were omitted", file=sys.stderr)
        return 1 if self._messages or self._failed else 0

    # --- from the guest -----------------------------------------------------------------------------------

    async def receive(self, sources: list[str], destination: str) -> None:
        """Copy from the guest. Raises TreeError or UserError if the copy cannot continue."""
        wanted = [_own_name(source) for source in sources]
        path = os.fsencode(os.path.normpath(Path(destination).expanduser()))
        root, names = trees.open_destination(path, wanted)
        receiver = tree_receiver.Receiver(root, names, FROM_GUEST_MASK & ~_umask(), self._tally, self._report)
        try:
            opened = Path(os.fsdecode(path))
            self._require_inside(root, os.fsencode(opened if names == wanted else opened.parent))
            if any(name in (b"", b".", b"..", b"~") for name in names):
                raise UserError(
                    "the copy has no name", "give it one as the destination: a path that does not exist yet"
                )
            stream = await connection.execute(self._guest, (PROGRAM, "send", *sources), {})
            with self._program(stream):
                stream.send(Data(0, b""))
                while not self._ended:
                    if (data := await self._output(stream)) and not receiver.finished:
                        receiver.feed(data)
            if not receiver.finished:
                raise trees.TreeError("the copy is not complete")
        finally:
            receiver.close()

    # --- to the guest -------------------------------------------------------------------------------------

    async def send(self, sources: list[str], destination: str) -> None:
        """Copy to the guest. Raises TreeError or UserError if the copy cannot continue."""
        paths = [os.path.normpath(Path(source).expanduser()) for source in sources]
        for path in paths:
            if not os.path.lexists(path):
                raise UserError(f"{path}: there is no such file or directory")
            if Path(path).is_symlink():
                raise UserError(f"{path} is a symbolic link", f"name what it leads to: {os.path.realpath(path)}")
        names = [Path(path).resolve().name for path in paths]  # the last part of each is not a link
        if not all(names):
            raise UserError("the root directory cannot be copied as a whole", "name directories in it")
        argv = (PROGRAM, "receive", destination or ".", *names)
        stream = await connection.execute(self._guest, argv, {})
        with self._program(stream):
            program_input = ProgramInput(stream)
            sending = asyncio.create_task(self._feed(program_input, [os.fsencode(path) for path in paths]))
            receiving = asyncio.create_task(self._until_ended(stream, program_input))
            try:
                await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
                complete = sending.done()
                if complete:
                    sending.result()
                await receiving
            finally:
                sending.cancel()
                receiving.cancel()
                await asyncio.gather(sending, receiving, return_exceptions=True)
            if not complete and not self._messages:
                raise trees.TreeError("the guest ended the copy")

    async def _until_ended(self, stream: Stream, program_input: ProgramInput) -> None:
        while not self._ended:
            await self._output(stream, program_input)

    async def _feed(self, program_input: ProgramInput, sources: list[bytes]) -> None:
        frames = tree_sender.send(sources, self._tally, follow=False, check=self._require_inside)
        for piece in _batches(frames):
            await program_input.send(piece)
            self._line.update()
        await program_input.send(b"")

    # --- both ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _program(self, stream: Stream) -> Iterator[None]:
        """Within the block, the program in the guest runs. It is ended with the block."""
        self._errors = bytearray()
        try:
            yield
        finally:
            self._line.close()
            stream.abort()

    async def _output(self, stream: Stream, program_input: ProgramInput | None = None) -> bytes:
        """Receive one message of the program, and return its standard output, if it is that."""
        message = await stream.receive()
        self._line.update()
        match message:
            case Data(stream=1, data=data):
                return data
            case Data(stream=2, data=data):
                self._errors += data
                *lines, self._errors = self._errors.split(b"\n")
                for line in lines:
                    self._report(line.decode("utf-8", "replace"))
                if len(self._errors) > _LINE_MAX:
                    self._errors.clear()
            case Taken(count=count) if program_input is not None:
                await program_input.taken(count)
            case Exited(status=status, reason=reason):
                self._ended = True
                self._failed = status != 0
                if reason:
                    raise UserError(f"{self._guest}: {printable(reason)}", "the copy is not complete")
        return b""

    def _report(self, text: str) -> None:
        """Print a message about an entry that was omitted. It can be from the guest."""
        self._messages += 1
        if self._messages <= MESSAGES_MAX:
            self._line.close()
            print(f"ccvm-tui: {printable(text[:1000])}", file=sys.stderr)

    def _require_inside(self, directory: int, path: bytes) -> None:
        """Raise TreeError if ``path`` leads out of the guest's project; ``directory`` is what was opened for it."""
        opened = Path(f"/proc/self/fd/{directory}").readlink()
        if opened == self._project or self._project in opened.parents:
            return
        logical = Path(os.path.normpath(Path.cwd() / os.fsdecode(path)))
        for prefix in (logical, *logical.parents):
            real = Path(os.path.realpath(prefix))
            if prefix != logical and (real == self._project or self._project in real.parents):
                raise trees.TreeError(f"{logical} leads out of the project of {self._guest} through a symbolic link")


def _own_name(source: str) -> bytes:
    """Return the name of the copy of a path in the guest."""
    return os.fsencode(source.rstrip("/").rpartition("/")[2])


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _batches(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Join short frames."""
    batch = bytearray()
    for frame in frames:
        batch += frame
        if len(batch) >= _BATCH:
            yield bytes(batch)
            batch.clear()
    if batch:
        yield bytes(batch)


class _ProgressLine:
    """A line on standard error with the number of files and bytes, which is redrawn. Only terminals get it."""

    INTERVAL = 0.1
    DELAY = 0.5

    def __init__(self, tally: trees.Tally, *, quiet: bool) -> None:
        self._tally = tally
        self._live = not quiet and output.can_redraw(sys.stderr)
        self._began = time.monotonic()
        self._next = self._began + self.DELAY
        self._drawn = False

    def update(self) -> None:
        now = time.monotonic()
        if not self._live or now < self._next:
            return
        self._next = now + self.INTERVAL
        tally = self._tally
        speed = size_text(int(tally.bytes / (now - self._began)))
        width = (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
        text = f"{tally.files} files, {size_text(tally.bytes)}, {speed}/s  {printable(tally.name)}"
        sys.stderr.write("\r" + text[:width] + "\x1b[K")
        sys.stderr.flush()
        self._drawn = True

    def close(self) -> None:
        if self._drawn:
            self._drawn = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
