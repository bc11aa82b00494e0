"""Requests for ports, links and SSH clients, with keepers without a guest."""

from __future__ import annotations

import pytest

from ccvm_tui.errors import UserError
from ccvm_tui.protocol import Happened
from tests.conftest import Launch


async def test_forwarded_ports_are_listed_and_end_with_the_guest(local: Launch) -> None:
    keeper = await local("cat")
    forward = await keeper.forward(9)  # a privileged port gets a free one
    assert forward.guest == 9
    assert forward.host != 9
    assert (await keeper.ports()).forwards == (forward,)
    assert (await keeper.info()).forwards == (forward,)
    await keeper.remove_forward(forward.host)
    assert (await keeper.info()).forwards == ()
    with pytest.raises(UserError, match="not forwarded"):
        await keeper.remove_forward(forward.host)


async def test_a_page_that_is_not_offered_cannot_be_answered(local: Launch) -> None:
    keeper = await local("cat")
    for opened in (True, False):
        with pytest.raises(UserError, match="no longer offered"):
            await keeper.answer_link(1, opened=opened)


async def test_ssh_clients_need_a_guest(local: Launch) -> None:
    keeper = await local("cat")
    with pytest.raises(UserError, match="no machine"):
        await keeper.prepare_ssh()


async def test_events_of_forwarded_ports_reach_listeners(local: Launch) -> None:
    keeper = await local("cat")
    texts: list[str] = []
    await keeper.forward(9)
    async for event in keeper.events():
        if isinstance(event, Happened) and event.kind == "forward":
            texts.append(event.text)
            break
    assert "127.0.0.1" in texts[0]
