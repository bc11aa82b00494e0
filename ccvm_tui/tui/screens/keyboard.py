"""Whose a key is: the leader's, the focused session's, or of one that is about to have the focus."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ccvm_tui.terminal.keys import Stroke
from ccvm_tui.terminal.leader import Verdict
from ccvm_tui.tui.bindings import shown_key
from ccvm_tui.tui.widgets.terminal import Terminal
from ccvm_tui.tui.widgets.which_key import WhichKey

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen

POPUP_AFTER = 0.5
"""Seconds after the leader until its keys are shown."""

LAYOUT_WITHIN = 0.2
"""Seconds for which keys are held at most while the layout follows the outer terminal's new size."""


class Keyboard:
    """A part of the main screen."""

    @property
    def _keyboard_of(self) -> MainScreen:
        return cast("MainScreen", self)

    def take_stroke(self, stroke: Stroke) -> bool:
        """The leader and the key after it are ours; all others belong to the focused session."""
        main = self._keyboard_of
        decision = main.leader.feed(stroke)
        match decision.verdict:
            case Verdict.NOT_OURS if main.focus_wanted is not None or main.holding is not None:
                main.held.append(stroke)
                return True
            case Verdict.NOT_OURS:
                terminal = main.focused_terminal
                if terminal is None:
                    return False
                terminal.take_stroke(stroke)
                return True
            case Verdict.ARMED:
                main.popup = main.set_timer(POPUP_AFTER, self.show_popup)
                return True
            case Verdict.IGNORED:
                return True
        self.close_popup()
        match decision.verdict:
            case Verdict.LITERAL if (terminal := main.focused_terminal) is not None:
                terminal.take_stroke(main.leader.leader_stroke)
            case Verdict.ACTION:
                main.deeds.do(decision.action, number=decision.number)
            case Verdict.UNKNOWN:
                main.notify(f"{shown_key(main.settings.leader)} {shown_key(decision.action)} does nothing", timeout=2)
            case _:
                pass
        return True

    def hold_keys(self) -> None:
        """The outer terminal has another size: what is typed now is for the new layout, which takes a moment."""
        main = self._keyboard_of
        if main.focused_terminal is not None and main.holding is None:
            main.holding = main.set_timer(LAYOUT_WITHIN, self.release_keys)

    def release_keys(self) -> None:
        main = self._keyboard_of
        if main.holding is not None:
            main.holding.stop()
            main.holding = None
        if main.focus_wanted is None and (terminal := main.focused_terminal) is not None:
            self.deliver_held(terminal)

    def deliver_held(self, terminal: Terminal) -> None:
        main = self._keyboard_of
        held, main.held = main.held, []
        for one in held:
            if isinstance(one, bytes):
                terminal.take_paste(one)
            else:
                terminal.take_stroke(one)

    def take_paste(self, data: bytes) -> bool:
        """A paste is the focused session's, or that of the one which is about to be."""
        main = self._keyboard_of
        if main.focus_wanted is not None or main.holding is not None:
            main.held.append(data)
            return True
        terminal = main.focused_terminal
        if terminal is not None:
            terminal.take_paste(data)
        return terminal is not None

    def show_popup(self) -> None:
        main = self._keyboard_of
        main.leader.armed = True
        main.query_one(WhichKey).open(main.leader)

    def close_popup(self) -> None:
        main = self._keyboard_of
        if main.popup is not None:
            main.popup.stop()
            main.popup = None
        main.query_one(WhichKey).close()
