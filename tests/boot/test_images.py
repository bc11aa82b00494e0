"""Images that were built elsewhere, such as by Nix."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from ccvm_tui.boot import images
from ccvm_tui.cli import main
from ccvm_tui.config import Settings
from ccvm_tui.errors import ImageError
from ccvm_tui.image import Store, load_image, manifest
from ccvm_tui.image.images import INITRD, KERNEL, ROOTFS
from ccvm_tui.protocol import LaunchSpec

DIGEST = "abcdef0123456789" * 4
NIX_TIME = 1_000_000_000
"""The modification time of all files in a Nix store: one second."""


@pytest.fixture(autouse=True)
def own_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty store of images: the fixture ``home`` keeps the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))


@pytest.fixture
def built(home: Path) -> Path:
    """A directory with an image whose files are read-only and have the times of a Nix store."""
    directory = home / "elsewhere"
    directory.mkdir()
    for name in (KERNEL, INITRD, ROOTFS):
        (directory / name).write_bytes(name.encode())
        os.utime(directory / name, ns=(NIX_TIME, NIX_TIME))
        (directory / name).chmod(0o444)
    files = {name: manifest.record(directory / name) for name in (KERNEL, INITRD, ROOTFS)}
    manifest.write(
        directory, manifest.ImageManifest(DIGEST, "nixos", "26.05", "1970-01-01", "6.18", "quiet", files)
    )  # fmt: skip
    return directory


def provide(settings: Settings) -> LaunchSpec:
    spec = LaunchSpec("guest", "/project", linger=False, read_only=False)
    return images.provide(spec, settings, lambda _: None, threading.Event(), agent_wanted=False)


def test_a_directory_is_used_as_the_image(built: Path) -> None:
    settings = Settings(image=str(built), agent="none")
    image = load_image(Path(provide(settings).image))
    image.quick_check()
    assert image.digest == DIGEST
    assert image.directory.parent == Store().root, "agent layers are found next to the image"
    assert image.kernel.resolve() == built / KERNEL
    assert images.built_image(settings) == image


def test_a_package_can_set_the_default_image(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.DEFAULT_IMAGE_VARIABLE, str(built))
    assert load_image(Path(provide(Settings(agent="none")).image)).digest == DIGEST


def test_the_setting_overrides_the_image_of_the_package(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.DEFAULT_IMAGE_VARIABLE, str(built))
    recipe = built.parent / "own.toml"
    recipe.write_text('suite = "sid"')
    settings = Settings(image=str(recipe))
    assert images.prebuilt(settings) is None
    assert images.recipe_of(settings).suite == "sid"


def test_an_image_that_moved_is_found_at_its_new_place(built: Path) -> None:
    provide(Settings(image=str(built), agent="none"))
    moved = built.rename(built.with_name("moved"))
    image = load_image(Path(provide(Settings(image=str(moved), agent="none")).image))
    assert image.kernel.resolve() == moved / KERNEL


def test_the_link_to_an_image_that_no_longer_exists_is_removed(built: Path) -> None:
    link = Path(provide(Settings(image=str(built), agent="none")).image)
    other = shutil.copytree(built, built.with_name("other"), copy_function=shutil.copy2)
    text = (other / manifest.FILENAME).read_text()
    (other / manifest.FILENAME).write_text(text.replace(DIGEST, DIGEST[::-1]))
    shutil.rmtree(built)
    assert link.is_symlink()
    provide(Settings(image=str(other), agent="none"))
    assert not link.is_symlink()


def test_a_directory_without_an_image_is_an_error(home: Path) -> None:
    with pytest.raises(ImageError, match=r"manifest\.json is missing"):
        provide(Settings(image=str(home), agent="none"))


def test_gc_keeps_the_image_in_use_and_never_removes_its_files(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCVM_IMAGE", str(built))
    directory = Path(provide(Settings(image=str(built), agent="none")).image)
    assert main(["gc", "--images"]) == 0
    assert directory.exists()
    other = shutil.copytree(built, built.with_name("other"), copy_function=shutil.copy2)
    text = (other / manifest.FILENAME).read_text()
    (other / manifest.FILENAME).write_text(text.replace(DIGEST, DIGEST[::-1]))
    monkeypatch.setenv("CCVM_IMAGE", str(other))
    assert main(["gc", "--images"]) == 0, capsys.readouterr().err
    assert not directory.exists()
    assert (built / KERNEL).exists()


def test_image_show_describes_a_directory(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCVM_IMAGE", str(built))
    assert main(["image", "show"]) == 0
    assert DIGEST in capsys.readouterr().out
