"""The fixtures of the tests clean up only what they have created."""

from __future__ import annotations

import os

import pytest

from ccvm_tui.client import listing
from tests.conftest import Launch, own_home


async def test_the_guests_of_the_user_survive_a_test_that_unsets_the_runtime_directory(
    local: Launch,
) -> None:
    keeper = await local("cat")
    users = listing.names()
    assert users == [keeper.name]
    runtime = os.environ["XDG_RUNTIME_DIR"]
    with pytest.MonkeyPatch.context() as patch, own_home(patch):
        patch.setenv("XDG_RUNTIME_DIR", runtime)  # unsetting it would also lead to the user's directory
    assert listing.names() == users
    assert (await keeper.info()).state == "running"
