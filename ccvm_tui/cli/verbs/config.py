"""``ccvm-tui config``: show the settings in effect and their origins."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.config import Effective, Origin


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("path", nargs="?", default=".", metavar="PATH", help="the project (default: this directory)")
    parser.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")
    parser.add_argument("--file", action="store_true", help="print only the path of the configuration file")


def run(args: argparse.Namespace) -> int:
    """Print the settings. Raises UserError if the path is not a directory, ConfigError if a setting is invalid."""
    from ccvm_tui import config, paths
    from ccvm_tui.cli.table import table
    from ccvm_tui.errors import UserError

    if args.file:
        print(paths.config_file())
        return 0
    project = Path(os.path.realpath(args.path))
    if not project.is_dir():
        raise UserError(f"{args.path} is not a directory", "see `ccvm-tui config --help`")
    found = config.resolve(project, os.environ)
    if args.json:
        print(json.dumps(_as_json(found), indent=2))
        return 0
    rows = [["SETTING", "VALUE", "FROM"]]
    rows += [
        [name, json.dumps(value, ensure_ascii=False), _origin(found, name)] for name, value in found.values.items()
    ]
    print(table(rows))
    missing = "" if found.file.path.exists() else " (does not exist)"
    print(f"\nfile: {found.file.path}{missing}\nproject: {project}", file=sys.stderr)
    return 0


def _as_json(found: Effective) -> dict[str, object]:
    settings = {}
    for name, value in found.values.items():
        origin = found.origins[name]
        settings[name] = {
            "value": value,
            "source": str(origin.source),
            "variable": origin.detail if origin.source == "variable" else None,
            "line": _line(found, origin) or None,
        }
    return {"file": str(found.file.path), "settings": settings}


def _origin(found: Effective, name: str) -> str:
    origin = found.origins[name]
    line = _line(found, origin)
    return f"{origin.source}, line {line}" if line else f"{origin.source} {origin.detail}".rstrip()


def _line(found: Effective, origin: Origin) -> int:
    return found.file.line(origin.place) if origin.place else 0
