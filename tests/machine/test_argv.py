"""QEMU's command line, in particular with arbitrary bytes in paths."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.errors import PrerequisiteError
from ccvm_tui.machine import Drive, MachineFds, MachineSpec, Share
from ccvm_tui.machine.arch import host_arch
from ccvm_tui.machine.argv import argv, kernel_cmdline, quoted
from ccvm_tui.machine.spec import ShareFds

X86 = host_arch("x86_64")
ARM = host_arch("aarch64")

SPEC = MachineSpec(
    kernel=Path("/i/vmlinux"),
    initrd=Path("/i/initrd"),
    drives=(Drive(Path("/i/rootfs.squashfs"), "rootfs"), Drive(Path("/i/layer"), "layer0")),
    cmdline="quiet",
    shares=(Share(),),
    arch=X86,
)
FDS = MachineFds(qmp=3, console=4, control=5, ssh=6, shares=(ShareFds(device=7, helper=8),))

# File names may contain all bytes except NUL and the slash. Bytes that are not UTF-8 become lone surrogates.
names = st.binary(min_size=1, max_size=40).map(
    lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"_").decode("utf-8", "surrogateescape")
)


def parts(option: str) -> dict[str, str]:
    """Parse an option as QEMU does (``opts_parse`` in util/qemu-option.c): a doubled comma is a comma."""
    pieces, current, rest = [], "", option
    while rest:
        if rest.startswith(",,"):
            current, rest = current + ",", rest[2:]
        elif rest.startswith(","):
            pieces.append(current)
            current, rest = "", rest[1:]
        else:
            current, rest = current + rest[0], rest[1:]
    pieces.append(current)
    return {key: value for key, _, value in (piece.partition("=") for piece in pieces)}


def values(command: list[str], option: str) -> list[str]:
    return [command[at + 1] for at, argument in enumerate(command) if argument == option]


@given(names)
def test_quoting_preserves_any_name(name: str) -> None:
    assert parts(f"first,path={quoted(name)},last=1") == {"first": "", "path": name, "last": "1"}


@given(names)
def test_no_path_adds_or_changes_an_option(image: str) -> None:
    spec = dataclasses.replace(SPEC, drives=(Drive(Path("/images") / image, "rootfs"),))
    command = argv(spec, FDS)
    plain = argv(dataclasses.replace(SPEC, drives=SPEC.drives[:1]), FDS)
    assert len(command) == len(plain)
    (drive,) = (parts(value) for value in values(command, "-blockdev"))
    assert drive["file.filename"] == str(Path("/images") / image)
    assert drive["read-only"] == "on"


def test_devices_have_the_suffix_of_their_bus() -> None:
    assert any(
        argument.startswith("vhost-user-fs-device,chardev=share0,tag=workspace,") for argument in argv(SPEC, FDS)
    )
    q35 = argv(dataclasses.replace(SPEC, machine="q35"), FDS)
    assert any(argument.startswith("vhost-user-fs-pci,chardev=share0,tag=workspace,") for argument in q35)
    assert not [argument for argument in q35 if "-device" in argument and argument != "-device"]


def test_shares_make_guest_memory_mappable_by_the_file_servers() -> None:
    command = argv(SPEC, FDS)
    assert parts(values(command, "-machine")[0])["memory-backend"] == "memory"
    assert [value for value in values(command, "-object") if "memfd" in value] == [
        f"memory-backend-memfd,id=memory,size={SPEC.memory_mib}M,share=on"
    ]
    without = argv(dataclasses.replace(SPEC, shares=()), dataclasses.replace(FDS, shares=()))
    assert not [argument for argument in without if "memfd" in argument]


def test_a_share_has_a_port_for_its_helper() -> None:
    ports = [parts(value) for value in values(argv(SPEC, FDS), "-device") if value.startswith("virtserialport")]
    assert [port["name"] for port in ports] == ["ccvm.control", "ccvm.ssh", "ccvm.share.workspace"]
    assert len({port["nr"] for port in ports}) == 3


def test_drives_keep_their_order_and_serials() -> None:
    disks = [parts(value) for value in values(argv(SPEC, FDS), "-device") if value.startswith("virtio-blk")]
    assert [disk["serial"] for disk in disks] == ["rootfs", "layer0"]


def test_the_network_is_optional() -> None:
    command = argv(dataclasses.replace(SPEC, network="none"), FDS)
    assert values(command, "-nic") == ["none"]
    assert not values(command, "-netdev")


def test_ports_without_descriptors_are_omitted() -> None:
    command = argv(dataclasses.replace(SPEC, shares=()), MachineFds(console=4))
    assert values(command, "-chardev") == ["socket,id=console,fd=4"]
    assert not [value for value in values(command, "-device") if "serial" in value.partition(",")[0]]


def test_the_seccomp_filter_is_on_unless_disabled() -> None:
    assert values(argv(SPEC, FDS), "-sandbox") == [
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    ]
    assert not values(argv(dataclasses.replace(SPEC, seccomp=False), FDS), "-sandbox")


def test_each_accelerator_has_its_processor_model() -> None:
    assert values(argv(SPEC, FDS), "-cpu") == ["max,-erms,-fsrm"]
    assert values(argv(dataclasses.replace(SPEC, arch=ARM), FDS), "-cpu") == ["max"]
    kvm = argv(dataclasses.replace(SPEC, accel="kvm"), FDS)
    assert (values(kvm, "-accel"), values(kvm, "-cpu")) == (["kvm"], ["host"])


def test_memory_can_be_locked() -> None:
    assert values(argv(dataclasses.replace(SPEC, lock_memory=True), FDS), "-overcommit") == ["mem-lock=on"]


def test_kernel_parameters_of_the_image_take_precedence() -> None:
    real = dataclasses.replace(SPEC, accel="kvm")
    assert kernel_cmdline(real).split() == ["quiet", "console=ttyS0", "panic=-1", "reboot=t", "loglevel=3"]
    own = dataclasses.replace(real, cmdline="panic=0 console=hvc0")
    assert kernel_cmdline(own).split() == ["panic=0", "console=hvc0", "reboot=t", "loglevel=3"]


def test_emulated_guests_have_expensive_hardening_disabled() -> None:
    assert {"mitigations=off", "init_on_alloc=0", "no_timer_check", "norandmaps"} <= set(kernel_cmdline(SPEC).split())
    assert "init_on_alloc=1" in kernel_cmdline(dataclasses.replace(SPEC, cmdline="init_on_alloc=1")).split()


def test_emulated_guests_get_the_counters_frequency() -> None:
    """On a busy host, a microvm that had to measure it hung without any message."""
    spec = dataclasses.replace(SPEC, tsc_khz=2_596_120)
    assert "tsc_early_khz=2596120" in kernel_cmdline(spec).split()
    assert "tsc=reliable" in kernel_cmdline(spec).split()
    for other in ({"accel": "kvm"}, {"arch": ARM}, {"tsc_khz": 0}):
        assert "tsc_early_khz" not in kernel_cmdline(dataclasses.replace(spec, **other))
    assert "tsc_early_khz=1" in kernel_cmdline(dataclasses.replace(spec, cmdline="tsc_early_khz=1")).split()


def test_the_architecture_decides_program_and_console() -> None:
    command = argv(dataclasses.replace(SPEC, arch=ARM), FDS)
    assert command[0] == "qemu-system-aarch64"
    assert "console=ttyAMA0" in values(command, "-append")[0]
    with pytest.raises(PrerequisiteError, match="vax"):
        host_arch("vax")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"machine": "pc"}, "no machine type 'pc'"),
        ({"cores": 0}, "must be positive"),
        ({"memory_mib": 0}, "must be positive"),
        ({"shares": (Share("one"), Share("one"))}, "duplicate share tags"),
    ],
)
def test_impossible_machines_are_rejected(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(SPEC, **wrong)


def test_names_that_qemu_would_truncate_are_rejected() -> None:
    with pytest.raises(ValueError, match="serial of a disk"):
        Drive(Path("/x"), "s" * 21)
    with pytest.raises(ValueError, match="tag of a file system"):
        Share("t" * 36)
