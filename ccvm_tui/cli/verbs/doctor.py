"""``ccvm-tui doctor``: whether this machine can run guests, and what to do where it cannot."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.machine.diagnostics import Check

SIGNS = {"ok": "✓ ok  ", "warn": "! warn", "fail": "✗ FAIL"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")


def run(args: argparse.Namespace) -> int:
    import asyncio

    checks = asyncio.run(_checks())
    able = all(check.status != "fail" for check in checks)
    if args.json:
        found = [{"name": c.name, "status": str(c.status), "detail": c.detail, "mend": c.fix} for c in checks]
        print(json.dumps({"ok": able, "checks": found}, indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            print(f"{SIGNS[check.status]}  {check.name.ljust(width)}  {check.detail}")
            if check.fix:
                print(f"{' ' * (width + 10)}→ {check.fix}")
        print("\nThis machine can run guests." if able else "\nThis machine cannot run guests yet.")
    return 0 if able else 1


async def _checks() -> list[Check]:
    from ccvm_tui.cli import findings
    from ccvm_tui.machine import diagnostics

    settings, configuration = findings.configuration(Path.cwd(), os.environ)
    image, kernel = findings.image(settings)
    unpacked, runtime = findings.runtime(settings)
    machine = await diagnostics.check_host(kernel, settings.machine, runtime)
    return [*machine, unpacked, image, configuration, *findings.terminal(os.environ)]
