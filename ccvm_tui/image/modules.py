"""Kernel modules: dependencies, load order, and conversion to the form that loads fastest."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ccvm_tui.errors import ImageError

_SIGNATURE_MARK = b"~Module signature appended~\n"
_SIGNATURE_INFO = struct.Struct(">8xI")  # struct module_signature, whose last field is the length of the signature


class ModuleTree:
    """The modules of one kernel in ``root`` (``lib/modules/<release>``), with the indexes of depmod(8)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._needs: dict[str, list[str]] = {}
        self._paths: dict[str, str] = {}
        for line in (root / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            self._paths[_name(path)] = path
            self._needs[_name(path)] = [_name(need) for need in needs.split()]
        builtin = (root / "modules.builtin").read_text().splitlines()
        self._builtin = {_name(path) for path in builtin}

    def load_order(self, wanted: Iterable[str]) -> list[str]:
        """Return ``wanted`` and all dependencies in load order, without modules that are built in.

        Raises ImageError if the kernel lacks a module.
        """
        order: list[str] = []
        for module in wanted:
            self._visit(_name(module), order)
        return order

    def _visit(self, module: str, order: list[str]) -> None:
        if module in order or module in self._builtin:
            return
        if module not in self._paths:
            raise ImageError(f"the kernel {self.root.name} has no module {module}")
        # modules.dep lists dependencies in reverse load order.
        for need in reversed(self._needs[module]):
            self._visit(need, order)
        order.append(module)

    def path(self, module: str) -> PurePosixPath:
        """Return the path of ``module`` relative to the tree's root."""
        return PurePosixPath(self._paths[_name(module)])

    def read(self, module: str) -> bytes:
        """Return the module uncompressed and without its signature.

        Guests do not check signatures, and hashing the modules would noticeably slow down the boot.
        """
        path = self.root / self._paths[_name(module)]
        return without_signature(_uncompressed(path))


def without_signature(module: bytes) -> bytes:
    """Return ``module`` without the signature that the kernel build may have appended (kernel/module/signing.c)."""
    if not module.endswith(_SIGNATURE_MARK):
        return module
    body = len(module) - len(_SIGNATURE_MARK)
    (length,) = _SIGNATURE_INFO.unpack_from(module, body - _SIGNATURE_INFO.size)
    end = body - _SIGNATURE_INFO.size - length
    return module[:end] if end > 0 else module


def _uncompressed(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return data


def _name(path: str) -> str:
    return PurePosixPath(path).name.split(".ko")[0].replace("-", "_")
