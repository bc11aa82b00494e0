"""Builds of images, agent layers and runtimes with real programs."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ccvm_tui import requirements
from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image import BuildCancelled, Image, Progress, Store, agent_layer, build, load_recipe, mirrors, verify
from ccvm_tui.image.progress import PHASES, Phases
from ccvm_tui.image.recipe import LayerRecipe
from ccvm_tui.image.run import BuildProcess
from ccvm_tui.requirements import MMDEBSTRAP, SQUASHFS, UTIL_LINUX, how_to_install
from tests.waiting import wait_until


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files, which subordinate users can access. Other builds may run meanwhile."""
    with tempfile.TemporaryDirectory(prefix="ccvm-t") as name:
        directory = Path(name)
        directory.chmod(0o755)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr("tempfile.tempdir", None)
        yield directory


def test_the_real_image_is_intact_and_small(image: Image) -> None:
    assert verify(image) == []
    assert image.size < 450 << 20
    assert image.kernel.read_bytes()[:4] == b"\x7fELF"
    assert image.manifest.files.keys() == {"vmlinux", "initrd", "rootfs.squashfs"}


def test_a_second_build_changes_nothing(image: Image) -> None:
    before = image.rootfs.stat()
    assert build(Store(), load_recipe()) == image
    assert image.rootfs.stat() == before


def test_a_cancelled_build_leaves_nothing_behind(tmp_path: Path, scratch: Path) -> None:
    store, cancel, seen = Store(tmp_path / "images"), threading.Event(), []

    def show(progress: Progress) -> None:
        seen.append(progress.phase)
        if progress.phase != "index":
            cancel.set()

    with pytest.raises(BuildCancelled):
        build(store, load_recipe(), (), show, cancel)
    assert seen[-1] != "publish"
    assert store.list() == []
    assert [path.name for path in store.root.iterdir()] == [".lock"]
    assert list(scratch.iterdir()) == []


def test_cleanup_removes_everything_that_a_killed_build_leaves(tmp_path: Path, scratch: Path) -> None:
    store = Store(tmp_path / "images")
    script = (
        "import sys\nfrom pathlib import Path\nfrom ccvm_tui.image import Store, build, load_recipe\n"
        "build(Store(Path(sys.argv[1])), load_recipe(), (), lambda p: print(p.phase, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", script, str(store.root)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "extract":
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL
    wait_until(store.clean_stale, within=60)  # its programs, which hold the lock, must have exited too
    assert [path.name for path in store.root.iterdir()] == [".lock"]
    assert list(scratch.iterdir()) == []


def test_an_unknown_package_is_named_in_the_error(tmp_path: Path) -> None:
    recipe = replace(load_recipe(), packages=("no-such-package-anywhere",))
    with pytest.raises(ImageError, match="no-such-package-anywhere"):
        build(Store(tmp_path / "images"), recipe)
    assert [path.name for path in (tmp_path / "images").iterdir()] == [".lock"]


def test_missing_programs_are_named_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteError, match="mmdebstrap") as caught:
        build(Store(tmp_path / "images"), load_recipe())
    assert caught.value.hint == how_to_install(MMDEBSTRAP, SQUASHFS, UTIL_LINUX)


def test_an_unknown_layer_is_rejected_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cloud"):
        build(Store(tmp_path / "images"), load_recipe(), ("cloud",))
    assert not (tmp_path / "images").exists()


# --- mirrors ----------------------------------------------------------------------------------------------------

TARGETS = """\
Packages|http://third.example/apt/|stable|Other|Other
Translations|http://a.example/debian/|bookworm|Debian|Debian
Packages|http://a.example/debian/|bookworm|Debian|Debian
Packages|http://a.example/debian/|bookworm-updates|Debian|Debian
Packages|http://s.example/sec/|bookworm-security|Debian|Debian-Security
"""


def test_mirrors_are_taken_from_the_machines_apt() -> None:
    assert mirrors.parse_mirrors(TARGETS) == ("http://a.example/debian/", "http://s.example/sec/")


def test_a_derivative_of_debian_leaves_the_mirrors_to_mmdebstrap() -> None:
    assert mirrors.parse_mirrors("Packages|http://u.example/ubuntu/|noble|Ubuntu|Ubuntu\n") == ("", "")


def test_a_distribution_without_apt_leaves_the_mirrors_to_mmdebstrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "os-release").write_text("ID=fedora\n")
    monkeypatch.setattr(requirements, "OS_RELEASE", (tmp_path / "os-release",))
    assert mirrors.source_lines(load_recipe()) == []


def test_a_machine_without_package_lists_gets_a_hint() -> None:
    with pytest.raises(PrerequisiteError) as caught:
        mirrors.parse_mirrors("Translations|http://a.example/debian/|bookworm|Debian|Debian\n")
    assert "apt update" in caught.value.hint


def test_the_configuration_of_this_machines_apt_is_sufficient() -> None:
    lines = mirrors.source_lines(load_recipe())
    assert lines[0].startswith("deb ")
    assert lines[0].endswith(" trixie main")
    assert all(option.startswith("Acquire::") and option.endswith('";') for option in mirrors.apt_options())


def test_the_mirror_of_a_recipe_takes_precedence() -> None:
    recipe = replace(load_recipe(), mirror="http://mine.example/debian")
    assert mirrors.source_lines(recipe) == ["deb http://mine.example/debian trixie main"]


# --- progress ---------------------------------------------------------------------------------------------------


def test_progress_is_monotonic_and_durations_are_stored(tmp_path: Path) -> None:
    seen: list[Progress] = []
    phases = Phases(seen.append, tmp_path / "durations", set(PHASES))
    for phase in PHASES:
        phases.begin(phase)
        phases.tick()
        phases.begin("index")  # late output of a program does not go back to an earlier phase
    phases.finish()
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "%" in str(seen[0])
    again = Phases(seen.append, tmp_path / "durations", set(PHASES))
    again.begin("index")
    assert seen[-1].remaining < 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"index": "long"}', '{"index": null}'])
def test_a_damaged_file_of_durations_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "durations").write_text(text)
    Phases(lambda _: None, tmp_path / "durations", set(PHASES)).begin("index")


# --- programs ---------------------------------------------------------------------------------------------------


def test_a_store_without_space_is_reported_before_the_build(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=16m tmpfs "$XDG_CACHE_HOME" && exec "$@"'
    build_image = (sys.executable, "-P", "-m", "ccvm_tui", "image", "build", "--agent", "none")
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *build_image],
        env=os.environ | {"XDG_CACHE_HOME": str(small)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()) == (
        4,
        [
            f"ccvm-tui: the build of the guest image needs 512 MiB in {small}/ccvm/images, where 16 MiB are free",
            "  → free some space there, or set XDG_CACHE_HOME to a directory with more space",
        ],
    )


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("Err:1 http://mirror.test trixie InRelease\n  Temporary failure resolving 'mirror.test'", "network"),
        ("Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)", "http_proxy"),
        ("Err:1 http://mirror.test trixie InRelease\n  Connection failed [IP: 127.0.0.1 9]", "http_proxy"),
        ("npm error code EAI_AGAIN\nnpm error syscall getaddrinfo", "network"),
        ("FATAL ERROR: Failed to write to output filesystem: No space left on device", "space"),
    ],
)
def test_what_a_program_prints_about_network_and_disk_leads_to_a_hint(output: str, word: str) -> None:
    with (
        pytest.raises(ImageError) as raised,
        BuildProcess(["sh", "-c", 'printf "%s\\n" "$1"; exit 3', "sh", output]) as process,
    ):
        process.follow(lambda _: None, lambda: None, threading.Event())
    assert word in raised.value.hint


def test_a_program_that_fails_is_quoted() -> None:
    with (
        pytest.raises(ImageError, match="because of this"),
        BuildProcess(["sh", "-c", "echo because of this; exit 3"]) as process,
    ):
        process.follow(lambda _: None, lambda: None, threading.Event())


def test_cancelling_terminates_the_program_and_its_children() -> None:
    cancel = threading.Event()
    grandchild: list[str] = []

    def line(text: str) -> None:
        grandchild.append(text)
        cancel.set()

    with pytest.raises(BuildCancelled), BuildProcess(["sh", "-c", "sleep 300 & echo $!; wait"]) as process:
        process.follow(line, lambda: None, cancel)
    wait_until(lambda: not Path(f"/proc/{grandchild[0]}/cwd").exists())


# --- agent layers -----------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A large executable, installed like an agent: a link on PATH to the actual file."""
    real = tmp_path / "share" / "versions" / "1.2.3"
    real.parent.mkdir(parents=True)
    real.write_bytes(Path("/bin/echo").read_bytes() + b"\0" * (11 << 20))
    real.chmod(0o700)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").symlink_to(real)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return real


RECIPE = LayerRecipe("tool", "tool", "", "tool")


def test_the_users_own_installation_is_preferred(installed: Path, tmp_path: Path) -> None:
    source = agent_layer.locate(RECIPE)
    assert source.path == installed
    workdir = tmp_path / "work"
    workdir.mkdir()
    layer = agent_layer.build_layer(source, workdir, lambda: None, threading.Event())
    assert layer.agent == "/opt/ccvm/tool/tool"
    listing = subprocess.run(
        ["unsquashfs", "-lln", str(workdir / "layer.squashfs")], capture_output=True, text=True, check=True
    ).stdout
    assert "squashfs-root/opt/ccvm/agent -> /opt/ccvm/tool/tool" in listing
    assert "squashfs-root/usr/local/bin/tool -> /opt/ccvm/tool/tool" in listing
    assert "-rwxr-xr-x 0/0" in listing
    assert {path.name for path in workdir.iterdir()} == {"layer.squashfs", "manifest.json"}


def test_a_new_version_has_a_new_digest(installed: Path) -> None:
    before = agent_layer.locate(RECIPE).digest()
    assert agent_layer.locate(RECIPE).digest() == before
    installed.write_bytes(installed.read_bytes() + b"\0")
    assert agent_layer.locate(RECIPE).digest() != before


def test_a_script_is_not_mistaken_for_a_complete_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "tool"
    script.write_text("#!/usr/bin/env node\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(PrerequisiteError, match="tool"):
        agent_layer.locate(RECIPE)


def test_the_hint_for_a_missing_agent_names_the_agent_and_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteError) as caught:
        agent_layer.locate(LayerRecipe("claude", "claude", "@x/y-{arch}", "claude"))
    assert "npm" in caught.value.hint


_NPM = (
    "#!/bin/sh"
    """
for package; do case $package in --* | version) ;; *) name=$package ;; esac; done
case $1 in
view) cat {folder}/$name.version ;;
pack) cp {folder}/$name.tgz . ;;
esac
"""
)


class Packages:
    """A program in place of npm, and the packages that it offers. Downloads are no part of what is tested."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "packages"
        self._folder.mkdir()
        npm = folder / "npm"
        npm.write_text(_NPM.format(folder=self._folder))
        npm.chmod(0o755)

    def add(self, name: str, newest: str, suffix: str, file: str, data: bytes) -> None:
        (self._folder / f"{name}.version").write_text(f"{newest}\n")
        with tarfile.open(self._folder / f"{name}@{newest}{suffix}.tgz", "w:gz") as archive:
            entry = tarfile.TarInfo(f"package/{file}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Packages(tmp_path)


def test_a_program_for_an_interpreter_has_it_in_its_layer(packages: Packages, tmp_path: Path) -> None:
    packages.add("tool", "1.0", "-linux", "dist/tool.js", b"js")
    packages.add("node", "26.0", "", "bin/node", b"elf")
    recipe = LayerRecipe("tool", "", "tool", "dist/tool.js", "-linux", "node")
    source = agent_layer.locate(recipe)
    assert (source.version, source.runtime) == ("1.0-linux", "node@26.0")
    packages.add("node", "26.1", "", "bin/node", b"elf")
    assert agent_layer.locate(recipe).digest() != source.digest()
    workdir = tmp_path / "work"
    workdir.mkdir()
    layer = agent_layer.build_layer(source, workdir, lambda: None, threading.Event())
    assert layer.agent == "/opt/ccvm/tool/tool"
    unpacked = tmp_path / "unpacked"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", str(unpacked), str(workdir / "layer.squashfs")], check=True)
    home = unpacked / "opt/ccvm/tool"
    assert (home / "tool").read_text() == (
        '#!/bin/sh\nexec /opt/ccvm/tool/runtime/bin/node /opt/ccvm/tool/dist/tool.js "$@"\n'
    )
    assert (home / "tool").stat().st_mode & (home / "runtime/bin/node").stat().st_mode & stat.S_IXOTH
    assert (home / "dist/tool.js").read_bytes() == b"js"


def test_a_package_without_the_expected_program_is_an_error(packages: Packages, tmp_path: Path) -> None:
    packages.add("tool", "1.0", "", "dist/tool.js", b"js")
    packages.add("node", "26.0", "", "other", b"")
    for binary, missing in (
        ("tool.js", "tool@1.0 has no file tool.js"),
        ("dist/tool.js", "node@26.0 has no file bin/node"),
    ):
        workdir = tmp_path / missing.partition("@")[0]
        workdir.mkdir()
        source = agent_layer.locate(LayerRecipe("tool", "", "tool", binary, "", "node"))
        with pytest.raises(ImageError, match=missing):
            agent_layer.build_layer(source, workdir, lambda: None, threading.Event())
