"""Programs look the same through ``ccvm-tui attach`` as directly in the terminal, with a keeper without a guest."""

from __future__ import annotations

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity import scripts
from tests.fidelity.local_setup import LocalSetup

SIZES = {"80x24": TermSize(80, 24), "132x43": TermSize(132, 43), "40x12": TermSize(40, 12)}


def name(script: scripts.Script) -> str:
    return script.__name__


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("script", scripts.EVERYWHERE, ids=name)
def test_attached_programs_look_the_same(script: scripts.Script, size: TermSize, local: LocalSetup) -> None:
    with local.stage(size) as stage:
        script(stage)


@pytest.mark.parametrize("script", scripts.ONCE, ids=name)
def test_attached_programs_look_the_same_in_one_size(script: scripts.Script, local: LocalSetup) -> None:
    with local.stage(TermSize(80, 24)) as stage:
        script(stage)
