"""Kernel modules: which ones are needed, in which order, and in the form that loads fastest."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ccvm_tui.errors import ImageError

_SIGNATURE_MARK = b"~Module signature appended~\n"
_SIGNATURE_INFO = struct.Struct(">8xI")  # struct module_signature: its last field is the signature's length


class ModuleTree:
    """One kernel's modules under ``<root>`` (``lib/modules/<release>``), as depmod(8) describes them."""

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
        """The modules that have to be loaded for ``wanted``, dependencies first, without those built in.

        Raises ImageError for a module that this kernel does not have.
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
        # modules.dep lists what has to be loaded last-first.
        for need in reversed(self._needs[module]):
            self._visit(need, order)
        order.append(module)

    def path(self, module: str) -> PurePosixPath:
        """Where ``module`` lies, relative to the tree's root."""
        return PurePosixPath(self._paths[_name(module)])

    def read(self, module: str) -> bytes:
        """The module uncompressed and without its signature: a guest checks no signatures, and hashing them
        all would cost it a noticeable part of the boot."""
        path = self.root / self._paths[_name(module)]
        return without_signature(_uncompressed(path))


def without_signature(module: bytes) -> bytes:
    """Drop the signature that the kernel build appended (see kernel/module/signing.c), if there is one."""
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
