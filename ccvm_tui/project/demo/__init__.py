"""The demo project: a directory with a short program that shows detaching, attention, and reattaching.

The files next to this module are its content. ``@KEYS@`` in them is replaced by the keys that detach, and ``@DETACH@``
by the same as a word of the shell.
"""

from __future__ import annotations

import shlex
import shutil
from importlib import resources
from pathlib import Path

from ccvm_tui.errors import UserError
from ccvm_tui.project.directory import Project, resolve

NAME = "ccvm-demo"
"""The name of the directory, unless the user chooses another."""

PROGRAM = "demo.sh"
"""The program, which is run without arguments."""

_ANOTHER = "choose another directory: `ccvm-tui demo DIRECTORY`"
_FILES = {PROGRAM: 0o755, "README.md": 0o644}


def create(directory: Path, keys: str) -> Project:
    """Create the demo project in ``directory``, which must not exist. ``keys`` are those that detach a session.

    Raises UserError if the directory exists, cannot be a project, or cannot be written.
    """
    try:
        directory.mkdir()
    except FileExistsError as error:
        raise UserError(f"{directory} exists already", _ANOTHER) from error
    except OSError as error:
        raise UserError(f"cannot create {directory.absolute()}: {error.strerror}", _ANOTHER) from error
    try:
        project = resolve(directory)
        for name, mode in _FILES.items():
            text = (resources.files(__name__) / name).read_text(encoding="utf-8")
            file = directory / name
            file.write_text(text.replace("@DETACH@", shlex.quote(keys)).replace("@KEYS@", keys), encoding="utf-8")
            file.chmod(mode)
    except OSError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise UserError(f"cannot write to {directory}: {error.strerror}", "free some space there") from error
    except UserError:
        directory.rmdir()
        raise
    return project
