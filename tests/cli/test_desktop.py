"""The programs of the user's desktop: the browser, and the clipboard with an image."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ccvm_tui.client import browser, images

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_browser_is_the_users_or_that_of_the_desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "bin" / "own", "")
    opener = program(tmp_path / "bin" / "xdg-open", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    address = "https://x/?a=b&c=%s"
    assert browser.command(address, {}) == []
    assert browser.command(address, {"DISPLAY": ":0"}) == [str(opener), address]
    assert browser.command(address, {"BROWSER": f"missing:{own}"}) == [str(own), address]
    assert browser.command(address, {"BROWSER": f"{own} --new %s"}) == [str(own), "--new", address]


@pytest.mark.parametrize("kind", sorted(images.SIGNATURES))
def test_an_image_is_known_by_its_beginning(kind: str) -> None:
    (*_, signature) = images.SIGNATURES[kind]
    data = signature + b"1234WEBP" + bytes(50)
    assert images.is_image(kind, data)
    assert not images.is_image(kind, b"text")
    assert not images.is_image(kind, b"")
    assert not images.is_image("text/plain", data)


async def test_only_images_are_read_with_xclip(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(PNG)
    script = f'case $4 in TARGETS) echo "TARGETS STRING image/png image/gif";; *) exec /bin/cat {tmp_path}/data;; esac'
    tool = program(tmp_path / "bin" / "xclip", script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tool.parent))
        desktop = {"DISPLAY": ":0"}
        assert await images.types(desktop) == ("image/png", "image/gif")
        assert await images.read("image/png", desktop) == PNG
        assert await images.read("image/gif", desktop) == b""  # it is a PNG
        assert await images.read("image/jpeg", desktop) == b""  # it is not offered
        assert await images.read("STRING", desktop) == b""
        assert await images.types({}) == ()


async def test_a_clipboard_that_does_not_answer_or_never_ends_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "READ_TIMEOUT", 0.2)
    tool = program(tmp_path / "bin" / "wl-paste", "exec /bin/sleep 600")
    monkeypatch.setenv("PATH", str(tool.parent))
    assert await asyncio.wait_for(images.types({"WAYLAND_DISPLAY": "w"}), 20) == ()
    program(tool, "case $1 in --list-types) echo image/png;; *) exec /bin/cat /dev/zero;; esac")
    monkeypatch.setattr(images, "IMAGE_MAX", 1 << 20)
    assert await asyncio.wait_for(images.read("image/png", {"WAYLAND_DISPLAY": "w"}), 20) == b""
