"""``ccvm-tui version``: of the program, of its protocol, and of what it runs on."""

from __future__ import annotations

import argparse
import json
import platform


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from ccvm_tui import __version__
    from ccvm_tui.protocol import PROTOCOL

    versions = {
        "ccvm-tui": __version__,
        "protocol": PROTOCOL,
        "python": platform.python_version(),
        "qemu": _qemu_version(),
        "runtime": _runtime_version(),
    }
    if args.json:
        print(json.dumps(versions, indent=2))
    else:
        for name, version in versions.items():
            print(f"{name} {version or 'not found'}")
    return 0


def _qemu_version() -> str:
    """Of the host's QEMU; empty when there is none."""
    import re
    import subprocess

    try:
        said = subprocess.run(
            [f"qemu-system-{platform.machine()}", "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"version (\S+)", said)
    return found[1] if found else ""


def _runtime_version() -> str:
    """Of our own QEMU; empty when none is unpacked."""
    import os
    from pathlib import Path

    from ccvm_tui import config
    from ccvm_tui.boot import images
    from ccvm_tui.errors import UserError
    from ccvm_tui.image import Store

    try:
        found = Store().runtime(images.recipe_of(config.resolve(Path.cwd(), os.environ).settings))
    except UserError:
        return ""
    return found.version.partition(" ")[0] if found else ""
