"""The mirrors of Debian that a build uses: those of this machine's apt, or the recipe's."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image.recipe import Recipe
from ccvm_tui.requirements import APT, MMDEBSTRAP, how_to_install, package_manager

_FORMAT = "$(CREATED_BY)|$(REPO_URI)|$(CODENAME)|$(ORIGIN)|$(LABEL)"
_ROLLING = ("sid", "unstable", "testing")
_PASSED_ON = (
    "acquire::http::", "acquire::https::", "acquire::proxy", "acquire::check-", "acquire::retries",
    "acquire::forceipv", "acquire::max-",
)  # fmt: skip


def source_lines(recipe: Recipe) -> list[str]:
    """Return sources.list(5) lines for the recipe's suite, with updates and security fixes if there are mirrors.

    The list is empty if apt has no source of Debian packages, as on Debian's derivatives, and on distributions that do
    not use apt. mmdebstrap then uses its own. Raises PrerequisiteError if this machine has no apt, or if apt has no
    package lists.
    """
    archive = security = ""
    if recipe.mirror:
        archive = recipe.mirror
    elif package_manager() in (APT, None):
        archive, security = parse_mirrors(_run("apt-get", "indextargets"))
    if not archive:
        return []
    components = " ".join(recipe.components)
    lines = [f"deb {archive} {recipe.suite} {components}"]
    if recipe.suite not in _ROLLING and not recipe.mirror:
        lines.append(f"deb {archive} {recipe.suite}-updates {components}")
        if security:
            lines.append(f"deb {security} {recipe.suite}-security {components}")
    return lines


_PATIENCE = (
    'Acquire::Retries "1";',
    'Acquire::http::Timeout "15";',
    'Acquire::https::Timeout "15";',
)
"""Limits for a mirror or proxy that accepts connections and does not answer. With apt's own, which apply to each of
four attempts, a build fails only after several minutes."""


def apt_options() -> list[str]:
    """Return apt.conf(5) lines for access to mirrors: limits, and this machine's proxies and certificates."""
    dump = _run("apt-config", "dump", "--format", "%F|%v%n", options=("--no-empty",))
    options = list(_PATIENCE)
    for line in dump.splitlines():
        name, _, value = line.partition("|")
        if name.lower().startswith(_PASSED_ON) and '"' not in value:
            options.append(f'{name} "{value}";')
    return options


def parse_mirrors(targets: str) -> tuple[str, str]:
    """Return the URIs of Debian's archive and of its security archive, from index targets; empty if there is none.

    Raises PrerequisiteError if there are no package lists at all.
    """
    archive = security = ""
    found = [line.split("|") for line in targets.splitlines()]
    packages = [target for target in found if target[0] == "Packages"]
    if not packages:
        raise PrerequisiteError("apt on this machine has no package lists", "run `sudo apt update`")
    for _, uri, _, origin, label in packages:
        if origin != "Debian":
            continue
        if label == "Debian-Security":
            security = security or uri
        elif label == "Debian":
            archive = archive or uri
    return archive, security


def _run(program: str, *arguments: str, options: Sequence[str] = ()) -> str:
    if program == "apt-get":
        arguments = (*arguments, "--format", _FORMAT)
    try:
        done = subprocess.run([program, *options, *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise PrerequisiteError(
            f"{program} is not installed, and mmdebstrap, which builds the image, needs it", how_to_install(MMDEBSTRAP)
        ) from error
    except subprocess.CalledProcessError as error:
        raise ImageError(f"{program} failed: {error.stderr.strip()[-500:]}") from error
    return done.stdout
