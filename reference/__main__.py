"""Update the generated parts of the documentation: ``python -m reference [DIRECTORY]``.

The pages are read from ``docs`` and written to DIRECTORY, which is ``docs`` too unless it is given.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reference.pages import PAGES, updated

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> int:
    """Update all pages that have generated parts."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    for name in PAGES:
        (directory / name).write_text(updated((DOCS / name).read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
