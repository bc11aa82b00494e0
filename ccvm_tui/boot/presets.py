"""Presets: names in ``egress_allowlist`` that mean the hosts of a package registry or a forge.

A registry's hosts are those that its client on this machine uses: a mirror of your company is then listed instead of
the public one, and no address is written down here that could become outdated. So a preset needs its client, or the
client's configuration, on this machine.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from ccvm_tui.errors import CcvmError, ConfigError
from ccvm_tui.image.mirrors import parse_mirrors

_TIMEOUT = 20.0
"""Seconds for one program. A client that does not answer delays the start of a guest only once per process."""

_URL = re.compile(r"https?://[^\s,|]+")

_PIP_DEFAULTS = """\
import sys
from pip._internal.models.index import PyPI
print(PyPI.simple_url, "https://" + PyPI.file_storage_domain)
"""


def expand_all(entries: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the hosts of each entry; see ``expand``.

    Clients such as npm take up to a second to print their configuration, so all are asked at the same time.
    """
    if not any(entry in PRESETS for entry in entries):
        return [(entry,) for entry in entries]
    with ThreadPoolExecutor(len(PRESETS), thread_name_prefix="preset") as pool:
        return list(pool.map(expand, entries))


@functools.cache
def expand(entry: str) -> tuple[str, ...]:
    """Return the hosts of a preset, or ``entry`` itself if it is none.

    Raises ConfigError if this machine does not know the preset's hosts.
    """
    if entry not in PRESETS:
        return (entry,)
    hosts = tuple(dict.fromkeys(PRESETS[entry]()))
    if not hosts:
        raise ConfigError(
            f"egress_allowlist: this machine does not know the hosts of the preset {entry}",
            f"install its client and use it once, or list the hosts instead of {entry}",
        )
    return hosts


def _npm() -> Iterator[str]:
    yield from _hosts(_output("npm", "config", "get", "registry"))


def _pypi() -> Iterator[str]:
    yield from _hosts(_output("pip", "config", "list"))
    for python in ("python3", "python"):
        yield from _hosts(_output(python, "-c", _PIP_DEFAULTS))


def _debian() -> Iterator[str]:
    targets = _output("apt-get", "indextargets", "--format", "$(CREATED_BY)|$(REPO_URI)|$(CODENAME)|$(ORIGIN)|$(LABEL)")
    try:
        mirrors = parse_mirrors(targets)
    except CcvmError:
        return
    for mirror in mirrors:
        for host in _hosts(mirror):
            yield from (host, f"{host}:80")


def _github() -> Iterator[str]:
    yield from ("github.com", "api.github.com", "codeload.github.com", "*.githubusercontent.com", "ghcr.io")


def _crates() -> Iterator[str]:
    """Yield the hosts of Cargo's registries: those of its configuration, and those that it has used."""
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    for name in ("config.toml", "config"):
        try:
            yield from _hosts(json.dumps(tomllib.loads((home / name).read_text())))
        except (OSError, ValueError):
            continue
    for index in (home / "registry" / "index").glob("*-*"):
        yield index.name.rpartition("-")[0]
        try:
            yield from _hosts((index / "config.json").read_text())
        except (OSError, ValueError):
            continue


def _go() -> Iterator[str]:
    yield from _hosts(_output("go", "env", "GOPROXY"))
    sums = _output("go", "env", "GOSUMDB").split()
    if sums and sums[0] != "off":
        yield sums[0].partition("+")[0]


def _hosts(text: str) -> Iterator[str]:
    """Yield the hosts of the URLs in ``text``, with the ports that they name."""
    for url in _URL.findall(text):
        try:
            parts = urlsplit(url.rstrip("\"'"))
            port = parts.port or (80 if parts.scheme == "http" else None)
        except ValueError:
            continue
        if parts.hostname:
            yield f"{parts.hostname}:{port}" if port else parts.hostname


def _output(*command: str) -> str:
    """Return what a program prints, or nothing if it is not installed or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True, cwd="/")
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout


PRESETS: dict[str, Callable[[], Iterable[str]]] = {
    "npm": _npm,
    "pypi": _pypi,
    "debian": _debian,
    "github": _github,
    "crates": _crates,
    "go": _go,
}
"""The presets and the functions that return their hosts."""
