"""Software bills of materials (CycloneDX 1.6, JSON) for guest images and runtimes.

python3 -m tools.sbom image IMAGE/manifest.json <STATUS       # STATUS is the image's /var/lib/dpkg/status
python3 -m tools.sbom runtime RUNTIME/manifest.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

_FIELD = re.compile(r"(?P<name>[A-Za-z0-9-]+):[ \t]*(?P<value>.*)")


def packages(status: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each installed package in a status file of dpkg. Continuation lines are left out."""
    for paragraph in re.split(r"\n\s*\n", status):
        fields = {match["name"]: match["value"].strip() for match in map(_FIELD.match, paragraph.split("\n")) if match}
        if {"Package", "Version", "Architecture"} <= fields.keys() and fields.get("Status", "").endswith(" installed"):
            yield fields


def image(manifest: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Return the bill of a guest image: its files, and the Debian packages in its root file system.

    Raises ValueError if the status file names no installed package.
    """
    components = []
    for fields in packages(status):
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        location = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}"
        location += f"?arch={quote(architecture)}&distro={quote(manifest['suite'])}"
        components.append({"type": "library", "bom-ref": location, "name": name, "version": version, "purl": location})
    if not components:
        raise ValueError("the status file has no installed package")
    kernel = {"type": "operating-system", "name": "linux", "version": manifest["kernel_release"]}
    return _bill("ccvm-tui guest image", manifest["digest"], [kernel, *components, *_files(manifest)])


def runtime(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bill of a runtime: QEMU, and all files with their checksums."""
    qemu = {"type": "application", "name": "qemu", "version": manifest["version"]}
    return _bill("ccvm-tui runtime", manifest["digest"], [qemu, *_files(manifest)])


def _files(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": record["sha256"]}]}
        for name, record in sorted(manifest["files"].items())
    ]


def _bill(name: str, version: str, components: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": name, "version": version}},
        "components": components,
    }


def main() -> int:
    """Run the command line and return the exit status."""
    match sys.argv[1:]:
        case ["image", path]:
            bill = image(json.loads(Path(path).read_text()), sys.stdin.read())
        case ["runtime", path]:
            bill = runtime(json.loads(Path(path).read_text()))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    print(json.dumps(bill, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
