"""Pictures of a screen as text: its characters, and a letter for the style of each cell.

``SNAPSHOTS=write pytest tests/tui/test_screens.py`` writes them again; read the differences before you commit.
"""

from __future__ import annotations

import difflib
import os
import re
import string
from pathlib import Path

from rich.style import Style
from textual._context import visible_screen_stack
from textual.app import App
from textual.strip import Strip

DIRECTORY = Path(__file__).parent / "snapshots"
WRITING = os.environ.get("SNAPSHOTS") == "write"
LETTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits


def visible_strips(app: App[int]) -> list[Strip]:
    """Return the lines of the current screen, with the screens that it does not cover behind it."""
    # Textual has no public access to a picture. A dialog that is drawn here before the app draws it needs the stack.
    visible_screen_stack.set(app._background_screens)  # noqa: SLF001
    return app.screen._compositor.render_strips()[: app.size.height]  # noqa: SLF001


def picture(app: App[int], home: Path) -> str:
    """Return the picture of the current screen. The name of the home directory, which differs in each run, is replaced."""
    letters: dict[str, str] = {}
    texts, looks = [], []
    for strip in visible_strips(app):
        text, look = "", ""
        for segment in strip:
            letter = letters.setdefault(_described(segment.style), LETTERS[len(letters) % len(LETTERS)])
            text += segment.text
            look += letter * segment.cell_length
        texts.append(_blotted(text, home).rstrip())
        looks.append(look)
    legend = [f"{letter} {style}" for style, letter in letters.items()]
    return "\n".join([*texts, "=" * app.size.width, *looks, "=" * app.size.width, *legend, ""])


def _described(style: Style | None) -> str:
    if style is None:
        return "nothing"
    colours = [f"{colour.triplet.hex if colour.triplet else colour.name}" if colour else "-"
               for colour in (style.color, style.bgcolor)]  # fmt: skip
    words = ("bold", "dim", "italic", "underline", "reverse", "strike")
    return " ".join([*colours, *(word for word in words if getattr(style, word))])


def _blotted(text: str, home: Path) -> str:
    text = text.replace(str(home), "~" * len(str(home)))
    text = re.sub(r"\b\d\d:\d\d(:\d\d)?\b", lambda match: "0" * len(match[0]), text)
    text = re.sub(r"ccvm-t\w{8}", "ccvm-t________", text)
    beginning = re.compile(rf"(?<={re.escape(str(home.parent))}/ccvm-t)\w+")  # the rest is behind a dialog
    return beginning.sub(lambda match: "_" * len(match[0]), text)


def kept(name: str) -> str:
    """Return the stored picture, or an empty string if there is none."""
    file = DIRECTORY / f"{name}.txt"
    return file.read_text(encoding="utf-8") if file.exists() else ""


def check(name: str, now: str) -> None:
    """Compare a picture with the stored one. Raises AssertionError with the differences."""
    if WRITING:
        DIRECTORY.mkdir(exist_ok=True)
        (DIRECTORY / f"{name}.txt").write_text(now, encoding="utf-8")
        return
    before = kept(name)
    assert before, f"there is no picture {name}: write it with SNAPSHOTS=write"
    if now != before:
        lines = difflib.unified_diff(before.splitlines(), now.splitlines(), "kept", "now", lineterm="", n=1)
        raise AssertionError(f"{name} looks different:\n" + "\n".join(lines))
