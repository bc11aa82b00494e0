"""Downloads of exported images and runtimes from a real HTTPS server on loopback, and of everything that can go wrong."""

from __future__ import annotations

import base64
import gzip
import os
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import __version__
from ccvm_tui.errors import ConfigError, ImageError
from ccvm_tui.image import BuildCancelled, Image, Progress, Recipe, Runtime, Store, build, load_recipe, transfer, verify
from ccvm_tui.image.export import export
from ccvm_tui.image.images import ROOTFS
from ccvm_tui.image.index import Archive, Index, decode, encode
from ccvm_tui.image.manifest import sha256_of
from ccvm_tui.image.origin import Origin, origin
from ccvm_tui.image.unpack import unpack
from tests.image.runtimes import publish_runtime
from tests.image.servers import Server, serving
from tests.image.test_store import publish
from tests.waiting import wait_until

KEY = Ed25519PrivateKey.generate()
CONTENT = os.urandom(3 << 20)


@dataclass
class Published:
    """An image and a runtime that a server publishes, and the store into which they are downloaded."""

    server: Server
    index: Path
    image: Image
    store: Store
    seen: list[str] = field(default_factory=list)

    @property
    def origin(self) -> Origin:
        return Origin(f"{self.server.url}/{self.index.name}", KEY.public_key().public_bytes_raw())

    @property
    def archive(self) -> Path:
        return self.index.with_name(self.index.name.replace(".index.json", ".image.tar.gz"))

    def sign(self, key: Ed25519PrivateKey = KEY) -> None:
        Path(f"{self.index}.sig").write_bytes(key.sign(self.index.read_bytes()))

    def change(self, **values: object) -> None:
        """Change the index's record of the image, and sign it again."""
        table = msgspec.json.decode(self.index.read_bytes())
        table["image"] |= values
        self.index.write_bytes(msgspec.json.encode(table))
        self.sign()

    def replace_archive(self, content: bytes) -> None:
        """Replace the image's archive, and publish it with its checksum."""
        self.archive.write_bytes(content)
        self.change(size=len(content), sha256=sha256_of(self.archive))

    def download(
        self,
        recipe: Recipe | None = None,
        cancel: threading.Event | None = None,
        report: Callable[[Progress], None] = lambda _: None,
        runtime: bool = False,
        force: bool = False,
    ) -> Image:
        def progress(step: Progress) -> None:
            self.seen.append(step.phase)
            report(step)

        return build(
            self.store, recipe or load_recipe(), (), progress, cancel, origin=self.origin, runtime=runtime, force=force
        )

    @property
    def left(self) -> set[str]:
        """The names of the entries in the store, except its lock and the durations."""
        names = {path.name for path in self.store.root.iterdir()} if self.store.root.exists() else set()
        return {name for name in names if name not in (".lock", ".durations.json")}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    source = Store(tmp_path / "source")
    image = publish(source, load_recipe(), CONTENT)
    runtime = publish_runtime(source, load_recipe())
    index = export(image, runtime, tmp_path / "published")
    with serving(tmp_path / "published", tmp_path / "certificates") as (server, authority):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        monkeypatch.setenv("PATH", str(tmp_path / "no programs"))  # a download runs none
        for name in list(os.environ):
            if name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)
        found = Published(server, index, image, Store(tmp_path / "images"))
        found.sign()
        yield found


def test_an_exported_image_is_downloaded_and_intact(published: Published) -> None:
    image = published.download(runtime=True)
    assert image.manifest == published.image.manifest
    assert verify(image) == []
    image.quick_check()
    runtime = published.store.runtime(load_recipe())
    assert runtime is not None
    runtime.quick_check()
    assert runtime.verify() == []
    assert published.left == {image.directory.name, "runtimes"}
    assert list(dict.fromkeys(published.seen)) == ["fetch", "unpack", "publish", "fetch runtime", "runtime"]


def test_a_second_download_asks_the_server_nothing(published: Published) -> None:
    published.download()
    published.server.requests.clear()
    published.download()
    assert published.server.requests == []


def test_an_image_is_downloaded_from_a_directory(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Origin(published.index.as_uri(), KEY.public_key().public_bytes_raw())
    monkeypatch.setattr(Published, "origin", there)
    assert verify(published.download(runtime=True)) == []
    assert published.server.requests == []


def test_the_same_image_is_exported_to_the_same_bytes(published: Published, tmp_path: Path) -> None:
    again = export(published.image, None, tmp_path / "again")
    assert again.with_name(published.archive.name).read_bytes() == published.archive.read_bytes()
    assert sorted(path.suffix for path in again.parent.iterdir()) == [".gz", ".json"]


def test_a_damaged_image_is_not_exported(published: Published, tmp_path: Path) -> None:
    (published.image.directory / ROOTFS).write_bytes(b"other")
    with pytest.raises(ImageError, match=ROOTFS):
        export(published.image, None, tmp_path / "again")


@pytest.mark.attack
def test_an_archive_with_another_checksum_is_rejected_and_removed(published: Published) -> None:
    damaged = bytearray(published.archive.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    published.archive.write_bytes(damaged)
    with pytest.raises(ImageError, match=r"checksum"):
        published.download()
    assert published.left == set()


@pytest.mark.attack
def test_an_index_that_was_changed_after_its_signature_is_rejected(published: Published) -> None:
    published.index.write_bytes(published.index.read_bytes().replace(b'"x86_64"', b'"x86-64"') + b" ")
    with pytest.raises(ImageError, match=r"not signed with the key in image_key"):
        published.download()
    assert [path for path, _ in published.server.requests] == [
        f"/{published.index.name}",
        f"/{published.index.name}.sig",
    ]
    assert published.left == set()


def test_a_signature_of_another_key_is_rejected(published: Published) -> None:
    published.sign(Ed25519PrivateKey.generate())
    with pytest.raises(ImageError, match=r"not signed"):
        published.download()


@pytest.mark.parametrize("signature", [b"", b"x", b"x" * 64, b"x" * 65])
def test_what_is_not_a_signature_is_rejected(published: Published, signature: bytes) -> None:
    Path(f"{published.index}.sig").write_bytes(signature)
    with pytest.raises(ImageError, match=r"not signed"):
        published.download()


def test_a_missing_signature_is_reported(published: Published) -> None:
    Path(f"{published.index}.sig").unlink()
    with pytest.raises(ImageError, match=r"\.sig: the server refuses the download: 404"):
        published.download()


@pytest.mark.attack
def test_the_image_of_another_recipe_is_rejected_before_its_download(published: Published) -> None:
    with pytest.raises(ImageError, match=rf"for ccvm-tui {__version__} .*differs from the one") as caught:
        published.download(replace(load_recipe(), packages=("vim",)))
    assert "--local" in caught.value.hint
    assert all(path.startswith(f"/{published.index.name}") for path, _ in published.server.requests)


def test_an_index_of_an_unknown_format_asks_for_an_update(published: Published) -> None:
    published.index.write_bytes(b'{"format": 2, "anything": []}')
    published.sign()
    with pytest.raises(ImageError, match=r"format 2") as caught:
        published.download()
    assert "update ccvm-tui" in caught.value.hint


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"format": 1}',
        b'{"format": "1"}',
        b'{"format": 1, "version": "", "machine": "", "image": 1}',
    ],
)
def test_what_is_not_an_index_is_rejected(published: Published, document: bytes) -> None:
    published.index.write_bytes(document)
    published.sign()
    with pytest.raises(ImageError, match=r"is not the index of an image"):
        published.download()


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "https://127.0.0.1/x", "", ".x"])
def test_an_archive_outside_the_directory_of_the_index_is_rejected(published: Published, file: str) -> None:
    published.change(file=file)
    with pytest.raises(ImageError, match=r"is not the index of an image"):
        published.download()


def test_an_archive_that_is_none_is_rejected(published: Published) -> None:
    published.replace_archive(b"not compressed")
    with pytest.raises(ImageError, match=r"is not an archive of this format|is damaged"):
        published.download()
    published.replace_archive(gzip.compress(b"not tar"))
    with pytest.raises(ImageError, match=r"is damaged"):
        published.download()
    published.replace_archive(published.archive.read_bytes()[:-9])
    with pytest.raises(ImageError, match=r"is damaged|is not an archive"):
        published.download()
    assert published.left == set()


def test_an_archive_of_other_files_than_its_manifest_is_rejected(published: Published, tmp_path: Path) -> None:
    directory = tmp_path / "changed"
    directory.mkdir()
    unpack(published.archive, directory)
    packed = tmp_path / "changed.tar.gz"

    def pack() -> bytes:
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(directory, ".")
        return packed.read_bytes()

    (directory / "extra").write_text("x")
    published.replace_archive(pack())
    with pytest.raises(ImageError, match=r"extra is not in the manifest"):
        published.download()
    (directory / "extra").unlink()
    (directory / ROOTFS).write_bytes(b"x" * len(CONTENT))
    published.replace_archive(pack())
    with pytest.raises(ImageError, match=rf"{ROOTFS} differs"):
        published.download()
    assert published.left == set()


def test_an_image_without_a_runtime_is_reported(published: Published) -> None:
    table = msgspec.json.decode(published.index.read_bytes())
    del table["runtime"]
    published.index.write_bytes(msgspec.json.encode(table))
    published.sign()
    with pytest.raises(ImageError, match=r"there is no QEMU at"):
        published.download(runtime=True)
    assert verify(published.download()) == []


# --- the connection ---------------------------------------------------------------------------------------------------


def test_a_cut_download_is_continued(published: Published) -> None:
    path = f"/{published.archive.name}"
    published.server.cut[path] = [1 << 20, 1]
    assert verify(published.download()) == []
    ranges = [given for name, given in published.server.requests if name == path]
    assert ranges == ["", f"bytes={1 << 20}-", f"bytes={(1 << 20) + 1}-"]


def test_a_server_without_ranges_starts_again(published: Published) -> None:
    published.server.ranges = False
    published.server.cut[f"/{published.archive.name}"] = [1 << 20]
    assert verify(published.download()) == []


def test_the_next_call_continues_a_download_that_failed(published: Published) -> None:
    path = f"/{published.archive.name}"
    published.server.cut[path] = [1 << 20, 0]
    with pytest.raises(ImageError, match=rf"ended after {1 << 20} of") as caught:
        published.download()
    assert "continues it" in caught.value.hint
    (partial,) = published.store.partials()
    assert partial.stat().st_size == 1 << 20
    assert published.store.list() == []
    assert verify(published.download()) == []
    assert published.server.requests[-1] == (path, f"bytes={1 << 20}-")
    assert published.store.partials() == []


def test_a_continued_download_of_other_content_is_rejected_and_then_started_again(published: Published) -> None:
    partial = published.store.partial(sha256_of(published.archive))
    partial.parent.mkdir()
    partial.write_bytes(b"x" * 1000)
    with pytest.raises(ImageError, match=r"checksum"):
        published.download()
    assert verify(published.download()) == []


def test_an_archive_that_is_larger_than_its_index_says_is_rejected(published: Published) -> None:
    published.change(size=1000)
    with pytest.raises(ImageError, match=r"is larger than its index says"):
        published.download()


def test_an_index_that_is_too_large_is_rejected(published: Published) -> None:
    published.index.write_bytes(b" " * (2 << 20))
    with pytest.raises(ImageError, match=r"is larger than 1024 KiB"):
        published.download()


def test_redirects_are_followed_if_they_are_encrypted(published: Published) -> None:
    published.archive.rename(published.archive.with_name("elsewhere"))
    published.server.redirects[f"/{published.archive.name}"] = "/elsewhere"
    published.server.cut["/elsewhere"] = [1 << 20]
    assert verify(published.download()) == []
    assert published.server.requests[-1] == ("/elsewhere", f"bytes={1 << 20}-")


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_other_redirects_are_refused(published: Published, target: str) -> None:
    published.server.redirects[f"/{published.index.name}"] = target
    with pytest.raises(ImageError, match=r"refuses the download: 302") as caught:
        published.download()
    assert target.partition(":")[0] in caught.value.message


def test_a_server_with_an_unknown_certificate_is_refused(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ImageError, match=r"cannot be reached: .*certificate"):
        published.download()
    assert published.server.requests == []


def test_a_server_that_does_not_exist_is_reported(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Origin("https://127.0.0.1:1/x", published.origin.key)
    monkeypatch.setattr(Published, "origin", there)
    with pytest.raises(ImageError, match=r"https://127.0.0.1:1/x cannot be reached: Connection refused"):
        published.download()


def test_a_silent_server_does_not_prevent_a_cancellation(published: Published) -> None:
    published.server.silent = f"/{published.archive.name}"
    cancel = threading.Event()

    def report(progress: Progress) -> None:
        if "of" in progress.detail:
            cancel.set()

    began = time.monotonic()
    with pytest.raises(BuildCancelled):
        published.download(cancel=cancel, report=report)
    assert time.monotonic() - began < 10 < transfer.TIMEOUT
    assert {name for name in published.left if not name.startswith(".download-")} == set()


def test_a_server_that_stays_silent_counts_as_cut(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    published.server.silent = f"/{published.archive.name}"
    with pytest.raises(ImageError, match=r"no data for"):
        published.download()


FULL = """
import resource, sys
from pathlib import Path
from ccvm_tui.errors import ImageError
from ccvm_tui.image import Store, build, load_recipe
from ccvm_tui.image.origin import origin
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    build(Store(Path(sys.argv[1])), load_recipe(), origin=origin(sys.argv[2], sys.argv[3]))
except ImageError as error:
    print(error.message, error.hint, sep="\\n")
"""


def test_a_full_disk_is_reported_and_left_clean(published: Published) -> None:
    """The limit of a file's size is that of a disk: write(2) fails in the middle of the archive."""
    there = published.origin
    argv = [
        sys.executable,
        "-P",
        "-c",
        FULL,
        str(published.store.root),
        there.url,
        base64.b64encode(there.key).decode(),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    message, hint = done.stdout.splitlines()
    assert "cannot be written: File too large" in message
    assert "free some space" in hint
    assert published.left == set()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1 << 20


def test_an_interrupted_command_keeps_only_what_it_has_received(published: Published) -> None:
    path = f"/{published.archive.name}"
    published.server.silent = path
    there = published.origin
    cache = published.store.root.parent / "cache"
    settings = {
        "CCVM_IMAGE_URL": there.url,
        "CCVM_IMAGE_KEY": base64.b64encode(there.key).decode(),
        "CCVM_AGENT": "none",
        "XDG_CACHE_HOME": str(cache),
    }
    argv = [sys.executable, "-P", "-m", "ccvm_tui", "image", "build"]
    process = subprocess.Popen(argv, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (path, "") in published.server.requests)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    store = Store(cache / "ccvm/images")
    assert {entry.name for entry in store.root.iterdir()} <= {".lock", *(partial.name for partial in store.partials())}
    published.server.silent = ""
    assert subprocess.run(argv, env={**os.environ, **settings}).returncode == 0
    assert verify(store.list()[0]) == []


def test_the_real_image_and_its_qemu_survive_export_and_download(
    image: Image, runtime: Runtime, tmp_path: Path
) -> None:
    index = export(image, runtime, tmp_path / "published")
    Path(f"{index}.sig").write_bytes(KEY.sign(index.read_bytes()))
    store = Store(tmp_path / "images")
    there = Origin(index.as_uri(), KEY.public_key().public_bytes_raw())
    downloaded = build(store, load_recipe(), runtime=True, origin=there)
    assert downloaded.manifest == image.manifest
    assert verify(downloaded) == []
    found = store.runtime(load_recipe())
    assert found is not None
    version = subprocess.run([*found.command, "--version"], capture_output=True, text=True, check=True, env={})
    assert found.version in version.stdout


# --- settings and format ----------------------------------------------------------------------------------------------


def test_version_and_machine_are_replaced_in_the_url() -> None:
    key = base64.b64encode(bytes(32)).decode()
    found = origin("https://example.org/v{version}/{machine}.index.json", key)
    assert found == Origin(f"https://example.org/v{__version__}/{os.uname().machine}.index.json", bytes(32))


@pytest.mark.parametrize("key", ["", "AAAA", "?" * 44, "A" * 43])
def test_an_origin_without_a_valid_key_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=r"image_key"):
        origin("https://example.org/x", key)


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
archives = st.builds(Archive, names, st.integers(1, 1 << 39), digests, digests)


@given(st.builds(Index, st.just(1), st.text(), st.text(), archives, st.none() | archives))
def test_an_index_survives_encoding(index: Index) -> None:
    document = encode(index)
    assert decode(document, KEY.sign(document), KEY.public_key().public_bytes_raw(), "url") == index


@given(st.binary())
def test_any_signed_document_is_an_index_or_an_error(document: bytes) -> None:
    with pytest.raises(ImageError):
        decode(document, KEY.sign(document), KEY.public_key().public_bytes_raw(), "url")
