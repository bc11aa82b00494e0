"""Runtimes: extraction from packages, publication, removal and verification."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.errors import ImageError
from ccvm_tui.image import Recipe, Runtime, Store, build, load_recipe, manifest
from ccvm_tui.image.runtime import LIB
from ccvm_tui.image.runtime_build import _keep_only_needed, _take
from tests.image.runtimes import publish_runtime


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images")


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe()


# --- the real one -----------------------------------------------------------------------------------------------


def test_the_real_runtime_is_intact_small_and_complete(runtime: Runtime) -> None:
    assert runtime.verify() == []
    assert runtime.size < 100 << 20
    assert runtime.firmware.joinpath("bios-256k.bin").is_file()
    output = subprocess.run([*runtime.command, "--version"], capture_output=True, text=True, check=True, env={}).stdout
    assert f"QEMU emulator version {runtime.version}" in output


def test_an_update_without_new_packages_changes_nothing(runtime: Runtime) -> None:
    store, recipe = Store(), load_recipe()
    before = runtime.program.stat()
    seen: list[str] = []
    build(store, recipe, (), lambda progress: seen.append(progress.phase), runtime=True, update=True)
    assert "runtime" in seen
    after = store.runtime(recipe)
    assert after is not None
    if after.digest == runtime.digest:  # otherwise there are newer packages since it was unpacked
        assert after.program.stat() == before
    assert after.verify() == []


def test_a_runtime_runs_in_any_directory_and_with_its_own_libraries_only(runtime: Runtime, tmp_path: Path) -> None:
    place = tmp_path / "a:b;c $LIB, 文字"
    shutil.copytree(runtime.directory, place, copy_function=os.link if _same_disk(runtime, tmp_path) else shutil.copy)
    moved = Runtime(place, runtime.manifest)
    result = subprocess.run([*moved.command, "-machine", "help"], capture_output=True, text=True, check=True, env={})
    assert "q35" in result.stdout
    (place / LIB / "libz.so.1").unlink()  # the host's library must not replace it
    with pytest.raises(ImageError, match=r"lack the library libz\.so\.1"):
        _keep_only_needed(moved.loader, moved.program)


def _same_disk(runtime: Runtime, folder: Path) -> bool:
    return runtime.directory.stat().st_dev == folder.stat().st_dev


# --- extraction from an archive ---------------------------------------------------------------------------------


def archive(*members: tuple[str, str]) -> tarfile.TarFile:
    """Return an archive of files, given as name and content. Content "-> TARGET" makes a symbolic link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content.startswith("-> "):
                member.type, member.linkname = tarfile.SYMTYPE, content[3:]
                out.addfile(member)
            else:
                member.size = len(content)
                out.addfile(member, io.BytesIO(content.encode()))
    buffer.seek(0)
    return tarfile.open(fileobj=buffer)


QEMU = ("./usr/bin/qemu-system-x", "qemu")


def test_only_the_files_that_qemu_needs_are_extracted(tmp_path: Path) -> None:
    members = archive(
        QEMU,
        ("./usr/lib/x86_64-linux-gnu/libx.so.1.2", "library"),
        ("./usr/lib/x86_64-linux-gnu/libx.so.1", "-> libx.so.1.2"),
        ("./lib/x86_64-linux-gnu/liby.so", "library too"),
        ("./usr/lib/x86_64-linux-gnu/sub/libz.so", "a plugin"),
        ("./usr/share/seabios/bios.bin", "firmware"),
        ("./usr/share/qemu/QEMU,cgthree.bin", "of another machine"),
        ("./usr/bin/qemu-system-other", "other"),
        ("./etc/passwd", "root"),
    )
    assert _take(members, "qemu-system-x", tmp_path).read_text() == "qemu"
    extracted = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert extracted == {"bin/qemu-system-x", "lib/libx.so.1", "lib/libx.so.1.2", "lib/liby.so", "share/bios.bin"}
    assert (tmp_path / "lib/libx.so.1").read_text() == "library"


def test_an_archive_without_qemu_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="qemu-system-x"):
        _take(archive(), "qemu-system-x", tmp_path)


names = st.sampled_from(
    ["..", ".", "usr", "lib", "bin", "share", "qemu", "x86_64-linux-gnu", "libx.so", "a.bin", "etc", ""]
)
hostile = st.lists(names, min_size=1, max_size=6).map("/".join)


@given(st.lists(st.tuples(hostile, st.one_of(st.just("x"), hostile.map("-> {}".format))), max_size=8))
def test_no_archive_writes_or_links_outside_its_directory(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, str]]
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    inner = outer / "inner"
    inner.mkdir()
    _take(archive(QEMU, *members), "qemu-system-x", inner)
    assert list(outer.iterdir()) == [inner]
    assert {path.name for path in inner.iterdir()} == {"bin", "lib", "share"}
    assert not [path for path in inner.rglob("*") if path.is_symlink()]


# --- the store --------------------------------------------------------------------------------------------------


def test_a_published_runtime_is_found_and_intact(store: Store, recipe: Recipe) -> None:
    assert store.runtime(recipe) is None
    runtime = publish_runtime(store, recipe)
    assert store.runtime(recipe) == runtime
    assert store.runtimes() == [runtime]
    assert store.list() == []
    assert runtime.verify() == []
    runtime.quick_check()
    assert store.runtime(replace(recipe, suite="sid")) is None
    assert store.runtime(replace(recipe, packages=("zsh",), name="other")) == runtime  # QEMU is the same for both


def test_only_a_damaged_runtime_is_replaced_by_the_same_content(store: Store, recipe: Recipe) -> None:
    runtime = publish_runtime(store, recipe)
    before = runtime.program.stat().st_ino
    assert publish_runtime(store, recipe).program.stat().st_ino == before
    runtime.program.write_bytes(b"contenT")
    with pytest.raises(ImageError, match="qemu") as caught:
        runtime.quick_check()
    assert "image build --update" in caught.value.hint
    (problem,) = runtime.verify()
    assert problem.fix == "ccvm-tui image build --update"
    assert publish_runtime(store, recipe).verify() == []


def test_a_damaged_manifest_is_replaced(store: Store, recipe: Recipe) -> None:
    runtime = publish_runtime(store, recipe)
    (runtime.directory / manifest.FILENAME).write_text("{")
    with pytest.raises(ImageError, match=manifest.FILENAME):
        store.runtime(recipe)
    assert publish_runtime(store, recipe).digest == runtime.digest
    assert store.runtimes() == [store.runtime(recipe)]


def test_a_newer_runtime_replaces_an_older_one_which_can_be_removed(store: Store, recipe: Recipe) -> None:
    old = publish_runtime(store, recipe)
    new = publish_runtime(store, recipe, b"newer")
    assert old.digest != new.digest
    assert store.runtime(recipe) == new
    assert store.outdated_runtimes() == [old]
    store.remove(old.digest)
    assert store.runtimes() == [new]


def test_runtimes_of_other_recipes_are_outdated_only_for_given_recipes(store: Store, recipe: Recipe) -> None:
    other = replace(recipe, suite="sid")
    mine, theirs = publish_runtime(store, recipe), publish_runtime(store, other, b"of another suite")
    assert store.outdated_runtimes() == []
    assert store.outdated_runtimes(recipe) == [theirs]
    assert store.outdated_runtimes(other) == [mine]


def test_a_runtime_in_use_is_not_removed(store: Store, recipe: Recipe) -> None:
    old = publish_runtime(store, recipe)
    publish_runtime(store, recipe, b"newer")
    fd = old.acquire()
    assert old.in_use
    assert store.outdated_runtimes() == []
    with pytest.raises(ImageError, match="running guest"):
        store.remove(old.digest)
    os.close(fd)
    assert store.outdated_runtimes() == [old]
    store.remove(old.digest)
    with pytest.raises(ImageError, match="missing"):
        old.acquire()
