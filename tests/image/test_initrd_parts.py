"""The parts of the initrd build: cpio, kernel extraction, module order, tar archives."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.errors import ImageError
from ccvm_tui.image.cpio import Archive
from ccvm_tui.image.guestfiles import GuestFile, as_tar, guest_files
from ccvm_tui.image.kernel import ELF_MAGIC, extract_vmlinux
from ccvm_tui.image.modules import ModuleTree, without_signature
from ccvm_tui.image.unpack import unpack


def test_cpio_unpacks_the_archive(tmp_path: Path) -> None:
    out = io.BytesIO()
    archive = Archive(out)
    archive.directory("bin")
    archive.file("bin/tool", b"#!/bin/sh\necho hi\n", 0o755)
    archive.file("empty", b"")
    archive.symlink("bin/sh", "tool")
    archive.close()
    subprocess.run(["cpio", "-idm"], cwd=tmp_path, input=out.getvalue(), capture_output=True, check=True)
    assert subprocess.run([tmp_path / "bin/sh"], capture_output=True, check=True).stdout == b"hi\n"
    assert (tmp_path / "empty").read_bytes() == b""
    assert stat.S_IMODE((tmp_path / "bin/tool").stat().st_mode) == 0o755


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,20}", fullmatch=True), st.binary(max_size=40)), max_size=8))
def test_every_member_is_aligned_and_can_be_read_back(files: list[tuple[str, bytes]]) -> None:
    out = io.BytesIO()
    archive = Archive(out)
    for name, data in files:
        archive.file(name, data)
    archive.close()
    assert [(name, data) for name, _, data in _members(out.getvalue())] == [*files, ("TRAILER!!!", b"")]


def _members(data: bytes) -> list[tuple[str, int, bytes]]:
    found = []
    at = 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        body = at + 110 + name_size + -(at + 110 + name_size) % 4
        found.append((name, mode, data[body : body + size]))
        at = body + size + -(body + size) % 4
    return found


KERNEL = ELF_MAGIC + bytes(range(256)) * 40


@pytest.mark.parametrize(
    "payload",
    [
        lzma.compress(KERNEL),
        gzip.compress(KERNEL),
        subprocess.run(["zstd", "-qc"], input=KERNEL, capture_output=True, check=True).stdout,
    ],
    ids=["xz", "gzip", "zstd"],
)
def test_the_kernel_is_found_after_misleading_magic_numbers(payload: bytes) -> None:
    vmlinuz = (
        b"MZ setup code \x1f\x8b\x08 not gzip \xfd7zXZ\x00 not xz" + b"\0" * 99 + payload + b"trailing relocations"
    )
    assert extract_vmlinux(vmlinuz) == KERNEL


def test_an_elf_kernel_is_returned_unchanged() -> None:
    assert extract_vmlinux(KERNEL) == KERNEL


def test_a_missing_kernel_is_an_error() -> None:
    with pytest.raises(ImageError):
        extract_vmlinux(b"MZ nothing here")


def signed(module: bytes, signature: bytes) -> bytes:
    return module + signature + struct.pack(">8xI", len(signature)) + b"~Module signature appended~\n"


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=100))
def test_a_signature_is_removed_exactly(module: bytes, signature: bytes) -> None:
    assert without_signature(signed(module, signature)) == module


@pytest.fixture
def tree(tmp_path: Path) -> ModuleTree:
    root = tmp_path / "6.1.0"
    (root / "kernel").mkdir(parents=True)
    (root / "modules.dep").write_text(
        "kernel/net.ko.xz: kernel/fail-over.ko.xz kernel/core.ko\n"
        "kernel/fail-over.ko.xz: kernel/core.ko\n"
        "kernel/core.ko:\n"
    )
    (root / "modules.builtin").write_text("kernel/drivers/virtio.ko\n")
    (root / "kernel/net.ko.xz").write_bytes(lzma.compress(signed(b"net", b"sig")))
    (root / "kernel/core.ko").write_bytes(b"core")
    return ModuleTree(root)


def test_modules_are_loaded_once_and_after_their_dependencies(tree: ModuleTree) -> None:
    assert tree.load_order(["net", "virtio", "core"]) == ["core", "fail_over", "net"]


def test_modules_are_uncompressed_and_unsigned(tree: ModuleTree) -> None:
    assert tree.read("net") == b"net"
    assert tree.read("core") == b"core"


def test_a_missing_module_is_named(tree: ModuleTree) -> None:
    with pytest.raises(ImageError, match="9p"):
        tree.load_order(["9p"])


def test_the_guest_files_are_complete() -> None:
    files = {file.path: file for file in guest_files()}
    for program in ("foreground", "notify", "prepare"):
        assert files[f"/usr/lib/ccvm/{program}"].mode == 0o755
    assert "/usr/lib/ccvm/agent/main.py" in files
    assert "/etc/zsh/zshrc" in files
    assert not any("__pycache__" in path for path in files)


def test_a_tar_has_directories_before_files_and_belongs_to_root(tmp_path: Path) -> None:
    archive = as_tar([GuestFile("/a/b/c", b"x", 0o755), GuestFile("/a/d", b"y", 0o644)])
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        assert [member.name for member in members] == ["a", "a/b", "a/b/c", "a/d"]
        assert all(member.uid == 0 and member.uname == "root" for member in members)
    (tmp_path / "x.tar").write_bytes(archive)
    unpack(tmp_path / "x.tar", tmp_path / "out")
    assert (tmp_path / "out/a/b/c").read_bytes() == b"x"
    assert (tmp_path / "out/a/b/c").stat().st_mode & 0o111


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../b"])
def test_an_archive_cannot_write_outside_its_directory(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ImageError, match="outside"):
        unpack(tmp_path / "bad.tar", tmp_path / "into")


def test_links_in_an_archive_are_skipped(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    unpack(tmp_path / "links.tar", tmp_path / "into")
    assert not (tmp_path / "into/link").is_symlink()


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no tar at all" * 99)
    with pytest.raises(ImageError, match="damaged"):
        unpack(tmp_path / "x.tar", tmp_path / "into")
