"""``ccvm-tui doctor``: check whether this machine can run guests, and print how to fix what is missing."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ccvm_tui import config
from ccvm_tui.boot import images, terminfo
from ccvm_tui.cli import confinement, login_report
from ccvm_tui.cli.bug_report import shortened, versions
from ccvm_tui.cli.verbs import setup
from ccvm_tui.config import Settings
from ccvm_tui.errors import ConfigError, ImageError
from ccvm_tui.image import Runtime, Store
from ccvm_tui.image.manifest import RENEW
from ccvm_tui.machine import diagnostics, qemu_issues
from ccvm_tui.machine.check import Check
from ccvm_tui.machine.status import Status
from ccvm_tui.requirements import package_manager
from ccvm_tui.text import foreign_encoding

SIGNS = {"ok": "✓ ok  ", "warn": "! warn", "fail": "✗ FAIL"}
"""The first column of a check, by its status."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--login", action="store_true", help="show how guests use your logins, and what conflicts")
    parser.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")


def run(args: argparse.Namespace) -> int:
    """Print versions and checks, without the user's name, and return 0 if guests can run, else 1."""
    found = _login_checks(Path.cwd(), os.environ) if args.login else asyncio.run(all_checks())
    checks = [
        replace(check, detail=shortened(check.detail, os.environ), fix=shortened(check.fix, os.environ))
        for check in found
    ]
    able = all(check.status != "fail" for check in checks)
    if args.json:
        rows = [{"name": c.name, "status": str(c.status), "detail": c.detail, "mend": c.fix} for c in checks]
        print(json.dumps({"ok": able, "versions": versions(), "checks": rows}, indent=2))
    elif args.login:
        print("\n".join(lines(checks)))
    else:
        width = max(len(check.name) for check in checks)
        for name, version in versions().items():
            print(f"{name.ljust(width + 8)}  {version}")
        print()
        for line in lines(checks):
            print(line)
        print("\nThis machine can run guests." if able else "\nThis machine cannot run guests yet.")
        if setup.plan(checks, package_manager()):
            print("`ccvm-tui setup` offers to install or change what is missing.")
    return 0 if able else 1


def lines(checks: Sequence[Check]) -> list[str]:
    """Return the lines of a table of ``checks``."""
    width = max((len(check.name) for check in checks), default=0)
    shown = []
    for check in checks:
        shown.append(f"{SIGNS[check.status]}  {check.name.ljust(width)}  {check.detail}")
        if check.fix:
            shown.append(f"{' ' * (width + 10)}→ {check.fix}")
    return shown


async def all_checks() -> list[Check]:
    """Run all checks, and return their results in a fixed order."""
    settings, configuration = _check_settings(Path.cwd(), os.environ)
    image, kernel = _check_image(settings)
    unpacked, runtime = _check_runtime(settings)
    machine = await diagnostics.check_host(kernel, settings.machine, runtime, downloads=bool(settings.image_url))
    confined = await confinement.checks(settings.machine, runtime)
    return [*machine, *confined, unpacked, image, configuration, *_check_terminal(os.environ)]


def _login_checks(project: Path, environ: Mapping[str, str]) -> list[Check]:
    """Return the checks of logins, for the settings of the project."""
    settings, check = _check_settings(project, environ)
    return [check] if check.status == "fail" else login_report.checks(settings, environ)


def _check_settings(project: Path, environ: Mapping[str, str]) -> tuple[Settings, Check]:
    """Return the settings, or the defaults if the settings are invalid, and the check."""
    try:
        found = config.resolve(project, environ)
        images.origin_of(found.settings)
    except ConfigError as error:
        return Settings(), Check("settings", Status.FAIL, error.message, error.hint or "correct the setting")
    path = found.file.path
    detail = str(path) if path.exists() else f"{path} does not exist; all settings have their defaults"
    return found.settings, Check("settings", Status.OK, detail)


def _check_image(settings: Settings) -> tuple[Check, Path | None]:
    """Return the check of the image, and its kernel, if there is one, to test the accelerator with."""
    try:
        found = images.built_image(settings)
    except ImageError as error:
        return Check("image", Status.FAIL, error.message, error.hint), None
    if found is None:
        return Check("image", Status.WARN, "not built yet", "`ccvm-tui image build`, or just `ccvm-tui run`"), None
    return Check("image", Status.OK, f"{found.digest[:12]} in {found.directory}"), found.kernel


def _check_runtime(settings: Settings) -> tuple[Check, Runtime | None]:
    """Return the check of the runtime, and the runtime if guests use it."""
    used = images.uses_runtime(settings)
    try:
        found = Store().runtime(images.recipe_of(settings))
        if found is not None:
            found.quick_check()
    except ImageError as error:
        return Check("runtime", Status.FAIL if used else Status.WARN, error.message, error.hint), None
    if found is None and used:
        return Check("runtime", Status.WARN, "not unpacked yet", "`ccvm-tui image build`, or just `ccvm-tui run`"), None
    if found is None:
        return Check("runtime", Status.OK, "none; guests run on the host's QEMU"), None
    detail = f"QEMU {found.version} ({found.directory})"
    if not used:
        return Check("runtime", Status.OK, f"{detail}, not used; guests run on the host's QEMU"), None
    if issue := qemu_issues.worst_issue(found.version, emulated=True):
        return Check("runtime", issue.status, f"{detail}: {issue.summary}", f"`{RENEW}`"), found
    return Check("runtime", Status.OK, detail), found


def _check_terminal(environ: Mapping[str, str]) -> list[Check]:
    """Return the checks of this terminal, of which none fails, because guests run without one."""
    checks = []
    if encoding := foreign_encoding():
        checks.append(Check("locale", Status.WARN, f"the character set is {encoding}", "`export LANG=C.UTF-8`"))
    else:
        checks.append(Check("locale", Status.OK, "UTF-8"))
    if not sys.stdout.isatty():
        return [*checks, Check("terminal", Status.OK, "none")]
    term = environ.get("TERM", "")
    if not term or term == "dumb":
        return [*checks, Check("terminal", Status.WARN, f"TERM is {term or 'not set'}", "set TERM to your terminal")]
    if not terminfo.compiled_entry(term, environ):
        fix = "install its terminfo entry (ncurses-term on Debian-like systems)"
        return [*checks, Check("terminal", Status.WARN, f"no terminfo entry for {term}", fix)]
    colours = environ.get("COLORTERM", "") in ("truecolor", "24bit")
    return [*checks, Check("terminal", Status.OK, f"{term}, {'true colour' if colours else 'COLORTERM is not set'}")]
