"""The settings, read from ``config.toml``, ``CCVM_*`` variables and flags.

``settings`` is the table of all settings, ``kinds`` defines their valid values, ``file`` reads the user's file, and
``resolve`` merges the sources. No settings are read from a project's directory, because its guest can write there.
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
