"""Manifests (manifest.json) of images, agent layers and runtimes: metadata, and checksums of all files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ccvm_tui.errors import ImageError

FILENAME = "manifest.json"
"""The name of the manifest in the directory that it describes."""

FORMAT = 1
"""The version of the format of manifests."""

REBUILD = "ccvm-tui image build --force"
"""The command that rebuilds an image and its layers."""

RENEW = "ccvm-tui image build --update"
"""The command that rebuilds a runtime."""

T = TypeVar("T")


@dataclass(frozen=True)
class FileRecord:
    """A published file: ``sha256`` in hex, ``size`` in bytes, and the modification time ``mtime_ns``."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class ImageManifest:
    """The manifest of an image. ``created`` is in ISO 8601."""

    digest: str
    recipe: str
    suite: str
    created: str
    kernel_release: str
    cmdline: str
    files: Mapping[str, FileRecord]


@dataclass(frozen=True)
class LayerManifest:
    """The manifest of an agent layer.

    ``agent`` is the absolute path of the agent's executable in a guest, ``origin`` describes its source, ``created``
    is in ISO 8601.
    """

    digest: str
    name: str
    version: str
    origin: str
    agent: str
    created: str
    files: Mapping[str, FileRecord]


@dataclass(frozen=True)
class RuntimeManifest:
    """The manifest of a runtime.

    ``version`` is the version that QEMU reports. ``program`` and ``loader`` are file names in ``bin`` and ``lib``.
    ``created`` is in ISO 8601.
    """

    digest: str
    suite: str
    version: str
    program: str
    loader: str
    created: str
    files: Mapping[str, FileRecord]


def record(path: Path) -> FileRecord:
    """Return the record of a file in its current state."""
    info = path.stat()
    return FileRecord(sha256_of(path), info.st_size, info.st_mtime_ns)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, manifest: ImageManifest | LayerManifest | RuntimeManifest) -> None:
    """Write a manifest into ``folder``."""
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1)
    (folder / FILENAME).write_text(text + "\n")


def read_image(folder: Path) -> ImageManifest:
    """Read an image's manifest. Raises ImageError if it is missing, malformed or of another format."""
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
    """Read an agent layer's manifest. Raises ImageError if it is missing, malformed or of another format."""
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
    """Read a runtime's manifest. Raises ImageError if it is missing, malformed or of another format."""
    table = _read(folder, _RENEW_HINT)
    with _Reading(folder, _RENEW_HINT):
        return RuntimeManifest(
            digest=_get(table, "digest", str),
            suite=_get(table, "suite", str),
            version=_get(table, "version", str),
            program=_get(table, "program", str),
            loader=_get(table, "loader", str),
            created=_get(table, "created", str),
            files=_files(table),
        )


_REBUILD_HINT = f"`{REBUILD}` rebuilds the image"
_RENEW_HINT = f"`{RENEW}` rebuilds the runtime"


def _read(folder: Path, hint: str = _REBUILD_HINT) -> dict[str, Any]:
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
    """A context manager that turns the errors of a malformed manifest into an ImageError that names the file."""

    def __init__(self, folder: Path, hint: str = _REBUILD_HINT) -> None:
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
