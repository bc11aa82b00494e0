"""Published runtimes of small files."""

from __future__ import annotations

from ccvm_tui.image import Recipe, Runtime, Store, manifest
from ccvm_tui.image.runtime import BIN, LIB, SHARE
from ccvm_tui.image.runtime_build import content_digest


def publish_runtime(store: Store, recipe: Recipe, content: bytes = b"content") -> Runtime:
    with store.locked(), store.workdir() as workdir:
        for name in (f"{BIN}/qemu", f"{LIB}/loader", f"{SHARE}/bios.bin"):
            (workdir / name).parent.mkdir()
            (workdir / name).write_bytes(content)
        files = {str(path.relative_to(workdir)): manifest.record(path) for path in workdir.rglob("*") if path.is_file()}
        made = manifest.RuntimeManifest(
            content_digest(files), "stable", "10.0.1 (made up)", "qemu", "loader", "2026-01-01", files
        )
        manifest.write(workdir, made)
        store.publish_runtime(workdir, made, recipe)
    found = store.runtime(recipe)
    assert found is not None
    return found
