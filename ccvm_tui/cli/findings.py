"""What ``doctor`` finds out besides the host: settings, image, terminal."""

from __future__ import annotations

import locale
import sys
from collections.abc import Mapping
from pathlib import Path

from ccvm_tui import config
from ccvm_tui.boot import terminfo
from ccvm_tui.config import Settings
from ccvm_tui.errors import ConfigError, ImageError
from ccvm_tui.image import Runtime
from ccvm_tui.image.manifest import RENEW
from ccvm_tui.machine import qemu_issues
from ccvm_tui.machine.diagnostics import Check
from ccvm_tui.machine.status import Status


def configuration(project: Path, environ: Mapping[str, str]) -> tuple[Settings, Check]:
    """The settings (defaults, when they are broken) and whether they are broken."""
    try:
        found = config.resolve(project, environ)
    except ConfigError as error:
        return Settings(), Check("settings", Status.FAIL, error.message, error.hint or "correct it")
    there = str(found.file.path) if found.file.path.exists() else f"all defaults, there is no {found.file.path}"
    return found.settings, Check("settings", Status.OK, there)


def image(settings: Settings) -> tuple[Check, Path | None]:
    """Whether there is an image to start from, and its kernel, to try the accelerator with."""
    from ccvm_tui.boot import images

    try:
        found = images.built_image(settings)
    except ImageError as error:
        return Check("image", Status.FAIL, error.message, error.hint), None
    if found is None:
        return Check("image", Status.WARN, "not built yet", "`ccvm-tui image build`, or just `ccvm-tui run`"), None
    return Check("image", Status.OK, f"{found.digest[:12]} in {found.directory}"), found.kernel


def runtime(settings: Settings) -> tuple[Check, Runtime | None]:
    """Whether there is a QEMU of our own, and that, if guests are to run by it."""
    from ccvm_tui.boot import images
    from ccvm_tui.image import Store

    wanted = images.uses_runtime(settings)
    try:
        found = Store().runtime(images.recipe_of(settings))
        if found is not None:
            found.quick_check()
    except ImageError as error:
        return Check("runtime", Status.FAIL if wanted else Status.WARN, error.message, error.hint), None
    if found is None and wanted:
        return Check("runtime", Status.WARN, "not unpacked yet", "`ccvm-tui image build`, or just `ccvm-tui run`"), None
    if found is None:
        return Check("runtime", Status.OK, "none: the host's QEMU runs guests"), None
    detail = f"QEMU {found.version} ({found.directory})"
    if not wanted:
        return Check("runtime", Status.OK, f"{detail}, not used: the host's QEMU runs guests"), None
    if issue := qemu_issues.worst_issue(found.version, emulated=True):
        return Check("runtime", issue.status, f"{detail}: {issue.summary}", f"`{RENEW}`"), found
    return Check("runtime", Status.OK, detail), found


def terminal(environ: Mapping[str, str]) -> list[Check]:
    """What the terminal that we are on can do. Guests run without one, so nothing here is a failure."""
    checks = []
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        checks.append(Check("locale", Status.WARN, f"the character set is {encoding}", "`export LANG=C.UTF-8`"))
    else:
        checks.append(Check("locale", Status.OK, encoding))
    if not sys.stdout.isatty():
        return [*checks, Check("terminal", Status.OK, "none here")]
    term = environ.get("TERM", "")
    if not term or term == "dumb":
        return [*checks, Check("terminal", Status.WARN, f"TERM is {term or 'not set'}", "set TERM to your terminal")]
    if not terminfo.compiled_entry(term, environ):
        mend = "install its terminfo entry (ncurses-term on Debian-like systems)"
        return [*checks, Check("terminal", Status.WARN, f"no terminfo entry for {term}", mend)]
    colours = environ.get("COLORTERM", "") in ("truecolor", "24bit")
    return [*checks, Check("terminal", Status.OK, f"{term}, {'true colour' if colours else 'COLORTERM is not set'}")]
