"""The commits and files of an attempt, received from its guest into a private repository on the host.

The guest sends its state and a pack. Everything in it is checked before it is used: the size while it is received, each
object when it is indexed (``transfer.fsckObjects`` would do the same), and that no object is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ccvm_tui.attempt import host, script
from ccvm_tui.attempt.script import Places, State
from ccvm_tui.client import connection
from ccvm_tui.errors import UserError
from ccvm_tui.guest import AttemptInfo, GuestInfo
from ccvm_tui.paths import GuestPaths
from ccvm_tui.project.git import PrivateRepository
from ccvm_tui.protocol import Data, Exited

RECEIVED_MAX: Final = 1 << 30
"""Maximum size of a pack in bytes."""

ANSWER_TIMEOUT: Final = 600.0
"""Seconds within which the guest must have sent everything."""

INDEX_TIMEOUT: Final = 600.0
"""Seconds within which Git must have checked what was received."""

_MEMORY_MAX: Final = 2 << 30
_HAVE: Final = "have"
_HAVE_MAX: Final = 100
_BRANCHES_MAX: Final = 1000
_ERROR_MAX: Final = 2000


@dataclass(frozen=True, slots=True)
class Received:
    """The state of an attempt. ``directory`` is the private repository, which has its objects."""

    guest: str
    project: str
    attempt: AttemptInfo
    directory: Path
    state: State

    @contextlib.contextmanager
    def repository(self) -> Iterator[PrivateRepository]:
        """Yield the private repository, which borrows the project's objects. Raises UserError if that is impossible."""
        with _repository(self.directory, self.project) as repository:
            yield repository


async def receive(guest: str) -> Received:
    """Receive the commits and files of the attempt of a running guest.

    Raises UserError if the guest is no attempt, does not answer, or sends something that is not valid.
    """
    async with await connection.connect(guest) as keeper:
        info = await keeper.info()
    attempt = required(info)
    directory = GuestPaths(guest).attempt_repository
    known = [attempt.base, *(await asyncio.to_thread(host.known, info.project, attempt.name)).all]
    with contextlib.suppress(OSError):
        known += (directory / _HAVE).read_text().split()[:_HAVE_MAX]
    incoming = directory / f"incoming-{secrets.token_hex(8)}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        with incoming.open("wb") as file:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                places = Places(attempt.shared, attempt.clone)
                header = await _transfer(guest, places.command("pack", *known), file)
        received = Received(guest, info.project, attempt, directory, script.parse(header))
        await asyncio.to_thread(_store, received, incoming, known)
        return received
    except TimeoutError:
        raise UserError(f"{guest} did not send its commits within {ANSWER_TIMEOUT:.0f} s", "it may be busy") from None
    except OSError as error:
        raise UserError(f"the commits of {guest} cannot be stored in {directory}: {error.strerror}") from error
    finally:
        incoming.unlink(missing_ok=True)


def required(info: GuestInfo) -> AttemptInfo:
    """Return the attempt of a guest. Raises UserError if it works on the project itself."""
    if info.attempt is None:
        raise UserError(
            f"{info.name} is not an attempt: it works on {info.project} itself, so there is nothing to fetch",
            "`ccvm-tui run --attempt NAME` starts an attempt",
        )
    return info.attempt


async def _transfer(guest: str, argv: tuple[str, ...], pack: IO[bytes]) -> bytes:
    """Run the command in the guest, write the pack that it prints to ``pack``, and return what precedes it."""
    header, errors, rest, size = b"", b"", False, 0
    stream = await connection.execute(guest, argv, {})
    try:
        stream.send(Data(0, b""))
        while True:
            match await stream.receive():
                case Data(stream=1, data=data):
                    if not rest:
                        header, rest, data = _split(header + data)
                    size += len(data)
                    if size > RECEIVED_MAX:
                        raise UserError(f"{guest} has more than {RECEIVED_MAX >> 20} MiB to fetch", "fetch more often")
                    pack.write(data)
                case Data(stream=2, data=data):
                    errors = (errors + data)[-_ERROR_MAX:]
                case Exited(status=status, reason=reason):
                    if status or not rest:
                        lines = errors.decode("utf-8", "replace").strip().splitlines()
                        problem = reason or (lines[-1] if lines else f"status {status}")
                        raise UserError(f"Git failed in {guest}: {problem}", f"`ccvm-tui exec {guest} git status`")
                    return header
    finally:
        stream.abort()


def _split(data: bytes) -> tuple[bytes, bool, bytes]:
    """Return what precedes the empty line, whether there is one, and what follows it."""
    header, found, pack = data.partition(b"\n\n")
    if len(header) > script.HEADER_MAX:
        raise UserError("the guest sends too long a list of branches")
    return header, bool(found), pack


def _store(received: Received, pack: Path, known: list[str]) -> None:
    """Check the pack and add it to the private repository. Raises UserError if it is damaged or incomplete."""
    state = received.state
    if len(state.refs) > _BRANCHES_MAX:
        raise UserError(f"{received.guest} has more than {_BRANCHES_MAX:,} branches")
    wanted = list(dict.fromkeys(commit for commit in (state.files, state.head, *state.refs.values()) if commit))
    with received.repository() as repository:
        index(repository, pack, received.guest)
        present = [commit for commit in dict.fromkeys(known) if host.commit_of(repository, commit)]
        lines = [*wanted, *(f"^{commit}" for commit in present)]
        try:
            repository.run("rev-list", "--objects", "--quiet", "--stdin", data="\n".join([*lines, ""]).encode())
        except UserError as error:
            raise UserError(f"{received.guest} did not send all objects of its commits", error.message) from error
    (received.directory / _HAVE).write_text("\n".join(wanted))


def index(repository: PrivateRepository, pack: Path, guest: str) -> None:
    """Check all objects of a pack, which can have any content, and store it. Raises UserError if it is not valid."""
    command = repository.command(
        "index-pack", "--stdin", "--fix-thin", "--strict", "--threads=1", f"--max-input-size={RECEIVED_MAX}"
    )
    limited = ("prlimit", f"--data={_MEMORY_MAX}", "--core=0") if shutil.which("prlimit") else ()
    argv = (*limited, command.argv[0], "-c", "core.bigFileThreshold=16m", *command.argv[1:])
    try:
        with pack.open("rb") as file:
            done = subprocess.run(
                argv, stdin=file, capture_output=True, env=command.environment, cwd=command.directory,
                timeout=INDEX_TIMEOUT,
            )  # fmt: skip
    except FileNotFoundError:
        raise UserError("Git is not installed", "install it to work with attempts") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"what {guest} sent could not be checked within {INDEX_TIMEOUT:.0f} s") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        problem = next((line for line in lines if "error" in line or "fatal" in line), f"status {done.returncode}")
        raise UserError(f"Git does not accept what {guest} sent: {problem[:300]}", "nothing was stored")


@contextlib.contextmanager
def _repository(directory: Path, project: str) -> Iterator[PrivateRepository]:
    with host.opened(project) as view:
        for name in ("objects/info", "objects/pack", "refs"):
            (directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / "HEAD").write_text("ref: refs/heads/none\n")
        for name in ("config", "shallow"):
            if (view.directory / name).exists():
                shutil.copyfile(view.directory / name, directory / name)
        yield PrivateRepository(directory, view.project, borrowed=view.objects)
