"""Programs through ``ccvm-tui attach`` look as they do right in the terminal, in a keeper without a guest."""

from __future__ import annotations

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity import scripts
from tests.fidelity.house import House

SIZES = {"80x24": TermSize(80, 24), "132x43": TermSize(132, 43), "40x12": TermSize(40, 12)}


def name(script: scripts.Script) -> str:
    return script.__name__


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("script", scripts.EVERYWHERE, ids=name)
def test_as_right_in_the_terminal(script: scripts.Script, size: TermSize, house: House) -> None:
    with house.stage(size) as stage:
        script(stage)


@pytest.mark.parametrize("script", scripts.ONCE, ids=name)
def test_as_right_in_a_terminal_of_any_size(script: scripts.Script, house: House) -> None:
    with house.stage(TermSize(80, 24)) as stage:
        script(stage)
