"""The build hook of the wheel, which adds the generated manual pages and completion scripts.

They are generated from the command line's parser, so the build needs the dependencies of the program
(``require-runtime-dependencies`` in pyproject.toml).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedFiles(BuildHookInterface):  # type: ignore[type-arg] # its parameter is the type of builder configuration
    """Adds the files of ``reference.files`` to the data of the wheel, which pip installs below the prefix."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 # the interface of hatchling
        """Generate the files. They are deleted by ``finalize``."""
        sys.path.insert(0, self.root)
        from reference.files import shared_files

        self._directory = tempfile.TemporaryDirectory(prefix="ccvm-tui-build-")
        for name, content in shared_files().items():
            path = Path(self._directory.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            path.chmod(0o644)
            build_data["shared_data"][str(path)] = name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 # as above
        """Delete the generated files, which are in the wheel now."""
        self._directory.cleanup()
