"""The pages of the welcome tour, one for each step. They write text and offer choices; the dialog shows both."""

from __future__ import annotations

import asyncio
import textwrap
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ccvm_tui.config import Keys
from ccvm_tui.guest import SessionKind
from ccvm_tui.image import NO_LAYER, BuildCancelled
from ccvm_tui.project import demo
from ccvm_tui.text import plain
from ccvm_tui.tui.actions.table import ADD, ATTENTION, QUIT, RUN, STOP, shown_key
from ccvm_tui.tui.actions.welcome import Preparation, current_directory
from ccvm_tui.tui.model.welcome import AgentState, Finding, Step, Tour
from ccvm_tui.tui.widgets.page import Writer

WIDTH = 68
"""The width of an indented paragraph in cells."""

BAR = 40
"""The width of the bar that shows the progress of a build, in cells."""


@dataclass(frozen=True, slots=True)
class FirstGuest:
    """The guest to start after the tour: its project and the kind of its first session."""

    project: str
    kind: SessionKind


Work = Callable[[], Awaitable[str | None]]
"""A function that returns the answer to a step, or None if the step is not answered yet."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A key of a page, and what it does."""

    key: str
    label: str
    does: Work


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The dialog as its pages need it.

    ``changed`` shows a page again, ``ask_directory`` lets the user choose a directory, and ``start`` sets the guest
    that is started after the tour. ``leader`` and ``keys`` are the user's settings.
    """

    host: Preparation
    tour: Tour
    changed: Callable[[], None]
    ask_directory: Callable[[], Awaitable[str | None]]
    start: Callable[[FirstGuest], None]
    leader: str
    keys: Keys


class Page:
    """The page of one step. ``working`` is true during work that can only be cancelled."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._host = around.host
        self._tour = around.tour

    @property
    def working(self) -> bool:
        """True during work that must be cancelled before another step is shown."""
        return False

    async def prepare(self) -> str | None:
        """Find out what the page shows. Return the answer to the step if there is nothing to ask."""
        return None

    def write(self, writer: Writer) -> None:
        """Write the text."""

    def choices(self) -> list[Choice]:
        """Return the choices that are available now, the usual one first."""
        return []


def _write_indented(writer: Writer, text: str, indent: str, colour: str = "foreground") -> None:
    """Write a paragraph with an indent, in lines that fit the dialog on a terminal of 80 columns."""
    for line in textwrap.wrap(plain(text, 400), WIDTH, initial_indent=indent, subsequent_indent=indent):
        writer.line(line, colour)


async def _give(answer: str) -> str:
    return answer


def _go_on(answer: str, label: str = "continue") -> Choice:
    return Choice("enter", label, partial(_give, answer))


class CheckPage(Page):
    """The checks of this machine, with what fixes each problem."""

    _findings: list[Finding] | None = None

    async def prepare(self) -> str | None:
        """Run the checks."""
        self._findings = None
        self._around.changed()
        findings: list[Finding] = []
        try:
            findings = await self._host.findings()
        finally:
            self._findings = findings
        return None

    def write(self, writer: Writer) -> None:
        """Write the problems first."""
        writer.put("Every project gets a guest of its own: a small virtual machine that sees the project's ", "muted")
        writer.line("directory and nothing else of this machine. These steps prepare the first one.", "muted").line()
        if self._findings is None:
            writer.line("◐ Checking this machine …", "warning")
            return
        for status, sign, colour in (("fail", "✗", "error"), ("warn", "!", "warning")):
            for finding in self._findings:
                if finding.status == status:
                    writer.put(f"{sign} ", colour, bold=True).line(finding.name, bold=True)
                    _write_indented(writer, finding.detail, "  ")
                    _write_indented(writer, f"→ {finding.fix}", "  ", "muted")
        passed = [finding.name for finding in self._findings if finding.status == "ok"]
        if passed:
            writer.put("✓ ", "success").line(f"{len(passed)} checks without problems", bold=True)
            _write_indented(writer, ", ".join(passed), "  ", "muted")

    def choices(self) -> list[Choice]:
        """Offer to continue if guests can run, and always to check again."""
        if self._findings is None:
            return []
        again = Choice("r", "check again", self.prepare)
        if not self._findings or any(finding.status == "fail" for finding in self._findings):
            return [again]
        return [_go_on("done"), again]


class BuildPage(Page):
    """A page with a build, which can be cancelled and started again."""

    _cancel: threading.Event | None = None
    _fraction = 0.0
    _progress = ""
    _cancelled = False

    @property
    def working(self) -> bool:
        """True during the build."""
        return self._cancel is not None

    async def build(self, layer: str, answer: str) -> str | None:
        """Build the image with a layer, and return ``answer``, or None if the user cancels the build."""
        if self._cancel is not None:  # the key was pressed twice
            return None
        loop = asyncio.get_running_loop()
        cancel = self._cancel = threading.Event()
        self._fraction, self._progress, self._cancelled = 0.0, "starting", False
        self._around.changed()

        def note(fraction: float, text: str) -> None:
            if not cancel.is_set():
                self._fraction, self._progress = fraction, text
                self._around.changed()

        def report(fraction: float, text: str) -> None:
            loop.call_soon_threadsafe(note, fraction, text)

        try:
            await asyncio.to_thread(self._host.build, layer, report, cancel)
        except BuildCancelled:
            self._cancelled = True
            return None
        finally:
            cancel.set()  # the thread must also end if this task is cancelled
            self._cancel = None
        return answer

    async def _stop(self) -> None:
        if self._cancel is not None:
            self._cancel.set()
            self._progress = "cancelling …"

    def write_build(self, writer: Writer) -> None:
        """Write the progress, or that the build was cancelled."""
        if self.working:
            full = round(self._fraction * BAR)
            writer.line().put("█" * full, "accent").line("░" * (BAR - full), "faint")
            writer.line(plain(self._progress, 200), "warning")
        elif self._cancelled:
            writer.line().line("Cancelled. The build can be started again at any time.", "warning")

    def build_choices(self) -> list[Choice]:
        """Return the choices during the build, which takes a moment to end after it was cancelled."""
        ending = self._cancel is None or self._cancel.is_set()
        return [] if ending else [Choice("c", "cancel", self._stop)]


class ImagePage(BuildPage):
    """The image, which is built once."""

    _built: bool | None = None

    async def prepare(self) -> str | None:
        """Find out whether the image is built."""
        self._built = await asyncio.to_thread(self._host.image_is_built)
        return "built" if self._built else None

    def write(self, writer: Writer) -> None:
        """Write what the image is, and the progress of its build."""
        writer.put("The image is the system in the guests: a small Debian, which is built once, on this ", "muted")
        writer.line("machine. With a fast connection this takes about half a minute.", "muted")
        if self._built:
            writer.line().put("✓ ", "success").line("The image is built.")
        self.write_build(writer)

    def choices(self) -> list[Choice]:
        """Offer to build the image, or to cancel that."""
        if self.working:
            return self.build_choices()
        if self._built:
            return [_go_on("built")]
        return [Choice("enter", "build it", partial(self.build, NO_LAYER, "built"))]


class ProjectPage(Page):
    """The first project: the working directory, another one, or the demo."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        here, self._reason = current_directory()
        self._proposed = self._tour.answered(Step.PROJECT) or here

    def write(self, writer: Writer) -> None:
        """Write which directory is proposed."""
        writer.put("A project is a directory. Its guest can read and write what is in it, and nothing else. ", "muted")
        writer.line("Whatever an agent changes there is changed on your disk.", "muted").line()
        if self._proposed:
            writer.put("Use ").put(plain(self._proposed, 300), "accent", bold=True).line("?")
        else:
            writer.line("The working directory cannot be a project:").line(plain(self._reason, 300), "muted")
        writer.line().line("The demo project contains a program that shows how a session is left,", "muted")
        writer.line("reports that it is waiting, and is found again.", "muted")

    def choices(self) -> list[Choice]:
        """Offer the proposed directory, another one, and the demo."""
        proposed = [Choice("enter", "use it", partial(self._use, self._proposed))] if self._proposed else []
        another = Choice("o", "another directory", self._ask)
        return [*proposed, another, Choice("d", "the demo project", self._demo)]

    async def _use(self, path: str) -> str:
        return await asyncio.to_thread(self._host.add_project, path)

    async def _ask(self) -> str | None:
        path = await self._around.ask_directory()
        return await self._use(path) if path is not None else None

    async def _demo(self) -> str:
        return await self._use(await asyncio.to_thread(self._host.create_demo))


class AgentPage(BuildPage):
    """The agent: found on this machine, to be downloaded, or none."""

    _state: AgentState | None = None

    async def prepare(self) -> str | None:
        """Look for the agent. There is nothing to ask if its layer is built, or if the settings name none."""
        self._state = None
        self._around.changed()
        self._state = await asyncio.to_thread(self._host.agent)
        return self._state.name if self._state.built or self._state.name == NO_LAYER else None

    def write(self, writer: Writer) -> None:
        """Write where the agent is."""
        writer.line("The agent runs in the guest, next to the project. It is added to the image.", "muted").line()
        state = self._state
        if state is None:
            writer.line("◐ Looking for the agent …", "warning")
        elif state.name == NO_LAYER:
            writer.line("The settings name no agent: guests start with a shell.")
            writer.line("The setting `agent` in config.toml changes that.", "muted")
        elif state.problem:
            writer.put("✗ ", "error", bold=True).line(plain(state.name, 40), bold=True)
            _write_indented(writer, state.problem, "  ")
            if state.hint:
                _write_indented(writer, f"→ {state.hint}", "  ", "muted")
        else:
            writer.put("✓ ", "success").line(plain(state.name, 40), bold=True)
            where = f"It is installed on this machine: {state.path}" if state.path else "It is in the image."
            if state.package:
                where = f"It is not installed on this machine. Its npm package is downloaded: {state.package}"
            _write_indented(writer, where, "  ", "muted")
        self.write_build(writer)

    def choices(self) -> list[Choice]:
        """Offer the agent that was found, or to look again, and to use none."""
        state = self._state
        if state is None:
            return []
        if self.working:
            return self.build_choices()
        if state.name == NO_LAYER:
            return [_go_on(NO_LAYER)]
        none = Choice("n", "no agent, only shells", self._use_none)
        if state.problem:
            return [Choice("r", "look again", self.prepare), none]
        if state.built:
            return [_go_on(state.name), none]
        return [Choice("enter", "use it", partial(self.build, state.name, state.name)), none]

    async def _use_none(self) -> str:
        await asyncio.to_thread(self._host.use_agent, NO_LAYER)
        return NO_LAYER


class LoginPage(Page):
    """The agent's login: a key in the environment, or later, in the guest."""

    _names: tuple[str, ...] = ()
    _found: tuple[str, ...] = ()
    _logged_in = False

    async def prepare(self) -> str | None:
        """Look for keys and a login. Without an agent there is nothing to ask."""
        self._names, self._found = self._host.key_variables()
        self._logged_in = self._host.has_login()
        return "not needed" if self._tour.answered(Step.AGENT) == NO_LAYER else None

    def write(self, writer: Writer) -> None:
        """Write how the agent will be logged in."""
        if self._logged_in:
            writer.put("✓ ", "success").line("You are logged in with the agent on this machine.").line()
            writer.put("So is the agent in each guest, although your login does not leave this machine.", "muted")
            return
        if self._found:
            writer.put("✓ ", "success").put(", ".join(self._found), "foreground", bold=True)
            writer.line(f" {'is' if len(self._found) == 1 else 'are'} set.").line()
            writer.put(
                "The agent can use it. It is not written to a file and, by default, stays on this machine.", "muted"
            )
            return
        writer.line("No key is set, so the agent asks for a login in the guest.").line()
        writer.put("Such a login is lost when the guest stops. To use the same one in all guests, quit, set ", "muted")
        writer.line("one of these variables, and start ccvm-tui again:", "muted").line()
        for name in self._names:
            writer.put("  export ", "muted").put(plain(name, 60), "accent").line("=…", "muted")

    def choices(self) -> list[Choice]:
        """Offer to continue."""
        if self._logged_in:
            return [_go_on("your login")]
        return [_go_on(", ".join(self._found))] if self._found else [_go_on("later", "log in later")]


class GuestPage(Page):
    """The first guest, and the keys to know."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._project = self._tour.answered(Step.PROJECT)
        self._agent = self._tour.answered(Step.AGENT)
        self._is_demo = bool(self._project) and (Path(self._project) / demo.PROGRAM).is_file()

    def write(self, writer: Writer) -> None:
        """Write which guest will be started."""
        if not self._project:
            writer.put("No project was chosen. In the dashboard, ").put(shown_key(ADD.tree_key), "accent", bold=True)
            writer.put(" adds one, and ").put(shown_key(RUN.tree_key), "accent", bold=True).line(" starts its guest.")
        else:
            writer.put("Start the guest of ").put(plain(self._project, 300), "accent", bold=True).line("?")
            if self._is_demo:
                writer.put("Type ").put(f"./{demo.PROGRAM}", "accent").line(" in its shell.")
            if not self._tour.answered(Step.IMAGE):
                writer.line("The image is built first, because that step was skipped.", "muted")
        leader = shown_key(self._around.leader)
        writer.heading("Keys to know")
        for key, about in (
            (f"{leader} {shown_key(self._around.keys.detach)}", "from a session to the tree; the session continues"),
            (f"{leader} {shown_key(self._around.keys.help)}", "all keys"),
            (shown_key(ATTENTION.tree_key), "in the tree: the next session that is waiting for you"),
            (shown_key(STOP.tree_key), "in the tree: stop the guest"),
            (shown_key(QUIT.tree_key), "in the tree: quit the dashboard; guests keep running"),
        ):
            writer.put(f"  {key:<12}", "accent").line(about, "muted")

    def choices(self) -> list[Choice]:
        """Offer to start the guest with an agent or a shell. The demo and a project without an agent need a shell."""
        if not self._project:
            return [_go_on("none", "finish")]
        shell, agent = partial(self._start, SessionKind.SHELL), partial(self._start, SessionKind.AGENT)
        if self._is_demo or self._agent in ("", NO_LAYER):
            return [Choice("enter", "start it with a shell", shell)]
        return [Choice("enter", f"start it with {self._agent}", agent), Choice("c", "with a shell", shell)]

    async def _start(self, kind: SessionKind) -> str:
        self._around.start(FirstGuest(self._project, kind))
        return "started"


PAGES: dict[Step, type[Page]] = {
    Step.CHECK: CheckPage,
    Step.IMAGE: ImagePage,
    Step.PROJECT: ProjectPage,
    Step.AGENT: AgentPage,
    Step.LOGIN: LoginPage,
    Step.GUEST: GuestPage,
}
"""The page of each step."""
