"""Projects: a directory becomes a guest's name (``directory``); the ones seen are remembered (``history``)."""

from __future__ import annotations

from ccvm_tui.project.directory import Project, resolve

__all__ = ["Project", "resolve"]
