"""The welcome tour: its steps, the user's answers, and what the steps show."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ccvm_tui import paths

SKIPPED = "skipped"
"""The answer to a step that the user has skipped."""


class Step(StrEnum):
    """A step of the tour. The steps are in the order in which they are shown."""

    CHECK = "check"
    IMAGE = "image"
    PROJECT = "project"
    AGENT = "agent"
    LOGIN = "login"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of ``doctor``. ``status`` is ``ok``, ``warn`` or ``fail``; ``fix`` is empty if there is no problem."""

    name: str
    status: str
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class AgentState:
    """The configured agent: its name, and whether its layer is built.

    Its source is the program ``path`` on this machine, or else the npm ``package``; ``problem`` and ``hint`` describe
    why there is none. The name is ``none`` if the settings name no agent.
    """

    name: str
    path: str = ""
    package: str = ""
    built: bool = False
    problem: str = ""
    hint: str = ""


class Tour:
    """The answers so far, and the current step. They are stored in the state directory, so nothing is asked twice.

    ``over`` is true after the last step, and after the user has left the tour. A damaged file counts as missing.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = paths.state_dir() / "welcome.json" if file is None else file
        self.answers: dict[Step, str] = {}
        self.over = False
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            answers = {Step(step): str(answer) for step, answer in stored["answers"].items()}
            self.over, self.answers = bool(stored["over"]), answers
        self.step = self._first_open() or Step.CHECK

    def is_due(self, *, known_projects: bool) -> bool:
        """Return whether the dashboard begins with the tour: at the first start, or if it was interrupted."""
        return not self.over and (bool(self.answers) or not known_projects)

    def reopen(self) -> None:
        """Begin again, because the user wants it, at the first step without an answer, or else at the first step.

        Steps that were skipped are shown again.
        """
        self.answers = {step: answer for step, answer in self.answers.items() if answer != SKIPPED}
        if self._first_open() is None:
            self.answers = {}
        self.over = False
        self.step = self._first_open() or Step.CHECK

    def answer(self, answer: str) -> bool:
        """Store the answer to the current step, and continue with the next step that has none.

        Return whether there is such a step. If not, the tour is over.
        """
        self.answers[self.step] = answer
        following = self._first_open()
        self.over = following is None
        self.step = following or self.step
        self._store()
        return not self.over

    def back(self) -> bool:
        """Return to the step before the current one, if there is one. Return whether there is one."""
        steps = list(Step)
        at = steps.index(self.step)
        self.step = steps[max(0, at - 1)]
        return at > 0

    def leave(self) -> None:
        """End the tour before its last step. It does not open again unless the user wants it."""
        self.over = True
        self._store()

    def answered(self, step: Step) -> str:
        """Return the answer to a step, or an empty string if it has none or was skipped."""
        answer = self.answers.get(step, "")
        return answer if answer != SKIPPED else ""

    def _first_open(self) -> Step | None:
        return next((step for step in Step if step not in self.answers), None)

    def _store(self) -> None:
        """Write the file. If that is impossible, the tour opens at the next start again."""
        fresh = self._file.with_suffix(f".{os.getpid()}.new")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                fresh.write_text(json.dumps({"answers": self.answers, "over": self.over}), encoding="utf-8")
                fresh.replace(self._file)
            finally:
                fresh.unlink(missing_ok=True)
