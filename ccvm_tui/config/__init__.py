"""The settings, read from ``config.toml``, ``CCVM_*`` variables and flags.

``settings`` is the table of all settings, ``kinds`` defines their valid values, ``file`` reads the user's file, and
``resolve`` merges the sources. No settings are read from a project's directory, because its guest can write there.
"""

from __future__ import annotations

from ccvm_tui.config.file import ConfigFile, nearest
from ccvm_tui.config.resolve import Effective, Origin, Source, resolve
from ccvm_tui.config.settings import BUILT_IN, SCHEMA, Keys, Setting, Settings, Share, Theme

__all__ = [
    "BUILT_IN",
    "SCHEMA",
    "ConfigFile",
    "Effective",
    "Keys",
    "Origin",
    "Setting",
    "Settings",
    "Share",
    "Source",
    "Theme",
    "nearest",
    "resolve",
]
