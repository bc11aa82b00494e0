"""The requests of control connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from ccvm_tui import bridging, protocol
from ccvm_tui.attempt.spec import CheckAttempt
from ccvm_tui.edits import AcceptEdits, CheckEdits
from ccvm_tui.errors import UserError
from ccvm_tui.guard import install
from ccvm_tui.guard.quarantine import Quarantine
from ccvm_tui.keeper.keeper import Keeper
from ccvm_tui.outbound import AnswerEgress, ChangeEgress, GetEgress
from ccvm_tui.protocol import Request, Result

if TYPE_CHECKING:  # slow to import
    from ccvm_tui.egress.service import EgressService

NAME_MAX = 100
"""Maximum length of a session's name in characters."""

NEEDLE_MAX = 10_000
"""Maximum length of a search text in characters."""


async def answer(keeper: Keeper, request: Request) -> Result:
    """Execute ``request`` and return its result.

    Raises UserError if the request is refused or fails, TimeoutError if the guest does not answer.
    """
    match request:
        case protocol.GetInfo():
            return protocol.Info(keeper.info())
        case protocol.StartSession(spec=spec):
            if len(spec.name) > NAME_MAX:
                raise UserError(f"the name of a session may have at most {NAME_MAX} characters")
            return protocol.Started(await keeper.open_session(spec))
        case protocol.EndSession(session=id_, force=force):
            session = await keeper.session(id_)
            session.kill() if force else session.hang_up()
        case protocol.StopGuest(force=force):
            keeper.stop(force=force)
            await keeper.stopped.wait()
        case protocol.PauseGuest():
            await keeper.pause()
        case protocol.ResumeGuest():
            await keeper.resume()
        case protocol.GetRows(session=id_, first=first, count=count):
            await keeper.session(id_)
            return protocol.Blob(msgspec.msgpack.encode(await keeper.screen.lines(id_, first, count)))
        case protocol.GetText(session=id_, first=first, last=last):
            await keeper.session(id_)
            return protocol.Text(await keeper.screen.text(id_, first, last))
        case protocol.FindText(session=id_, needle=needle, limit=limit):
            if len(needle) > NEEDLE_MAX:
                raise UserError(f"the search text may have at most {NEEDLE_MAX:,} characters")
            await keeper.session(id_)
            text = needle.encode("utf-8", "replace").decode()  # without lone surrogates, which screens cannot contain
            matches, total = await keeper.screen.search(id_, text, limit)
            places = ((match.line, match.column, match.end_line, match.end_column) for match in reversed(matches))
            return protocol.Matches(tuple(places), total)
        case protocol.CheckBusy():
            return protocol.Busy(await _busy(keeper))
        case CheckAttempt(wait=wait):
            transport = await keeper.transport()
            if keeper.attempt is not None and wait:
                await keeper.attempt.refresh(transport)
            elif keeper.attempt is not None:
                keeper.attempt.refresh_soon()
            return protocol.Info(keeper.info())
        case CheckEdits(listed=listed):
            return await (keeper.guest.list_edits() if listed else keeper.guest.edits())
        case AcceptEdits(paths=paths, undoing=undoing):
            await keeper.guest.accept_edits(paths, undoing=undoing)
        case protocol.AllowGuarded(item=id_):
            item = Quarantine(keeper.spec.name).item(id_)
            await keeper.guest.trust(item.path, item.problems)
            return protocol.Text(await asyncio.to_thread(install.allow, keeper.spec.name, id_))
        case protocol.Seen(session=id_):
            (await keeper.session(id_)).seen()
        case protocol.Mute(session=id_, muted=muted):
            (await keeper.session(id_)).mute(muted)
        case bridging.GetPorts():
            await keeper.transport()
            return bridging.Ports(await keeper.guest.ports(), keeper.forwards.all())
        case bridging.AddForward(guest=guest, host=host):
            return bridging.Forwarded(await keeper.add_forward(guest, host))
        case bridging.RemoveForward(host=host):
            keeper.remove_forward(host)
        case bridging.AnswerLink(link=link, opened=opened):
            await keeper.answer_link(link, opened=opened)
        case bridging.AnswerSignature(question=number, allow=allow, once=once):
            keeper.ssh_agents.answer(number, allow=allow, once=once)
        case bridging.PrepareSsh():
            await keeper.transport()
            return bridging.SshFiles(await keeper.guest.prepare_ssh())
        case GetEgress(version=version):
            return _egress(keeper).report(version)
        case ChangeEgress(effect=effect, rule=rule):
            _egress(keeper).change(effect, rule)
        case AnswerEgress(question=question, allow=allow, once=once):
            _egress(keeper).answer(question, allow=allow, once=once)
    return protocol.Done()


def _egress(keeper: Keeper) -> EgressService:
    """Return the egress of the guest. Raises UserError if nothing controls it."""
    if keeper.guest.egress is None:
        mode = keeper.info().egress.mode
        raise UserError(
            f"the egress of {keeper.spec.name} is {mode}, so there is nothing to show or to change",
            'the setting `egress` selects another kind for the next start, such as "public" or "ask"',
        )
    return keeper.guest.egress


async def _busy(keeper: Keeper) -> tuple[tuple[str, str], ...]:
    ids = list(keeper.sessions)
    commands = await asyncio.gather(*(keeper.guest.busy(id_) for id_ in ids))
    return tuple((id_, command) for id_, command in zip(ids, commands, strict=True) if command)
