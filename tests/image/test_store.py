"""The store: publication, locking, cleanup and verification, with real files and a second process."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ccvm_tui.errors import ImageError
from ccvm_tui.image import BuildCancelled, Image, Recipe, Store, load_image, load_recipe, manifest, quick_check, verify
from ccvm_tui.image.images import INITRD, KERNEL, LAYER, ROOTFS


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images")


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe()


def publish(store: Store, recipe: Recipe, content: bytes = b"content") -> Image:
    """Publish an image of small files."""
    from ccvm_tui.image import image_digest

    with store.locked(), store.workdir() as workdir:
        for name in (KERNEL, INITRD, ROOTFS):
            (workdir / name).write_bytes(content)
        files = {name: manifest.record(workdir / name) for name in (KERNEL, INITRD, ROOTFS)}
        manifest.write(
            workdir,
            manifest.ImageManifest(image_digest(recipe), "default", "stable", "2026-01-01", "6.1", "quiet", files),
        )
        store.publish(workdir, store.directory_of(recipe))
    return load_image(store.directory_of(recipe))


def publish_layer(store: Store, name: str, version: str) -> None:
    digest = f"{name}{version}".encode().hex().ljust(64, "0")
    with store.locked(), store.workdir() as workdir:
        (workdir / LAYER).write_text(version)
        files = {LAYER: manifest.record(workdir / LAYER)}
        manifest.write(
            workdir, manifest.LayerManifest(digest, name, version, "here", f"/opt/ccvm/{name}/{name}", "2026", files)
        )
        store.publish_layer(workdir, name, digest)


def leftovers(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.iterdir() if path.name.startswith(".building"))


def test_a_published_image_is_found_and_intact(store: Store, recipe: Recipe) -> None:
    assert store.find(recipe) is None
    image = publish(store, recipe)
    assert store.find(recipe) == image
    assert store.list() == [image]
    assert verify(image) == []
    quick_check(image)
    assert leftovers(store) == []


def test_an_image_with_a_layer_is_found_only_if_the_layer_exists(store: Store, recipe: Recipe) -> None:
    publish(store, recipe)
    assert store.find(recipe, "claude") is None
    publish_layer(store, "claude", "1")
    image = store.find(recipe, "claude")
    assert image is not None
    assert [serial for serial, _ in image.drives("claude")] == ["rootfs", "layer0"]
    assert [serial for serial, _ in image.drives()] == ["rootfs"]
    image.quick_check("claude")
    with pytest.raises(ImageError, match="other"):
        image.drives("other")


def test_a_newer_layer_replaces_an_older_one_which_can_be_removed(store: Store, recipe: Recipe) -> None:
    image = publish(store, recipe)
    publish_layer(store, "claude", "1")
    publish_layer(store, "claude", "2")
    assert [layer.version for layer in load_image(image.directory).layers] == ["2"]
    assert len(store.layers()) == 2
    assert store.clean_outdated_layers() == 1
    assert [layer.version for layer in store.layers()] == ["2"]


@pytest.mark.parametrize("name", [KERNEL, INITRD, ROOTFS])
def test_a_missing_file_is_named_with_the_command_that_restores_it(store: Store, recipe: Recipe, name: str) -> None:
    image = publish(store, recipe)
    (image.directory / name).unlink()
    with pytest.raises(ImageError, match=name) as caught:
        quick_check(image)
    assert "ccvm-tui image build" in caught.value.hint
    (problem,) = verify(image)
    assert problem.path.name == name
    assert "ccvm-tui image build" in problem.fix


def test_the_quick_check_detects_a_truncated_file(store: Store, recipe: Recipe) -> None:
    image = publish(store, recipe)
    with image.rootfs.open("r+b") as file:
        file.truncate(3)
    with pytest.raises(ImageError, match=ROOTFS):
        quick_check(image)


def test_verification_detects_a_change_that_preserves_size_and_time(store: Store, recipe: Recipe) -> None:
    image = publish(store, recipe)
    before = image.kernel.stat()
    image.kernel.write_bytes(b"contenT")
    with pytest.raises(ImageError, match=KERNEL):
        quick_check(image)
    os.utime(image.kernel, ns=(before.st_atime_ns, before.st_mtime_ns))
    quick_check(image)
    assert [problem.path for problem in verify(image)] == [image.kernel]


def test_the_quick_check_includes_a_layer_only_if_it_is_used(store: Store, recipe: Recipe) -> None:
    image = publish(store, recipe)
    publish_layer(store, "claude", "1")
    image.layers[0].file.write_text("longer than it was")
    image.quick_check()
    with pytest.raises(ImageError, match=LAYER):
        image.quick_check("claude")
    assert len(verify(image)) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "digest": 3}'])
def test_a_damaged_manifest_is_named_in_the_error(store: Store, recipe: Recipe, text: str) -> None:
    image = publish(store, recipe)
    (image.directory / manifest.FILENAME).write_text(text)
    with pytest.raises(ImageError, match=manifest.FILENAME):
        store.find(recipe)
    assert store.list() == []


def test_publishing_again_replaces_the_whole_image(store: Store, recipe: Recipe) -> None:
    publish(store, recipe)
    image = publish(store, recipe, b"newer")
    assert image.kernel.read_bytes() == b"newer"
    assert verify(image) == []
    assert leftovers(store) == []


def test_images_are_removed_by_a_prefix_of_their_digest(store: Store, recipe: Recipe) -> None:
    image = publish(store, recipe)
    publish_layer(store, "claude", "1")
    for wrong in ("", "zz"):
        with pytest.raises(ImageError):
            store.remove(wrong)
    store.remove(image.digest[:6])
    assert store.find(recipe) is None
    store.remove(store.layers()[0].digest)
    assert list(store.layers_dir.iterdir()) == []


def test_images_of_no_recipe_are_outdated(store: Store, recipe: Recipe) -> None:
    current, old = publish(store, recipe), publish(store, replace(recipe, suite="older"))
    assert store.outdated(recipe) == [old]
    assert store.outdated() == [current, old] or store.outdated() == [old, current]


def test_a_killed_build_leaves_no_image_and_is_cleaned_up(store: Store, recipe: Recipe) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom ccvm_tui.image import Store\n"
        "with Store(Path(sys.argv[1])).locked(), Store(Path(sys.argv[1])).workdir() as workdir:\n"
        "    (workdir / 'vmlinux').write_text('half')\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-P", "-c", script, str(store.root)])
    assert killed.returncode == -9
    assert len(leftovers(store)) == 1
    assert store.find(recipe) is None
    assert store.list() == []
    assert store.clean_stale() == 1
    assert leftovers(store) == []


def test_cleanup_does_not_affect_a_running_build(store: Store) -> None:
    with store.locked(), store.workdir() as workdir:
        assert store.clean_stale() == 0
        assert workdir.is_dir()


def test_a_second_build_waits_and_reports_it(store: Store) -> None:
    waited = threading.Event()
    entered = threading.Event()

    def second() -> None:
        with Store(store.root).locked(waited.set):
            entered.set()

    with store.locked():
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(10)
        assert not entered.is_set()
    assert entered.wait(10)
    thread.join()


def test_waiting_can_be_cancelled(store: Store) -> None:
    cancel = threading.Event()
    with store.locked(), pytest.raises(BuildCancelled), Store(store.root).locked(cancel.set, cancel):
        raise AssertionError("two processes hold the lock")


def test_programs_of_a_killed_build_hold_the_lock(store: Store) -> None:
    with store.locked() as lock:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[lock])
    try:
        with (store.root / ".lock").open("a") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child.kill()
        child.wait()
    with store.locked():
        pass


def test_a_missing_store_is_empty(tmp_path: Path, recipe: Recipe) -> None:
    store = Store(tmp_path / "nowhere")
    assert store.list() == []
    assert store.layers() == []
    assert store.find(recipe) is None
    assert store.clean_stale() == 0


def test_the_workdir_of_a_failed_build_is_removed(store: Store) -> None:
    def fail() -> None:
        with store.locked(), store.workdir() as workdir:
            (workdir / "x").mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert leftovers(store) == []
    shutil.rmtree(store.root)
