"""The guest image of Nix: its NixOS is evaluated with stubs, its manifest and initrd are made from a small kernel."""

from __future__ import annotations

import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ccvm_tui.image import images, load_image, manifest
from ccvm_tui.image.cmdline import CMDLINE
from ccvm_tui.image.guestfiles import guest_files
from ccvm_tui.image.initrd import LATER_MODULES, ROOT_MODULES
from ccvm_tui.image.recipe import load_recipe
from nix.guest import assemble
from tests.nix.evaluation import ROOT, EvaluationError, evaluate

GUEST = "f.outputs.packages.x86_64-linux.guest-image"


def guest(overrides: str, result: str) -> Any:
    return evaluate(f"let image = {GUEST}.override {{ {overrides} }}; inherit (image) config; in {result}")


# --- the NixOS of the guest


def test_nix_is_off_by_default() -> None:
    assert guest("", "[ config.nix.enable config.nix.settings config.boot.postBootCommands ]") == [False, {}, ""]


def test_nix_can_be_used_with_binary_caches() -> None:
    nix = 'nix = { enable = true; substituters = [ "https://a" ]; trustedPublicKeys = [ "a-1:k" ]; };'
    assert guest(nix, "config.nix.enable") is True
    assert guest(nix, "config.nix.settings") == {
        "experimental-features": ["nix-command", "flakes"],
        "substituters": ["https://a"],
        "trusted-public-keys": ["a-1:k"],
    }
    assert guest(nix, "config.boot.postBootCommands").endswith("/bin/nix-store --load-db </nix/registration\n")


def test_caches_without_nix_are_an_error() -> None:
    with pytest.raises(EvaluationError, match=r"have no effect without ccvm\.guest\.nix\.enable"):
        guest('nix = { substituters = [ "https://a" ]; };', "image.drvPath")


def test_packages_and_modules_are_added() -> None:
    names = "map (package: package.name) config.environment.systemPackages"
    usual = guest("", names)
    assert guest("extraPackages = [ f.pkgs.nodejs ];", names) == [*usual, "nixpkgs-nodejs"]
    module = "extraGuestModules = [ ({ pkgs, ... }: { environment.systemPackages = [ pkgs.nodejs ]; }) ];"
    assert "nixpkgs-nodejs" in guest(module, names)
    assert guest(module, "image.drvPath") != guest("", "image.drvPath")


def test_an_option_that_nixos_does_not_have_is_an_error() -> None:
    with pytest.raises(EvaluationError, match=r"services\.nonsense' does not exist"):
        guest("extraGuestModules = [ { services.nonsense = true; } ];", "image.drvPath")


def test_the_programs_of_the_default_recipe_are_in_the_guest() -> None:
    names = {name.removeprefix("nixpkgs-") for name in guest("", "map (p: p.name) config.environment.systemPackages")}
    renamed = {
        "bash": "bashInteractive", "fd-find": "fd", "make": "gnumake", "python3": "python3", "sqlite3": "sqlite",
        "openssh-server": "openssh", "openssh-client": "openssh", "ca-certificates": "cacert", "iputils-ping": "iputils",
        "xz-utils": "xz", "cryptsetup-bin": "cryptsetup", "dmsetup": "lvm2", "ncurses-base": "ncurses",
        "ncurses-bin": "ncurses",
    }  # fmt: skip
    # provided by options of NixOS: zsh, sudo, the terminals, and the libraries of nix-ld; the time zones are in the root
    # file system
    by_options = {
        "zsh", "sudo", "ncurses-term", "kitty-terminfo", "foot-terminfo", "tzdata", "tzdata-legacy", "netbase",
        "libatomic1", "libstdc++6",
    }  # fmt: skip
    wanted = {renamed.get(name, name) for name in load_recipe().packages} - by_options
    assert wanted - names == set()
    options = "[ config.programs.zsh.enable config.environment.enableAllTerminfo ]"
    assert guest("", options) == [True, True]


# --- the contract with the guest agent


def script_of(name: str) -> str:
    return (ROOT / "nix" / "guest" / name).read_text()


def test_the_paths_that_the_agent_uses_are_in_the_root_file_system() -> None:
    """Each absolute path in the agent's sources below /usr is made, is a mount, or is written by the agent itself."""
    script = script_of("rootfs.nix")
    made = {f"/{path}" for path in re.findall(r"root/(usr/[\w/.-]+)", script)}
    programs = {f"/usr/bin/{name}" for name in ("zsh",)}  # links to the programs of the system
    files = {file.path for file in guest_files()}
    used = {
        path
        for file in guest_files()
        for path in re.findall(r"/usr/[\w/.-]*\w", file.data.decode())
        if not file.path.startswith("/etc/zsh")
    }
    used -= {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"}  # the PATH
    assert {path for path in used if path not in made | programs | files and not _is_directory(path, files)} == set()


def _is_directory(path: str, files: set[str]) -> bool:
    return any(file.startswith(path + "/") for file in files)


def test_the_agent_can_add_terminals() -> None:
    assert guest("", "config.environment.etc.terminfo") == {"enable": False}
    assert "root/etc/terminfo" in script_of("rootfs.nix")


def test_the_service_starts_the_agent_like_other_guests() -> None:
    inittab = next(file.data.decode() for file in guest_files() if file.path == "/etc/inittab")
    (command,) = re.findall(r"^::respawn:(.*)$", inittab, re.MULTILINE)
    service = guest("", "config.systemd.services.ccvm-guest-agent")
    assert service["serviceConfig"]["ExecStart"] == command
    assert service["serviceConfig"]["KillMode"] == "process"


def test_the_first_program_prepares_the_guest_and_starts_nixos() -> None:
    inittab = next(file.data.decode() for file in guest_files() if file.path == "/etc/inittab")
    (prepare,) = re.findall(r"^::once:(.*)$", inittab, re.MULTILINE)
    lines = [line for line in script_of("init.sh").splitlines() if not line.startswith("#")]
    assert lines[0] == prepare
    assert lines[-1] == "exec @system@/init"


# --- the files of the image


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A kernel.tar with a small kernel whose modules have no dependencies."""
    root = tmp_path / "kernel"
    modules = root / "modules" / "6.18.1"
    modules.mkdir(parents=True)
    names = [*ROOT_MODULES, *LATER_MODULES]
    for name in names:
        (modules / f"{name}.ko").write_bytes(b"\x7fELF module " + name.encode())
    (modules / "modules.dep").write_text("".join(f"{name}.ko:\n" for name in names))
    (modules / "modules.builtin").write_text("")
    (root / "vmlinuz").write_bytes(b"\x7fELF kernel")
    (root / "busybox").write_bytes(b"\x7fELF busybox")
    path = tmp_path / "kernel.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(root, "kernel")
    return path


def build(archive: Path, image: Path, rootfs: bytes = b"rootfs") -> manifest.ImageManifest:
    image.mkdir()
    (image / images.ROOTFS).write_bytes(rootfs)
    assemble.assemble(archive, image, "26.05")
    return manifest.read_image(image)


def test_the_image_is_read_like_one_of_a_recipe(archive: Path, tmp_path: Path) -> None:
    directory = tmp_path / "image"
    build(archive, directory)
    for path in directory.iterdir():  # as Nix does after the build
        os.utime(path, ns=(assemble.STORE_TIME_NS, assemble.STORE_TIME_NS))
    image = load_image(directory)
    image.quick_check()
    assert images.verify(image) == []
    assert image.cmdline == CMDLINE
    assert image.kernel.read_bytes() == b"\x7fELF kernel"
    assert image.digest.encode() in image.initrd.read_bytes(), "the guest agent reports the digest"
    assert (image.manifest.recipe, image.manifest.suite, image.manifest.kernel_release) == ("nixos", "26.05", "6.18.1")


def test_the_image_depends_on_its_inputs_only(archive: Path, tmp_path: Path) -> None:
    first = build(archive, tmp_path / "a")
    again = build(archive, tmp_path / "b")
    other = build(archive, tmp_path / "c", b"another root file system")
    assert first == again
    assert (tmp_path / "a" / "initrd").read_bytes() == (tmp_path / "b" / "initrd").read_bytes()
    assert other.digest != first.digest


def test_the_command_line_of_the_build(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = evaluate(f"{GUEST}.buildCommand").strip().splitlines()[-1].split()
    assert command[0] == "python3"
    image = tmp_path / "image"
    image.mkdir()
    (image / images.ROOTFS).write_bytes(b"rootfs")
    arguments = [{"kernel.tar": str(archive), "$out": str(image)}.get(word, word) for word in command[2:]]
    monkeypatch.setattr("sys.argv", ["assemble.py", *arguments])
    assemble.main()
    assert json.loads((image / manifest.FILENAME).read_text())["suite"] == "26.05"
