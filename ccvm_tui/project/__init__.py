"""Projects: the directories that guests share (``directory``), and the history of projects (``history``)."""

from __future__ import annotations

from ccvm_tui.project.directory import Project, attempt_guest, resolve

__all__ = ["Project", "attempt_guest", "resolve"]
