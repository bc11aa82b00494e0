"""Programs look the same through ``ccvm-tui attach`` as directly in the terminal, with a keeper without a guest."""

from __future__ import annotations

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity import scripts
from tests.fidelity.local_setup import LocalSetup

pytestmark = pytest.mark.unmeasured

STAGES = {
    f"{script.__name__}-{cols}x{rows}": (script, TermSize(cols, rows))
    for (cols, rows), group in {(80, 24): scripts.USUAL, (40, 12): scripts.SMALL, (132, 43): scripts.LARGE}.items()
    for script in group
}


@pytest.mark.parametrize(("script", "size"), STAGES.values(), ids=STAGES.keys())
def test_attached_programs_look_the_same(script: scripts.Script, size: TermSize, local: LocalSetup) -> None:
    with local.stage(size) as stage:
        script(stage)


def test_a_rendition_that_is_left_on_does_not_colour_the_first_row_after_a_program_on_the_alternate_screen(
    local: LocalSetup,
) -> None:
    with local.stage(TermSize(90, 26)) as stage:
        scripts.less(stage)
        stage.type("clear\r")
        stage.prompt()
        stage.type("python3 programs/colours.py\r")
        stage.look("what comes next")
        stage.interrupt()
        stage.interrupt()
