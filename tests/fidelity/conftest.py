"""The setup of the local comparisons, which exists once per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import own_home
from tests.fidelity.local_setup import LocalSetup


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSetup]:
    with pytest.MonkeyPatch.context() as patch, own_home(patch) as home:
        opened = LocalSetup(home)
        yield opened
        opened.close()
