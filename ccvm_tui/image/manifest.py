"""manifest.json: what an image, an agent layer or a runtime consists of, and how each file of it can be checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ccvm_tui.errors import ImageError

FILENAME = "manifest.json"
FORMAT = 1
REBUILD = "ccvm-tui image build --force"
RENEW = "ccvm-tui image build --update"

T = TypeVar("T")


@dataclass(frozen=True)
class FileRecord:
    """``sha256`` in hex, ``size`` in bytes, ``mtime_ns`` as it was when the file was published."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class ImageManifest:
    digest: str
    recipe: str
    suite: str
    created: str
    kernel_release: str
    cmdline: str
    files: Mapping[str, FileRecord]


@dataclass(frozen=True)
class LayerManifest:
    """``agent`` is the absolute path of the agent's program in a guest; ``origin`` where it was taken from."""

    digest: str
    name: str
    version: str
    origin: str
    agent: str
    created: str
    files: Mapping[str, FileRecord]


@dataclass(frozen=True)
class RuntimeManifest:
    """``version`` is what QEMU says of itself. ``program`` and ``loader`` are names in ``bin`` and ``lib``."""

    digest: str
    suite: str
    version: str
    program: str
    loader: str
    created: str
    files: Mapping[str, FileRecord]


def record(path: Path) -> FileRecord:
    """Describe a file as it is now."""
    info = path.stat()
    return FileRecord(sha256_of(path), info.st_size, info.st_mtime_ns)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, manifest: ImageManifest | LayerManifest | RuntimeManifest) -> None:
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1)
    (folder / FILENAME).write_text(text + "\n")


def read_image(folder: Path) -> ImageManifest:
    """Raises ImageError when there is no manifest, or none of this format."""
    table = _read(folder)
    with _Reading(folder):
        return ImageManifest(
            digest=_get(table, "digest", str),
            recipe=_get(table, "recipe", str),
            suite=_get(table, "suite", str),
            created=_get(table, "created", str),
            kernel_release=_get(table, "kernel_release", str),
            cmdline=_get(table, "cmdline", str),
            files=_files(table),
        )


def read_layer(folder: Path) -> LayerManifest:
    """Raises ImageError when there is no manifest, or none of this format."""
    table = _read(folder)
    with _Reading(folder):
        return LayerManifest(
            digest=_get(table, "digest", str),
            name=_get(table, "name", str),
            version=_get(table, "version", str),
            origin=_get(table, "origin", str),
            agent=_get(table, "agent", str),
            created=_get(table, "created", str),
            files=_files(table),
        )


def read_runtime(folder: Path) -> RuntimeManifest:
    """Raises ImageError when there is no manifest, or none of this format."""
    table = _read(folder, f"`{RENEW}` makes the runtime anew")
    with _Reading(folder, f"`{RENEW}` makes the runtime anew"):
        return RuntimeManifest(
            digest=_get(table, "digest", str),
            suite=_get(table, "suite", str),
            version=_get(table, "version", str),
            program=_get(table, "program", str),
            loader=_get(table, "loader", str),
            created=_get(table, "created", str),
            files=_files(table),
        )


_REBUILT = f"`{REBUILD}` makes the image anew"


def _read(folder: Path, hint: str = _REBUILT) -> dict[str, Any]:
    path = folder / FILENAME
    try:
        table = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ImageError(f"{path} is missing", hint) from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} is damaged: {error}", hint) from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise ImageError(f"{path} is not a manifest of format {FORMAT}", hint)
    return table


class _Reading:
    """Turns what a malformed manifest raises into one error that names the file."""

    def __init__(self, folder: Path, hint: str = _REBUILT) -> None:
        self._path = folder / FILENAME
        self._hint = hint

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (KeyError, TypeError)):
            raise ImageError(f"{self._path} is damaged: {error}", self._hint) from error


def _files(table: dict[str, Any]) -> dict[str, FileRecord]:
    files: dict[str, dict[str, Any]] = _get(table, "files", dict)
    return {
        name: FileRecord(_get(entry, "sha256", str), _get(entry, "size", int), _get(entry, "mtime_ns", int))
        for name, entry in files.items()
    }


def _get(table: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = table[key]
    if not isinstance(value, kind):
        raise TypeError(f"{key} is not a {kind.__name__}")
    return value
