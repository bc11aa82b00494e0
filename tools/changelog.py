"""The section of one version in CHANGELOG.md, which is the text of its release.

python3 -m tools.changelog 1.2.0 <CHANGELOG.md
"""

from __future__ import annotations

import re
import sys

_HEADING = re.compile(r"## \[?(?P<version>[^\]\s]+)\]?(?: .*)?")
_LINK = re.compile(r"\[[^\]]+\]: \S+")


def section(changelog: str, version: str) -> str:
    """Return the section of a version without its heading and without the links at the end of the file.

    Raises ValueError if there is no such section, or it is empty, or there are two of them.
    """
    sections: dict[str, list[str]] = {}
    lines: list[str] | None = None
    fenced = False
    for line in changelog.splitlines():
        heading = None if fenced else _HEADING.fullmatch(line)
        if heading:
            if heading["version"] in sections:
                raise ValueError(f"the changelog has two sections for {heading['version']}")
            lines = sections[heading["version"]] = []
        elif lines is not None:
            fenced ^= line.lstrip().startswith("```")
            lines.append(line)
    if version not in sections:
        raise ValueError(f'the changelog has no section "## [{version}]"; add it before the tag')
    text = "\n".join(line for line in sections[version] if not _LINK.fullmatch(line)).strip("\n")
    if not text.strip():
        raise ValueError(f"the section of {version} in the changelog is empty")
    return text + "\n"


def main() -> int:
    """Print the section of the version in the first argument, and return the exit status."""
    try:
        print(section(sys.stdin.read(), sys.argv[1]), end="")
    except ValueError as error:
        print(f"changelog: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
