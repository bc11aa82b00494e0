"""Detection of sessions that wait for the user.

A pure state machine: events and times go in, an ``Activity`` and a text come out. The sources, best first, are the
agent's own hooks, desktop notifications (OSC 9, 777, 99), the bell, prompt marks (OSC 133), the title, and output that
stops after some time. A better source disables the guesses from worse ones: once an agent has reported by a hook that
it is working, a quiet minute has no effect. Only a known text on its screen has (``Sign``), because hooks do not report
everything: an agent that the user interrupts reports nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ccvm_tui.agents.table import Sign
from ccvm_tui.guest import Activity, SessionKind

QUIET_AFTER = 4.0
"""Seconds without output after which a session that was busy counts as quiet."""

BUSY_AFTER = 1.5
"""Seconds of output after which a session counts as busy. An echoed key or a redraw takes less."""

LONG_COMMAND = 5.0
"""Seconds that a command must run for its end to be reported."""

ECHO_WITHIN = 0.5
"""Seconds after a key in which output counts as its echo."""


SIGN_LINES = 20
"""Lines at the bottom of the screen that are searched for signs, without empty ones. Older ones may be outdated."""

BUSY_TITLE = re.compile("[\u2800-\u28ff◐◓◑◒◴◷◶◵✦]")
"""Spinners with which the titles of agents begin while they work."""


class Attention:
    """The activity of one session.

    ``waiting_titles`` are regular expressions. A title that one of them matches means that the session waits for the
    user. ``signs`` are texts on the screen of the agent. Times are seconds of a monotonic clock.
    """

    def __init__(
        self, kind: SessionKind, now: float, waiting_titles: Sequence[str] = (), signs: Sequence[Sign] = ()
    ) -> None:
        self._kind = kind
        self._signs = [(re.compile(sign.pattern), sign) for sign in signs if kind is SessionKind.AGENT]
        self._examined = False
        self._waiting_titles = [re.compile(pattern) for pattern in waiting_titles]
        self._busy_title_since: float | None = None
        self._by_title = self._by_sign = False
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
        """The current activity."""
        return self._activity

    @property
    def text(self) -> str:
        """The reason why the session needs the user, or ""."""
        return self._text

    def hook(self, activity: Activity, text: str) -> None:
        """Handle a report from the agent's own hooks."""
        self._hooked = True
        self._set(activity, text if activity is not Activity.WORKING else "")

    def wants_screen(self, now: float) -> bool:
        """Return whether the text on the screen could show what the session is doing; see ``screen``."""
        silent = now - self._last_output >= QUIET_AFTER
        working = self._hooked and self._activity is Activity.WORKING
        return bool(self._signs) and working and silent and not self._examined

    def screen(self, text: str) -> None:
        """Handle the text on the screen. It is not needed again before the next output."""
        self._examined = True
        lines = [line for line in text.splitlines() if line.strip()][-SIGN_LINES:]
        for pattern, sign in self._signs:
            if any(pattern.search(line) for line in lines):
                self._set(sign.activity, sign.text)
                self._by_sign = True
                return

    def notification(self, text: str) -> None:
        """Handle a desktop notification."""
        if self._hooked and self._activity is Activity.WAITING:
            return  # the text of the hook is better
        self._set(Activity.WAITING, text or "notification")

    def bell(self, now: float) -> None:
        """Handle a bell."""
        if self._text or now - self._last_typed < ECHO_WITHIN:  # a shell rings the bell for an invalid key
            return
        self._set(Activity.WAITING, "bell")

    def prompt(self, kind: str, status: int | None, now: float) -> None:
        """Handle a mark of OSC 133: A or B, the shell waits; C, a command runs; D, the command has ended."""
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

    def title(self, title: str, now: float) -> None:
        """Handle a change of the title."""
        if self._hooked or (self._text and not self._by_title):
            return  # a better source has priority
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
        """Handle output of the program."""
        self._examined = False
        if now - self._last_typed >= ECHO_WITHIN:
            if self._burst_since is None or now - self._last_output > QUIET_AFTER:
                self._burst_since = now
            counts = self._output_counts or self._by_sign  # the silence was that of a slow guest
            if counts and not self._text and now - self._burst_since >= BUSY_AFTER:
                self._activity = Activity.WORKING
                self._by_sign = False
        self._last_output = now

    def typed(self, now: float) -> None:
        """Handle input from the user, which answers whatever the session was waiting for."""
        self._last_typed = now
        self._burst_since = None
        if self._text:
            self._set(Activity.WORKING if self._kind is SessionKind.AGENT else Activity.IDLE, "")

    def seen(self) -> None:
        """Clear the text after the user has looked at the session.

        Work and reported waiting continue. A guess, a finished command and any other activity of a shell become
        ``IDLE``.
        """
        self._text = ""
        over = self._activity in (Activity.DONE, Activity.FAILED) or self._kind is SessionKind.SHELL
        if self._activity is not Activity.WORKING and (over or self._guessed):
            self._activity = Activity.IDLE

    def tick(self, now: float) -> None:
        """Update the activity after a period without output. Call this about once a second."""
        if not self._awaits_silence or now - self._last_output < QUIET_AFTER:
            return
        busy_for = self._last_output - (self._burst_since or self._last_output)
        self._burst_since = None
        if self._kind is not SessionKind.SHELL and busy_for >= BUSY_AFTER:
            self._set(Activity.WAITING, "quiet after activity")
            self._guessed = True
        elif self._activity is Activity.WORKING:
            self._activity = Activity.IDLE

    @property
    def _awaits_silence(self) -> bool:
        """True if a period without output would change the activity."""
        busy = self._burst_since is not None or self._activity is Activity.WORKING
        return self._output_counts and not self._text and busy

    @property
    def _output_counts(self) -> bool:
        """True unless a better source is available, or a shell is only drawing its prompt."""
        at_prompt = self._marked and self._kind is SessionKind.SHELL and self._command_since is None
        return not self._hooked and not at_prompt and self._busy_title_since is None

    def _set(self, activity: Activity, text: str) -> None:
        self._activity = activity
        self._text = text
        self._guessed = self._by_title = self._by_sign = False
