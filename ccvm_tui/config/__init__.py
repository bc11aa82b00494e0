"""Settings: from ``config.toml``, ``CCVM_*`` and flags to one frozen Settings.

``settings`` is the table of all of them, ``kinds`` what their values may be, ``file`` reads the user's file,
``resolve`` decides which source wins. Nothing is ever read from a project's directory: its guest writes there.
"""

from __future__ import annotations

from ccvm_tui.config.file import ConfigFile, nearest
from ccvm_tui.config.resolve import Effective, Origin, Source, resolve
from ccvm_tui.config.settings import SCHEMA, Keys, Setting, Settings, Theme

__all__ = [
    "SCHEMA",
    "ConfigFile",
    "Effective",
    "Keys",
    "Origin",
    "Setting",
    "Settings",
    "Source",
    "Theme",
    "nearest",
    "resolve",
]
