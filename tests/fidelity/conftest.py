"""What the local comparisons share lives as long as their module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import own_home
from tests.fidelity.house import House


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch, own_home(patch) as home:
        opened = House(home)
        yield opened
        opened.close()
