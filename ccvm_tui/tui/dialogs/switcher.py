"""All sessions, found by typing a few letters, with a picture of the one under the cursor."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual.widget import Widget

from ccvm_tui.guest import TermSize
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.dialogs.finder import Finder
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.plain import fit
from ccvm_tui.tui.theme import Sign
from ccvm_tui.tui.widgets.preview import Preview

TITLE_MIN, TITLE_MAX = 10, 26


@dataclass(frozen=True, slots=True)
class Candidate:
    key: SessionKey
    title: str
    project: str
    sign: Sign
    says: str
    size: TermSize


class Switcher(Finder[Candidate]):
    title_text = "Sessions"
    placeholder = "type a few letters of its title, project or guest"

    DEFAULT_CSS = """
    Switcher OptionList { width: 44%; }
    Switcher Preview { width: 56%; height: 1fr; border-left: solid $line; }
    """

    def __init__(self, candidates: list[Candidate]) -> None:
        super().__init__(candidates)
        self._preview = Preview()

    def beside(self) -> list[Widget]:
        return [self._preview]

    def searched(self, entry: Candidate) -> str:
        return f"{entry.title}  {entry.key.guest}"

    def under_cursor(self, entry: Candidate | None) -> None:
        if entry is None:
            self._preview.show(None)
        else:
            self._preview.show(entry.key, entry.size)

    def line(self, entry: Candidate, needle: str, room: int) -> Text:
        inks = inks_of(self)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        text.append(f"{entry.sign.shape} ", inks.ink(entry.sign.colour, ""))
        width = min(TITLE_MAX, max(TITLE_MIN, cell_len(entry.title)))
        text.append_text(self.matched(needle, fit(entry.title, width)))
        text.append(f"  {entry.key.guest}", inks.ink("muted", ""))
        if entry.says and (left := room - cell_len(text.plain) - 2) > 6:
            text.append(f"  {fit(entry.says, left)}", inks.ink(entry.sign.colour, ""))
        return text
