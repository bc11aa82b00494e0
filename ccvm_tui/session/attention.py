"""Which session waits for the user, and why.

A pure state machine: facts and times go in, an Activity and a text come out. The sources, best first:
the agent's own hooks, desktop notifications (OSC 9, 777, 99), the bell, prompt marks (OSC 133), the title, and
last, output that stopped after having run. A better source silences the guesses below it: once an agent has told
by a hook that it works, a quiet minute means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ccvm_tui.guest import Activity, SessionKind

QUIET_AFTER = 4.0
"""Seconds without output after which a session that was busy counts as quiet."""

BUSY_AFTER = 1.5
"""Seconds of output that make a session busy: an echoed key or a redraw is no work."""

LONG_COMMAND = 5.0
"""Seconds after which a finished command is worth a mark."""

ECHO_WITHIN = 0.5
"""Output this soon after a key is taken for its echo."""


BUSY_TITLE = re.compile("[\u2800-\u28ff◐◓◑◒◴◷◶◵✦]")
"""What agents turn at the beginning of their title while they work."""


class Attention:
    """``waiting_titles`` are regular expressions: a title that one of them finds something in says that it waits."""

    def __init__(self, kind: SessionKind, now: float, waiting_titles: Sequence[str] = ()) -> None:
        self._kind = kind
        self._waiting_titles = [re.compile(pattern) for pattern in waiting_titles]
        self._busy_title_since: float | None = None
        self._by_title = False
        self._activity = Activity.WORKING if kind is not SessionKind.SHELL else Activity.IDLE
        self._text = ""
        self._hooked = False
        self._guessed = False
        self._marked = False
        self._command_since: float | None = None
        self._burst_since: float | None = None
        self._last_output = now
        self._last_typed = now

    @property
    def activity(self) -> Activity:
        return self._activity

    @property
    def text(self) -> str:
        """Why the user is wanted; empty when he is not."""
        return self._text

    def hook(self, activity: Activity, text: str, now: float) -> None:
        """The agent itself told."""
        self._hooked = True
        self._set(activity, text if activity is not Activity.WORKING else "")

    def notified(self, text: str, now: float) -> None:
        if self._hooked and self._activity is Activity.WAITING:
            return  # the hook's own words are better
        self._set(Activity.WAITING, text or "notification")

    def rang(self, now: float) -> None:
        if self._text or now - self._last_typed < ECHO_WITHIN:  # a bell for a key is the shell's complaint
            return
        self._set(Activity.WAITING, "bell")

    def prompt(self, kind: str, status: int | None, now: float) -> None:
        """A mark of OSC 133: A or B, the shell waits; C, a command runs; D, it ended."""
        self._marked = True
        match kind:
            case "C":
                self._command_since = now
                self._set(Activity.WORKING, "")
            case "D" if self._command_since is not None:
                took = now - self._command_since
                self._command_since = None
                failed = status not in (None, 0)
                if took < LONG_COMMAND:
                    self._set(Activity.IDLE, "")
                elif failed:
                    self._set(Activity.FAILED, f"command failed with status {status}")
                else:
                    self._set(Activity.DONE, "command finished")
            case "A" | "B" if self._command_since is None and not self._text:
                self._set(Activity.IDLE, "")
            case _:
                pass

    def titled(self, title: str, now: float) -> None:
        """The program changed its title."""
        if self._hooked or (self._text and not self._by_title):
            return  # better is known
        busy_since, self._busy_title_since = self._busy_title_since, None
        if any(pattern.search(title) for pattern in self._waiting_titles):
            self._set(Activity.WAITING, title.strip())
            self._by_title = True
        elif BUSY_TITLE.match(title.strip()):
            self._busy_title_since = now if busy_since is None else busy_since
            self._set(Activity.WORKING, "")
        elif busy_since is not None and now - busy_since >= LONG_COMMAND:
            self._set(Activity.DONE, "finished")
            self._by_title = True
        elif self._by_title or busy_since is not None:
            self._set(Activity.IDLE, "")

    def output(self, now: float) -> None:
        if now - self._last_typed >= ECHO_WITHIN:
            if self._burst_since is None or now - self._last_output > QUIET_AFTER:
                self._burst_since = now
            if self._listening and not self._text and now - self._burst_since >= BUSY_AFTER:
                self._activity = Activity.WORKING
        self._last_output = now

    def typed(self, now: float) -> None:
        """The user answered."""
        self._last_typed = now
        self._burst_since = None
        if self._text:
            self._set(Activity.WORKING if self._kind is SessionKind.AGENT else Activity.IDLE, "")

    def seen(self) -> None:
        """The user looked. What waits goes on waiting, but no longer asks for him; what was only guessed, rests."""
        self._text = ""
        over = self._activity in (Activity.DONE, Activity.FAILED) or self._kind is SessionKind.SHELL
        if self._activity is not Activity.WORKING and (over or self._guessed):
            self._activity = Activity.IDLE

    def tick(self, now: float) -> None:
        """Let time pass: call about once a second while ``restless``."""
        if not self.restless or now - self._last_output < QUIET_AFTER:
            return
        busy_for = self._last_output - (self._burst_since or self._last_output)
        self._burst_since = None
        if self._kind is not SessionKind.SHELL and busy_for >= BUSY_AFTER:
            self._set(Activity.WAITING, "quiet after activity")
            self._guessed = True
        elif self._activity is Activity.WORKING:
            self._activity = Activity.IDLE

    @property
    def restless(self) -> bool:
        """Whether silence would change something."""
        busy = self._burst_since is not None or self._activity is Activity.WORKING
        return self._listening and not self._text and busy

    @property
    def _listening(self) -> bool:
        """Whether output says something: hooks know better, and a shell at its prompt merely draws that."""
        at_prompt = self._marked and self._kind is SessionKind.SHELL and self._command_since is None
        return not self._hooked and not at_prompt and self._busy_title_since is None

    def _set(self, activity: Activity, text: str) -> None:
        self._activity = activity
        self._text = text
        self._guessed = self._by_title = False
