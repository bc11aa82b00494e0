"""MachineSpec → QEMU's command line. Pure: no file is looked at, no process started.

One function per group of devices; each returns its own options. QEMU separates the parts of an option by
commas, and a comma inside a value is written twice (qemu(1), "Device options"); every value that can hold
text from outside goes through ``quoted``. ``-kernel``, ``-initrd`` and ``-append`` take their argument whole.
"""

from __future__ import annotations

from ccvm_tui.machine.arch import MachineType
from ccvm_tui.machine.spec import CONTROL_PORT, SSH_PORT, MachineFds, MachineSpec

_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

_SHARE_QUEUE = 1024
"""Descriptors of a request queue: enough for requests of 1 MiB in pages, more than one at a time."""

GUEST_NETWORK = "10.0.2.0/24"
"""slirp's network: the guest takes .15, the gateway is .2, the name server .3."""


_ALWAYS_KICKED = "event_idx=off"
"""For devices that empty a queue until nothing is left. With VIRTIO_RING_F_EVENT_IDX the guest kicks only if QEMU has
asked for it, and QEMU asks without a memory barrier before it looks for the last time (virtqueue_pop in virtio.c, up to
version 7.2 at least): now and then neither sees what the other wrote, and a request waits until the next one comes."""


def quoted(value: object) -> str:
    """``value`` as one part of a QEMU option: commas doubled, nothing else is special there."""
    return str(value).replace(",", ",,")


def argv(spec: MachineSpec, fds: MachineFds) -> list[str]:
    """The whole command line, the program first. ``fds`` must be open in QEMU under the same numbers."""
    kind = spec.arch.machines[spec.machine]
    return [
        *spec.command,
        *_base(spec),
        *_machine(spec, kind),
        *_kernel(spec, kind),
        *_monitor(fds),
        *_console(fds),
        *_ports(fds, kind),
        *_drives(spec, kind),
        *_network(spec, kind),
        *_shares(spec, fds, kind),
        *_entropy(kind),
        *_sandbox(spec),
    ]


def _base(spec: MachineSpec) -> list[str]:
    return [
        "-name", f"guest={quoted(spec.name)}",
        "-nodefaults",
        "-no-user-config",
        "-display", "none",
        # A reset is an end: the guest has no disk to come back to. It is also how a panic (panic=-1) and, on
        # a microvm, a power-off become the end of QEMU.
        "-no-reboot",
        # The processors start by command: QMP tells nothing that happened before its handshake, and a guest
        # that ends at once must not end unheard.
        "-S",
    ]  # fmt: skip


def _machine(spec: MachineSpec, kind: MachineType) -> list[str]:
    machine = kind.qemu_name + (f",{kind.properties}" if kind.properties else "")
    if spec.shares:
        machine += ",memory-backend=memory"
    accel = "kvm" if spec.accel == "kvm" else "tcg,thread=multi"
    options = [
        "-machine", machine,
        "-accel", accel,
        "-cpu", "host" if spec.accel == "kvm" else spec.arch.emulated_cpu,
        "-m", f"size={spec.memory_mib}M",
        "-smp", f"cpus={spec.cores},sockets=1,cores={spec.cores},threads=1",
    ]  # fmt: skip
    if spec.shares:
        # The file servers read and write the guest's memory themselves.
        options += ["-object", f"memory-backend-memfd,id=memory,size={spec.memory_mib}M,share=on"]
    if spec.lock_memory:
        options += ["-overcommit", "mem-lock=on"]
    return options


def kernel_cmdline(spec: MachineSpec) -> str:
    """The image's own command line and, where it does not set them already, what this machine needs."""
    kind = spec.arch.machines[spec.machine]
    words = spec.cmdline.split()
    set_already = {word.partition("=")[0] for word in words}
    needed = [f"console={spec.arch.console}", "panic=-1", *kind.cmdline]
    if spec.accel == "tcg":
        needed += spec.arch.emulated_cmdline
    if spec.tsc_khz and spec.accel == "tcg" and spec.arch.name == "x86_64":
        # Told its frequency (see the module tsc) the kernel may also keep time by the counter. It would give it up
        # on a busy host, where its other clocks lag behind, and then count ticks, of which many get lost there.
        needed += [f"tsc_early_khz={spec.tsc_khz}", "tsc=reliable"]
    return " ".join([*words, *(word for word in needed if word.partition("=")[0] not in set_already)])


def _kernel(spec: MachineSpec, kind: MachineType) -> list[str]:
    if spec.kernel is None:
        return []
    options = ["-kernel", str(spec.kernel), "-append", kernel_cmdline(spec)]
    if spec.initrd is not None:
        options += ["-initrd", str(spec.initrd)]
    return options


def _monitor(fds: MachineFds) -> list[str]:
    if fds.qmp is None:
        return []
    return ["-chardev", f"socket,id=qmp,fd={fds.qmp}", "-mon", "chardev=qmp,mode=control,pretty=off"]


def _console(fds: MachineFds) -> list[str]:
    if fds.console is None:
        return []
    return ["-chardev", f"socket,id=console,fd={fds.console}", "-serial", "chardev:console"]


def _ports(fds: MachineFds, kind: MachineType) -> list[str]:
    if fds.control is None and fds.ssh is None:
        return []
    options = ["-device", f"virtio-serial-{kind.bus},id=ports,max_ports=8,{_ALWAYS_KICKED}"]
    if fds.control is not None:
        options += [
            "-chardev", f"socket,id=control,fd={fds.control}",
            "-device", f"virtserialport,bus=ports.0,nr=1,chardev=control,name={CONTROL_PORT}",
        ]  # fmt: skip
    if fds.ssh is not None:
        options += [
            # The socket is bound by us, with its mode, before QEMU exists. QEMU takes one connection at a
            # time and the next one when that has ended.
            "-chardev", f"socket,id=ssh,fd={fds.ssh},server=on,wait=off",
            "-device", f"virtserialport,bus=ports.0,nr=2,chardev=ssh,name={SSH_PORT}",
        ]  # fmt: skip
    return options


def _drives(spec: MachineSpec, kind: MachineType) -> list[str]:
    options: list[str] = []
    for number, drive in enumerate(spec.drives):
        node = f"drive{number}"
        options += [
            "-blockdev",
            f"driver=raw,node-name={node},read-only=on,"
            f"file.driver=file,file.read-only=on,file.filename={quoted(drive.path)}",
            "-device", f"virtio-blk-{kind.bus},drive={node},serial={quoted(drive.serial)}",
        ]  # fmt: skip
    return options


def _network(spec: MachineSpec, kind: MachineType) -> list[str]:
    if spec.network == "none":
        return ["-nic", "none"]
    device = f"virtio-net-{kind.bus},netdev=net0"
    if kind.bus == "pci":
        device += ",romfile="  # no network boot, hence no option ROM to look for
    return ["-netdev", f"user,id=net0,net={GUEST_NETWORK},ipv6=off", "-device", device]


def _shares(spec: MachineSpec, fds: MachineFds, kind: MachineType) -> list[str]:
    """Virtio file systems and the ports of their helpers, which come after control and SSH."""
    options: list[str] = []
    for number, (share, ends) in enumerate(zip(spec.shares, fds.shares, strict=True)):
        options += [
            "-chardev", f"socket,id=share{number},fd={ends.device}",
            "-device", f"vhost-user-fs-{kind.bus},chardev=share{number},tag={quoted(share.tag)},"
            f"num-request-queues=1,queue-size={_SHARE_QUEUE}",
            "-chardev", f"socket,id=helper{number},fd={ends.helper}",
            "-device", f"virtserialport,bus=ports.0,nr={3 + number},chardev=helper{number},name={quoted(share.port)}",
        ]  # fmt: skip
    return options


def _entropy(kind: MachineType) -> list[str]:
    return ["-object", "rng-builtin,id=rng0", "-device", f"virtio-rng-{kind.bus},rng=rng0,{_ALWAYS_KICKED}"]


def _sandbox(spec: MachineSpec) -> list[str]:
    return ["-sandbox", _SANDBOX] if spec.seccomp else []
