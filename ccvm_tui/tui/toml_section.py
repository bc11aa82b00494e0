"""Where a project's section stands in config.toml, and one put there when it has none."""

from __future__ import annotations

import os
import re
from pathlib import Path

_HEADER = re.compile(r'^\s*\[\s*project\s*\.\s*(?:"((?:[^"\\]|\\.)*)"|\'([^\']*)\')\s*\]')


def with_section(text: str, project: str) -> tuple[str, int]:
    """``text`` with a section for ``project``, and the line of its first setting, from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        if (match := _HEADER.match(line)) is not None:
            name = match[2] if match[2] is not None else re.sub(r"\\(.)", r"\1", match[1])
            if os.path.realpath(Path(name).expanduser()) == project:
                return text, number + 1
    quoted = project.replace("\\", "\\\\").replace('"', '\\"')
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    section = f'[project."{quoted}"]\n# memory = 4096\n# cores = 4\n# writable_cwd = true\n# agent = "claude"\n'
    new = text + gap + section
    return new, new[: -len(section)].count("\n") + 2
