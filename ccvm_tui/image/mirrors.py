"""Where Debian comes from: this machine's own apt configuration, or the recipe's mirror."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image.recipe import Recipe

_FORMAT = "$(CREATED_BY)|$(REPO_URI)|$(CODENAME)|$(ORIGIN)|$(LABEL)"
_ROLLING = ("sid", "unstable", "testing")
_PASSED_ON = (
    "acquire::http::", "acquire::https::", "acquire::proxy", "acquire::check-", "acquire::retries",
    "acquire::forceipv", "acquire::max-",
)  # fmt: skip


def source_lines(recipe: Recipe) -> list[str]:
    """sources.list(5) lines for the recipe's suite, with its updates and security fixes where there are mirrors.

    Raises PrerequisiteError where this machine has no apt or its apt has no source of Debian packages.
    """
    archive, security = (recipe.mirror, "") if recipe.mirror else _mirrors(_run("apt-get", "indextargets"))
    components = " ".join(recipe.components)
    lines = [f"deb {archive} {recipe.suite} {components}"]
    if recipe.suite not in _ROLLING and not recipe.mirror:
        lines.append(f"deb {archive} {recipe.suite}-updates {components}")
        if security:
            lines.append(f"deb {security} {recipe.suite}-security {components}")
    return lines


def apt_options() -> list[str]:
    """Lines of apt.conf(5): how this machine's apt reaches its mirrors (proxies, certificates, checks of dates)."""
    dump = _run("apt-config", "dump", "--format", "%F|%v%n", options=("--no-empty",))
    options = []
    for line in dump.splitlines():
        name, _, value = line.partition("|")
        if name.lower().startswith(_PASSED_ON) and '"' not in value:
            options.append(f'{name} "{value}";')
    return options


def _mirrors(targets: str) -> tuple[str, str]:
    """The URIs of Debian's archive and of its security archive ("" without one), from apt's index targets."""
    archive = security = ""
    for line in targets.splitlines():
        created_by, uri, _, origin, label = line.split("|")
        if created_by != "Packages" or origin != "Debian":
            continue
        if label == "Debian-Security":
            security = security or uri
        elif label == "Debian":
            archive = archive or uri
    if not archive:
        raise PrerequisiteError(
            "this machine's apt has no source of Debian packages that it has read",
            'run `sudo apt update`; on another distribution write mirror = "…" into a recipe of your own',
        )
    return archive, security


def _run(program: str, *arguments: str, options: Sequence[str] = ()) -> str:
    if program == "apt-get":
        arguments = (*arguments, "--format", _FORMAT)
    try:
        done = subprocess.run([program, *options, *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise PrerequisiteError(
            f"{program} is not installed: images are built on Debian and its relatives", "see the README for others"
        ) from error
    except subprocess.CalledProcessError as error:
        raise ImageError(f"{program} failed: {error.stderr.strip()[-500:]}") from error
    return done.stdout
