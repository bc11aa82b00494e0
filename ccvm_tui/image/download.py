"""Download of an image and a runtime that were exported, instead of a build.

An image is accepted only if it is the one that this program would build: the digest of recipe and program, which the
signed index contains, must be the same. So neither an image of another version nor one of another recipe is used.
"""

from __future__ import annotations

import gzip
import os
import threading
import urllib.parse
import zlib
from collections.abc import Mapping
from pathlib import Path

from ccvm_tui import __version__
from ccvm_tui.errors import ImageError
from ccvm_tui.image import index, manifest
from ccvm_tui.image.digest import image_digest
from ccvm_tui.image.images import INITRD, KERNEL, ROOTFS, differences
from ccvm_tui.image.index import SIGNATURE, SIZE_MAX, Archive, Index
from ccvm_tui.image.manifest import FILENAME, FileRecord, RuntimeManifest
from ccvm_tui.image.origin import Origin
from ccvm_tui.image.progress import Phases
from ccvm_tui.image.recipe import Recipe
from ccvm_tui.image.run import BuildCancelled
from ccvm_tui.image.runtime import BIN, LIB
from ccvm_tui.image.runtime_build import content_digest
from ccvm_tui.image.store import Store
from ccvm_tui.image.transfer import fetch, fetch_file
from ccvm_tui.image.unpack import unpack

_LOCAL = "`ccvm-tui image build --local` builds the image on this machine"


class Download:
    """The image and the runtime of one origin."""

    def __init__(self, origin: Origin, store: Store, recipe: Recipe, phases: Phases, cancel: threading.Event) -> None:
        self._origin = origin
        self._store = store
        self._recipe = recipe
        self._phases = phases
        self._cancel = cancel
        self._found: Index | None = None

    def base(self, workdir: Path) -> None:
        """Download the base image into ``workdir``. Raises ImageError if it fails, BuildCancelled if cancelled."""
        self._phases.begin("fetch")
        archive = self._index().image
        self._fetch(archive, workdir, "unpack")
        found = manifest.read_image(workdir)
        if found.digest != archive.digest or set(found.files) != {KERNEL, INITRD, ROOTFS}:
            raise ImageError(f"{archive.file} contains another image than its index says", _LOCAL)
        _accept(workdir, found.files, archive)

    def runtime(self, workdir: Path) -> RuntimeManifest:
        """Download the runtime into ``workdir``, and return its manifest. Raises like ``base``."""
        self._phases.begin("fetch runtime")
        archive = self._index().runtime
        if archive is None:
            raise ImageError(f"there is no QEMU at {self._origin.url}", f"install QEMU; or {_LOCAL}, and its QEMU")
        self._fetch(archive, workdir, "runtime")
        found = manifest.read_runtime(workdir)
        known = found.digest == archive.digest == content_digest(dict(found.files))
        if not known or not {f"{BIN}/{found.program}", f"{LIB}/{found.loader}"} <= set(found.files):
            raise ImageError(f"{archive.file} contains another runtime than its index says", _LOCAL)
        _accept(workdir, found.files, archive)
        return found

    def _index(self) -> Index:
        if self._found is None:
            url = self._origin.url
            document = fetch(url, SIZE_MAX, self._cancel)
            signature = fetch(url + SIGNATURE, SIZE_MAX, self._cancel)
            found = index.decode(document, signature, self._origin.key, url)
            if found.image.digest != image_digest(self._recipe):
                which = f"is for ccvm-tui {found.version} on {found.machine}, and"
                raise ImageError(
                    f"the image at {url} {which} differs from the one that ccvm-tui {__version__} needs",
                    f"use the image of the same version, without a recipe of your own; or {_LOCAL}",
                )
            self._found = found
        return self._found

    def _fetch(self, archive: Archive, workdir: Path, unpacking: str) -> None:
        partial = self._store.partial(archive.sha256)
        url = urllib.parse.urljoin(self._origin.url, archive.file)
        fetch_file(url, partial, archive.size, self._phases.tick, self._cancel)
        self._phases.begin(unpacking)
        if manifest.sha256_of(partial) != archive.sha256:
            partial.unlink()
            raise ImageError(f"{url} does not have the checksum that its index contains", "download it again")
        try:
            unpack(partial, workdir)
        except ImageError:
            partial.unlink()
            raise
        except (OSError, EOFError, zlib.error) as error:
            partial.unlink()
            if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
                raise ImageError(
                    f"{workdir} cannot be written: {error.strerror}",
                    f"free some space in {workdir.parent}; `ccvm-tui gc --images` removes old images",
                ) from error
            raise ImageError(f"{url} is not an archive of this format: {error}", _LOCAL) from error
        partial.unlink()
        if self._cancel.is_set():
            raise BuildCancelled("the download was cancelled", "`ccvm-tui image build` starts it again")


def _accept(workdir: Path, files: Mapping[str, FileRecord], archive: Archive) -> None:
    """Check all files against the manifest, and restore their times. Raises ImageError if one differs."""
    unlisted = {
        str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.is_file() and path.name != FILENAME
    } - set(files)
    if unlisted or (problems := differences(workdir, files)):
        what = f"{min(unlisted)} is not in the manifest" if unlisted else str(problems[0])
        raise ImageError(f"{archive.file} does not match its manifest: {what}", _LOCAL)
    for name, record in files.items():
        os.utime(workdir / name, ns=(record.mtime_ns, record.mtime_ns))
