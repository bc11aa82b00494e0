"""An image is complete if it, its layer and a runtime that guests use are built; otherwise it is built."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ccvm_tui.boot import images
from ccvm_tui.config import Settings
from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image import NO_LAYER, Store, load_recipe
from ccvm_tui.image.images import ROOTFS
from tests.image.runtimes import publish_runtime
from tests.image.test_store import publish, publish_layer


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("qemu-system-x86_64", "qemu-system-aarch64"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    return Store()


def test_an_image_is_complete_with_its_layer_and_a_runtime_that_is_used(store: Store) -> None:
    settings, recipe = Settings(), load_recipe()
    assert images.complete_image(settings, NO_LAYER) is None
    image = publish(store, recipe)
    assert images.complete_image(settings, NO_LAYER) == image
    assert images.complete_image(settings, "claude") is None
    publish_layer(store, "claude", "1")
    assert images.complete_image(settings, "claude") is not None
    assert images.complete_image(Settings(runtime="own"), NO_LAYER) is None
    publish_runtime(store, recipe)
    assert images.complete_image(Settings(runtime="own"), NO_LAYER) is not None


def test_a_damaged_image_is_not_complete(store: Store) -> None:
    image = publish(store, load_recipe())
    (image.directory / ROOTFS).write_bytes(b"other")
    with pytest.raises(ImageError, match="damaged"):
        images.complete_image(Settings(), NO_LAYER)


@pytest.mark.usefixtures("store")
def test_a_build_without_its_programs_is_refused() -> None:
    with pytest.raises(PrerequisiteError, match="mmdebstrap"):
        images.build_missing(Settings(), NO_LAYER, lambda _: None, threading.Event())


def test_the_source_of_an_agent_is_its_program_or_else_npm(store: Store, tmp_path: Path) -> None:  # noqa: ARG001
    with pytest.raises(PrerequisiteError, match="neither claude nor npm"):
        images.agent_source(Settings())
    npm, claude = tmp_path / "bin" / "npm", tmp_path / "bin" / "claude"
    npm.write_text("#!/bin/sh\n")
    npm.chmod(0o755)
    assert str(images.agent_source(Settings())).startswith("@anthropic-ai/claude-code-linux-")
    claude.write_bytes(b"\x7fELF" + bytes(11 << 20))
    claude.chmod(0o755)
    assert images.agent_source(Settings()) == claude
    with pytest.raises(ImageError, match="another"):
        images.agent_source(Settings(agent="another"))
