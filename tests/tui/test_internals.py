"""Internals of Textual and Rich: they are used in one module, and still do what it expects."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.drivers.headless_driver import HeadlessDriver
from textual.keys import _character_to_key
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widgets import Static

import ccvm_tui.tui
from ccvm_tui.tui.model.key_names import character_name
from ccvm_tui.tui.terminal_io import internals
from ccvm_tui.tui.terminal_io.internals import HookedApp, SelfRenderingStrip, with_sgr
from tests.waiting import eventually

LIBRARIES = ("textual", "rich")


def modules() -> Iterator[ModuleType]:
    """Yield all modules of the dashboard but the one that may use internals."""
    for found in pkgutil.walk_packages(ccvm_tui.tui.__path__, "ccvm_tui.tui."):
        if found.name != internals.__name__:
            yield importlib.import_module(found.name)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def names_in(cls: type) -> set[str]:
    """Return the private names that a class defines, uses or assigns in its own source."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls)))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            found.add(node.attr)
        elif isinstance(node, ast.ClassDef):
            found |= {
                target.id
                for statement in node.body
                for target in getattr(statement, "targets", [getattr(statement, "target", None)])
                if isinstance(target, ast.Name)
            }
    return {name for name in found if is_private(name)}


def is_of_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in LIBRARIES


def test_no_other_module_uses_private_names_of_other_objects() -> None:
    for file in Path(ccvm_tui.tui.__file__).parent.rglob("*.py"):
        if file.name == "internals.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                assert own, f"{file}:{node.lineno}: {node.attr}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in LIBRARIES:
                private = [name.name for name in node.names if is_private(name.name)]
                assert not private, f"{file}:{node.lineno}: {private}"


def test_no_class_uses_or_shadows_a_private_name_of_its_base_classes() -> None:
    of_base = functools.cache(names_in)
    for module in modules():
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__ == module.__name__:
                for base in filter(is_of_library, cls.__mro__):
                    assert not names_in(cls) & of_base(base), (
                        f"{cls.__qualname__}: {names_in(cls) & of_base(base)} of {base}"
                    )


class Hooked(HookedApp):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def compose(self) -> ComposeResult:
        yield Static("below", id="below")

    def update_begins(self) -> None:
        self.calls.append("begin")

    def update_ends(self) -> None:
        self.calls.append("end")

    def crashed(self, error: Exception) -> None:
        self.calls.append(repr(error))


class Recorder(HeadlessDriver):
    """A driver of a terminal whose output is added to ``calls``."""

    def __init__(self, app: Hooked) -> None:
        super().__init__(app)
        self.calls = app.calls

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.calls.append(data)


async def test_the_hooks_are_called_around_every_update_within_synchronized_output() -> None:
    app = Hooked()
    async with app.run_test() as pilot:
        await pilot.pause()
        app._driver = Recorder(app)
        app._sync_available = True
        assert internals.driver_of(app) is app._driver
        assert internals.uses_synchronized_output(app)
        app.query_one("#below", Static).update("changed")
        await eventually(lambda: any("changed" in call for call in app.calls) and app.calls[-1] == "\x1b[?2026l")
        begin = app.calls.index("\x1b[?2026h")
        assert app.calls[begin + 1] == "begin"
        assert "changed" in app.calls[begin + 2]
        assert app.calls[begin + 3 : begin + 5] == ["end", "\x1b[?2026l"]


async def test_an_exception_is_reported_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    app = Hooked()

    def fail() -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with app.run_test():
            app.call_later(fail)
            await eventually(lambda: "ZeroDivisionError()" in app.calls)

    with pytest.raises(ZeroDivisionError):
        await run()
    assert "ZeroDivisionError()" in app.calls
    assert app.return_code
    assert "Traceback" not in capfd.readouterr().err


async def test_an_exception_after_quitting_is_no_crash() -> None:
    app = Hooked()
    async with app.run_test() as pilot:
        app.exit(0)
        app._handle_exception(ZeroDivisionError())
        await pilot.pause()
    assert "ZeroDivisionError()" not in app.calls
    assert app.return_code == 0


class Layered(Hooked):
    CSS = "Screen { layers: base above; } #above { layer: above; }"


async def test_a_widget_is_covered_by_a_dialog_a_layer_and_a_pending_layout() -> None:
    app = Layered()
    async with app.run_test() as pilot:
        await pilot.pause()
        below = app.query_one("#below", Static)
        assert internals.is_uncovered(below)
        with app.batch_update():
            assert not internals.is_uncovered(below)
        await app.mount(above := Static("above", id="above"))
        await pilot.pause()
        assert not internals.is_uncovered(below)
        assert internals.is_uncovered(above)
        await above.remove()
        await pilot.pause()
        assert internals.is_uncovered(below)
        app.screen._layout_required = True
        assert not internals.is_uncovered(below)
        app.screen._layout_required = False
        await app.push_screen(ModalScreen())
        await pilot.pause()
        assert not internals.is_uncovered(below)
        await app.pop_screen()
        await pilot.pause()
        await below.remove()
        assert not internals.is_uncovered(below)


async def test_the_clipboard_is_that_of_the_app() -> None:
    app = Hooked()
    assert internals.driver_of(app) is None
    async with app.run_test():
        assert isinstance(internals.driver_of(app), HeadlessDriver)
        assert internals.uses_synchronized_output(app) is False
        internals.set_clipboard(app, "text")
        assert app.clipboard == "text"


class Marked(SelfRenderingStrip):
    def rendered(self) -> str:
        return f"<{self.text}>"


def test_joined_strips_keep_what_they_have_rendered() -> None:
    console = Console()
    strips = [Marked([Segment("a")]), Marked([Segment("b")])]
    assert [strip.render(console) for strip in strips] == ["<a>", "<b>"]
    assert Strip.join(strips).render(console) == "<a><b>"


def test_a_style_is_rendered_with_exactly_its_parameters() -> None:
    style = Style(color="red", bold=True)
    assert with_sgr(style, "4:3;58:5:1").render("x", color_system=ColorSystem.TRUECOLOR) == "\x1b[4:3;58:5:1mx\x1b[0m"
    assert "4:3" not in style.render("x", color_system=ColorSystem.TRUECOLOR), "the original is unchanged"
    strip = Strip([Segment("x", with_sgr(style, "4:3"))])
    assert strip.render(Console(color_system="truecolor")) == "\x1b[4:3mx\x1b[0m"


def test_apps_have_the_attributes_that_are_used() -> None:
    app: App[int] = App()
    for name in ("_exit", "_exception", "_driver", "_batch_count", "_sync_available", "_clipboard"):
        assert hasattr(app, name), name
    for name in ("_begin_update", "_end_update", "_handle_exception", "_fatal_error", "_close_messages_no_wait"):
        assert callable(getattr(App, name)), name


def test_characters_have_the_names_that_textual_gives_them() -> None:
    for code in range(32, sys.maxunicode):
        if (character := chr(code)).isprintable():
            assert character_name(character) == _character_to_key(character)
