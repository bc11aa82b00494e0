"""``ccvm-tui version``: print the versions of the program, its protocol, Python and QEMU."""

from __future__ import annotations

import argparse
import json
import platform


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the versions."""
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
    """Return the version of the host's QEMU, or an empty string if it is not installed."""
    import re
    import subprocess

    from ccvm_tui.boot import images

    if (program := images.host_qemu()) is None:
        return ""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"version (\S+)", done.stdout)
    return found[1] if found else ""


def _runtime_version() -> str:
    """Return the version of the QEMU in the runtime, or an empty string if there is no runtime."""
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
