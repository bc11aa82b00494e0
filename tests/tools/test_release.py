"""The changelog's section that becomes the text of a release, and the bills of materials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import sbom
from tools.changelog import section

ROOT = Path(__file__).parents[2]

CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

- something

## [1.10.0] - 2026-11-01

### Fixed

- ten

```
## [0.0.1] in an example
```

## [1.1.0] - 2026-10-01

- one

## 1.0.0 (2026-09-01)

[1.10.0]: https://example.org/compare/1.1.0...1.10.0
"""


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("Unreleased", "### Added\n\n- something\n"),
        ("1.10.0", "### Fixed\n\n- ten\n\n```\n## [0.0.1] in an example\n```\n"),
        ("1.1.0", "- one\n"),
    ],
)
def test_a_section_is_extracted_without_its_heading(version: str, expected: str) -> None:
    assert section(CHANGELOG, version) == expected


@pytest.mark.parametrize(
    ("changelog", "version", "message"),
    [
        (CHANGELOG, "1.1", 'no section "## \\[1.1\\]"'),
        (CHANGELOG, "0.0.1", "no section"),
        (CHANGELOG, "1.0.0", "empty"),
        ("## [1.0.0]\n- a\n## [1.0.0]\n- b\n", "1.0.0", "two sections"),
    ],
)
def test_a_missing_section_stops_the_release(changelog: str, version: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        section(changelog, version)


def test_the_changelog_of_this_project_has_a_section_of_unreleased_changes() -> None:
    argv = [sys.executable, "-m", "tools.changelog", "Unreleased"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    changelog = (ROOT / "CHANGELOG.md").read_text()
    done = subprocess.run(argv, input=changelog, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("### Added\n")


STATUS = """\
Package: libstdc++6
Status: install ok installed
Architecture: amd64
Version: 14.2.0-19
Description: library
 Version: 9 is not a field

Package: removed
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: git
Status: install ok installed
Architecture: amd64
Version: 1:2.47.3-0+deb13u1
"""
MANIFEST = {
    "digest": "d1",
    "suite": "trixie",
    "kernel_release": "6.12.1",
    "files": {
        "vmlinux": {"sha256": "aa", "size": 1, "mtime_ns": 1},
        "initrd": {"sha256": "bb", "size": 1, "mtime_ns": 1},
    },
}


def test_the_bill_of_an_image_lists_its_packages_and_files() -> None:
    bill = sbom.image(MANIFEST, STATUS)
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["component"]["version"]) == (
        "CycloneDX",
        "1.6",
        "d1",
    )
    assert [item.get("purl", item["name"]) for item in bill["components"]] == [
        "linux",
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=trixie",
        "pkg:deb/debian/git@1%3A2.47.3-0%2Bdeb13u1?arch=amd64&distro=trixie",
        "initrd",
        "vmlinux",
    ]
    assert bill["components"][-1]["hashes"] == [{"alg": "SHA-256", "content": "aa"}]


def test_an_image_without_packages_has_no_bill() -> None:
    with pytest.raises(ValueError, match="no installed package"):
        sbom.image(MANIFEST, "")


def test_the_bill_of_a_runtime_is_printed(tmp_path: Path) -> None:
    manifest = {"digest": "d2", "version": "10.0.13", "files": MANIFEST["files"]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    argv = [sys.executable, "-m", "tools.sbom", "runtime", str(tmp_path / "manifest.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment)
    assert [item["name"] for item in json.loads(done.stdout)["components"]] == ["qemu", "initrd", "vmlinux"]
