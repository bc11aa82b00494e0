"""The parts of ``doctor`` that make its output suitable for a bug report: versions, and paths without user names."""

from __future__ import annotations

import contextlib
import os
import platform
import pwd
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

FLAGS = ("vmx", "svm", "ept", "npt", "hypervisor", "constant_tsc", "nonstop_tsc")
"""The processor's flags that matter to guests: virtualization, whether this host is itself virtual, and its clock."""

_VARIABLES = ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
_PATH = re.compile(r"""/[^\s'"`,;()<>|]+""")


def versions() -> dict[str, str]:
    """Return the versions of the program, of Python and of the system, and the processor, by their names."""
    from ccvm_tui import __version__
    from ccvm_tui.protocol import PROTOCOL

    model, flags = processor(_text(Path("/proc/cpuinfo")))
    return {
        "ccvm-tui": f"{__version__}, protocol {PROTOCOL}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{_system()}, {platform.machine()}",
        "processor": ", ".join(filter(None, (model or "unknown", " ".join(flags)))),
    }


def processor(cpuinfo: str) -> tuple[str, tuple[str, ...]]:
    """Return the model of the first processor and those of its flags that are in ``FLAGS``, from /proc/cpuinfo.

    Both may be empty: processors other than x86 have no such fields.
    """
    first = cpuinfo.partition("\n\n")[0]
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.split("\n"))}
    present = set(fields.get("flags", "").split())
    return fields.get("model name", ""), tuple(flag for flag in FLAGS if flag in present)


def shortened(text: str, environ: Mapping[str, str]) -> str:
    """Return ``text`` without the user's name: the home directory is ``~``, and other directories are variables.

    In any other path, and in quotation marks, the name is replaced by ``$USER``. It is not replaced elsewhere, because
    it may be a common word.
    """
    for pattern, replacement in _directories(environ):
        text = re.sub(pattern, replacement, text)
    for name in _names(environ):
        word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")
        text = _PATH.sub(partial(_without, word), text)
        text = re.sub(rf"""(?<=["'`‘“]){re.escape(name)}(?=["'`’”])""", "$USER", text)
    return text


def _without(word: re.Pattern[str], path: re.Match[str]) -> str:
    return word.sub("$USER", path[0])


def _directories(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield a pattern for each directory and its replacement, directories inside others first.

    A variable replaces only the beginning of a path, so that a message about the variable's value shows the value.
    """
    home = environ.get("HOME", "") or str(Path.home())
    homes = {path for path in (home.rstrip("/"), os.path.realpath(home)) if len(path) > 1}
    found = [(path, r"(?![\w.-])", "~") for path in homes]
    for variable in _VARIABLES:
        path = environ.get(variable, "").rstrip("/")
        if path.startswith("/") and not any(path == own or path.startswith(f"{own}/") for own in homes):
            found.append((path, "(?=/)", f"${variable}"))
    for path, after, replacement in sorted(found, key=lambda item: -len(item[0])):
        yield rf"(?<![\w./~-]){re.escape(path)}{after}", replacement


def _names(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the user, the longest one first. That of root is not private."""
    names = {environ.get("USER", ""), environ.get("LOGNAME", ""), Path(environ.get("HOME", "") or "/").name}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(os.getuid()).pw_name)
    return sorted(names - {"", "root"}, key=lambda name: (-len(name), name))


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
