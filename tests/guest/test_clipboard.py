"""Images of the host's clipboard, read by programs in a real guest through an attached client."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from pathlib import Path

import pytest

from ccvm_tui.bridging import ClipboardWanted
from ccvm_tui.client import connection
from ccvm_tui.client.connection import Stream
from ccvm_tui.client.images import send as send_image
from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import Data, Exited
from tests.guest.conftest import RealGuest

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000
"""Data that begins like a PNG."""

SECRET = b"a password that the user has copied"

WL_PASTE = """#!/bin/sh
cd {directory}
echo "$*" >>calls
case $1 in
    --list-types) cat types ;;
    --no-newline) cat "$(printf %s "$3" | tr / _)" ;;
    *) cat text ;;
esac
"""


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the content of a clipboard, which a program named wl-paste provides."""
    program = tmp_path / "bin" / "wl-paste"
    program.parent.mkdir()
    program.write_text(WL_PASTE.format(directory=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-test")
    (tmp_path / "types").write_text("text/plain\nimage/png\nUTF8_STRING\ntext/html\nimage/jpeg\n")
    (tmp_path / "text").write_bytes(SECRET)
    (tmp_path / "image_png").write_bytes(PNG)
    (tmp_path / "image_jpeg").write_bytes(SECRET)  # text with the type of an image
    return tmp_path


async def answer(view: Stream) -> None:
    """Answer the requests that a client receives."""
    while True:
        if isinstance(message := await view.receive(), ClipboardWanted):
            await send_image(view, message)


async def run_attached(guest: RealGuest, session: str, script: str) -> tuple[int, bytes, bytes]:
    """Run a script while a view of ``session`` answers requests; return status, standard output and error."""
    async with await connection.view(guest.name, session, TermSize(80, 24)) as view:
        stream = await connection.execute(guest.name, ("sh", "-c", script), {})
        stream.send(Data(0, b""))
        outputs = {1: b"", 2: b""}
        answering = asyncio.create_task(answer(view))
        try:
            while True:
                match await stream.receive():
                    case Data(stream=number, data=data):
                        outputs[number] += data
                    case Exited(status=status):
                        return status, outputs[1], outputs[2]
        finally:
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            await stream.close()


READ_BY_CLAUDE = """
xclip -selection clipboard -t TARGETS -o 2>/dev/null | grep -E "image/(png|jpeg|jpg|gif|webp|bmp)"
xclip -selection clipboard -t image/png -o >/tmp/by-xclip || exit 9
wl-paste --list-types | grep -q image/png || exit 8
wl-paste --type image/png >/tmp/by-wl-paste || exit 7
cmp /tmp/by-xclip /tmp/by-wl-paste && base64 -w0 /tmp/by-xclip
"""

READ_TEXT = """
for arguments in "-o" "-o -selection clipboard" "-selection clipboard -t STRING -o" "-sel c -t text/plain -o"; do
    xclip $arguments && exit 9
done
wl-paste -t text/plain && exit 8
wl-paste --no-newline -t text/html && exit 7
xclip -selection clipboard -t image/jpeg -o && exit 6
echo text | xclip -selection clipboard && exit 5
exit 0
"""

HOSTILE = r"""
python3 - <<'END'
import socket
for request in (b"", b"s1 text\n", b"s1 image text/plain\n", b"s1 image image/png;text/plain\n", b"x" * 100000,
                b"s1 image image/../text\n", b"s1 types\ns1 types\n", b"\xff\n", b"s1 image image/svg+xml\n"):
    s = socket.socket(socket.AF_UNIX)
    s.connect("/run/ccvm/bridge/clipboard.sock")
    answer = b""
    try:
        s.sendall(request)
        s.shutdown(socket.SHUT_WR)
        while data := s.recv(65536):
            answer += data
    except OSError:
        pass
    print(request[:30], answer[:100])
    assert not answer.startswith(b"+"), answer[:100]
END
"""


async def test_images_are_read_and_each_read_is_an_event(guest: RealGuest, desktop: Path) -> None:
    session = guest.open()
    status, output, errors = await run_attached(guest, session, READ_BY_CLAUDE)
    assert status == 0, (output, errors)
    *types, image = output.split(b"\n")
    assert types == [b"image/png", b"image/jpeg"]
    assert base64.b64decode(image) == PNG
    events = [json.loads(line) for line in (guest.directory / "events.jsonl").read_text().splitlines()]
    assert [event["text"] for event in events if event["kind"] == "image"] == [
        "reads an image from your clipboard (image/png, 500K)"
    ] * 2
    assert "text" not in (desktop / "calls").read_text()


@pytest.mark.attack
async def test_text_is_never_read_and_nothing_is_written(guest: RealGuest, desktop: Path) -> None:
    session = guest.open()
    for script in (READ_TEXT, HOSTILE):
        status, output, errors = await run_attached(guest, session, script)
        assert status == 0, (output, errors)
        assert SECRET not in output
    assert "text" not in (desktop / "calls").read_text()


async def test_without_a_client_there_is_no_clipboard(guest: RealGuest, desktop: Path) -> None:
    result = guest.run("wl-paste", "--list-types")
    assert result.returncode == 1
    assert b"no terminal shows" in result.stderr
    assert not (desktop / "calls").exists()
