"""Transfers of files from https and file URLs: with progress, cancellable at any time, and continued after a cut.

A thread receives, so that the caller can report progress and end the transfer while a server is silent.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

from ccvm_tui import __version__
from ccvm_tui.errors import ImageError
from ccvm_tui.image.run import BuildCancelled

TIMEOUT = 30.0
"""Seconds without a byte after which a transfer counts as cut."""

ATTEMPTS = 5
"""The number of times that a transfer is continued after a cut, if something was received each time."""

Tick = Callable[[str, float | None], None]
"""A function that is called regularly with a description of the progress and its share, from 0 to 1, if known."""

_CHUNK = 1 << 16
_POLL = 0.25
_AHEAD = 16  # chunks that are received before the caller takes them
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Cut(Exception):
    """The connection ended early. The message is the reason."""


def fetch(url: str, limit: int, cancel: threading.Event) -> bytes:
    """Return the content of ``url``, of at most ``limit`` bytes.

    Raises ImageError if it cannot be received or is larger, BuildCancelled soon after ``cancel`` is set.
    """
    content = b""
    try:
        with contextlib.closing(_receive(url, 0, lambda: None, cancel)) as pieces:
            for _, piece in pieces:
                content += piece
                if len(content) > limit:
                    raise ImageError(f"{url} is larger than {limit >> 10} KiB, so it is not what was expected")
    except _Cut as error:
        raise ImageError(f"{url} cannot be downloaded: {error}") from error
    return content


def fetch_file(url: str, target: Path, size: int, tick: Tick, cancel: threading.Event) -> None:
    """Receive the ``size`` bytes of ``url`` into the file ``target``, and continue it if it exists.

    If the connection is cut, it is continued up to ``ATTEMPTS`` times; after that the file is kept for the next call.
    Raises ImageError if the transfer fails, BuildCancelled soon after ``cancel`` is set.
    """
    for attempt in range(ATTEMPTS):
        before = _size(target)
        if before > size:
            target.unlink()
            before = 0
        try:
            if before < size:
                _append(url, target, size, tick, cancel)
            reason = "the server has closed the connection"
        except _Cut as error:
            reason = str(error)
        now = _size(target)
        if now == size:
            return
        if now <= before or attempt == ATTEMPTS - 1:
            raise ImageError(
                f"{url}: the download ended after {now} of {size} bytes: {reason}",
                "the next attempt continues it; `ccvm-tui image build --local` builds the image instead",
            )


def _append(url: str, target: Path, size: int, tick: Tick, cancel: threading.Event) -> None:
    received = _size(target)

    def report() -> None:
        tick(f"{received >> 20} of {size >> 20} MiB", received / size)

    with contextlib.closing(_receive(url, received, report, cancel)) as pieces:
        try:
            with target.open("ab") as file:
                for start, piece in pieces:
                    if start != received:  # the server ignores ranges and starts from the beginning
                        file.truncate(start)
                    file.write(piece)
                    received = start + len(piece)
                    if received > size:
                        raise ImageError(f"{url} is larger than its index says ({size} bytes)")
        except OSError as error:
            target.unlink(missing_ok=True)  # it would keep a full disk full
            raise ImageError(
                f"{target} cannot be written: {error.strerror}",
                f"free some space in {target.parent}; `ccvm-tui gc --images` removes old images",
            ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _receive(
    url: str, offset: int, on_tick: Callable[[], None], cancel: threading.Event
) -> Generator[tuple[int, bytes], None, None]:
    """Yield the pieces of ``url`` from ``offset`` on, each with its own offset.

    If the server cannot start at ``offset``, the first piece has the offset 0. Raises _Cut if the connection is lost,
    ImageError if the server refuses, BuildCancelled soon after ``cancel`` is set.
    """
    pieces: queue.Queue[tuple[int, bytes] | Exception | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()
    threading.Thread(target=_run, args=(url, offset, pieces, stopped), name=f"download {url}", daemon=True).start()
    ticked = 0.0
    try:
        while True:
            if cancel.is_set():
                raise BuildCancelled("the download was cancelled", "`ccvm-tui image build` continues it")
            if time.monotonic() - ticked > _POLL:
                ticked = time.monotonic()
                on_tick()
            try:
                piece = pieces.get(timeout=_POLL)
            except queue.Empty:
                continue
            if piece is None:
                return
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        stopped.set()


def _run(
    url: str, offset: int, pieces: queue.Queue[tuple[int, bytes] | Exception | None], stopped: threading.Event
) -> None:
    """Receive in a thread of its own until the end, or until ``stopped`` is set."""

    def put(piece: tuple[int, bytes] | Exception | None) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                pieces.put(piece, timeout=_POLL)
                return True
        return False

    try:
        with _open(url, offset) as response:
            position = _start(response, offset)
            while data := response.read1(_CHUNK):
                if not put((position, data)):
                    return
                position += len(data)
        put(None)
    except urllib.error.HTTPError as error:
        put(_refusal(url, error))
    except urllib.error.URLError as error:
        put(ImageError(f"{url} cannot be reached: {_reason(error.reason)}", "check the URL, the network and the proxy"))
    except (OSError, http.client.HTTPException) as error:
        put(_Cut(_reason(error)))


def _open(url: str, offset: int) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": f"ccvm-tui/{__version__}"})  # noqa: S310 - checked
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    opener = urllib.request.build_opener(_EncryptedRedirects)
    response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT)
    return response


def _start(response: http.client.HTTPResponse, offset: int) -> int:
    """Return the offset of the first byte of the response."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != offset:
        raise http.client.HTTPException("the server has sent another range than the requested one")
    return offset


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    hint = "check the setting image_url; is there an image of this version?" if error.code == 404 else ""
    return ImageError(f"{url}: the server refuses the download: {error.code} {error.reason}", hint)


def _reason(error: BaseException | str) -> str:
    if isinstance(error, TimeoutError):
        return f"no data for {TIMEOUT:.0f} s"
    return getattr(error, "verify_message", "") or getattr(error, "strerror", "") or str(error) or type(error).__name__


class _EncryptedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the next request. Raises HTTPError if it would not be encrypted."""
        if not newurl.startswith("https://"):
            raise urllib.error.HTTPError(req.full_url, code, f"a redirect to {newurl}, which is not https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
