"""Translation of a MachineSpec into QEMU's command line, without any I/O.

Each group of devices has a function that returns its options. QEMU separates the fields of an option by commas, and
a comma inside a value is doubled (qemu(1), "Device options"): every value that can contain external text goes through
``quoted``. ``-kernel``, ``-initrd`` and ``-append`` take their argument verbatim.
"""

from __future__ import annotations

from ccvm_tui.machine.arch import MachineType
from ccvm_tui.machine.spec import CONTROL_PORT, EGRESS_PORT, SCRATCH_SERIAL, SSH_PORT, MachineFds, MachineSpec

_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

_SHARE_QUEUE = 1024
"""Descriptors of a request queue. A request of 1 MiB needs one per page; several requests fit at once."""

_PORTS = 8
"""The number of virtio-serial ports that the device offers. Port 0 is reserved for a console."""

GUEST_NETWORK = "10.0.2.0/24"
"""The network of slirp, QEMU's user-mode network: the guest is .15, the gateway .2, the name server .3."""


_ALWAYS_KICKED = "event_idx=off"
"""Option for devices that drain a queue completely. With VIRTIO_RING_F_EVENT_IDX the guest kicks only if QEMU has
requested it, and QEMU sends the request without a memory barrier before its last check of the queue (``virtqueue_pop``
in virtio.c, at least up to 7.2). Occasionally neither side sees the other's write, and a request waits for the next."""


def quoted(value: object) -> str:
    """Return ``value`` as a field of a QEMU option, with commas doubled. No other character is special there."""
    return str(value).replace(",", ",,")


def argv(spec: MachineSpec, fds: MachineFds) -> list[str]:
    """Return the complete command line, program first. ``fds`` must be open in QEMU under the same numbers."""
    kind = spec.arch.machines[spec.machine]
    return [
        *spec.command,
        *_base(spec),
        *_machine(spec, kind),
        *_kernel(spec),
        *_monitor(fds),
        *_console(fds),
        *_ports(fds, kind),
        *_drives(spec, kind),
        *_scratch(fds, kind),
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
        # A guest that resets has no disk to boot again from, so QEMU exits. A panic (panic=-1) and, on a microvm,
        # a power-off are resets too.
        "-no-reboot",
        # QMP does not report events from before its handshake. The processors start by command after it, so that
        # the exit of a short-lived guest is reported.
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
        # The file servers map the guest's memory.
        options += ["-object", f"memory-backend-memfd,id=memory,size={spec.memory_mib}M,share=on"]
    if spec.lock_memory:
        options += ["-overcommit", "mem-lock=on"]
    return options


def kernel_cmdline(spec: MachineSpec) -> str:
    """Return the kernel's command line: the image's parameters, then the machine's that the image does not set."""
    kind = spec.arch.machines[spec.machine]
    parameters = spec.cmdline.split()
    already_set = {parameter.partition("=")[0] for parameter in parameters}
    needed = [f"console={spec.arch.console}", "panic=-1", *kind.cmdline]
    if spec.accel == "tcg":
        needed += spec.arch.emulated_cmdline
    if spec.tsc_khz and spec.accel == "tcg" and spec.arch.name == "x86_64":
        # With a known frequency (see the module ``tsc``) the kernel can use the counter as its clock source. Without
        # tsc=reliable it drops the counter on a busy host, where the other clocks lag behind, and counts ticks,
        # many of which are lost there.
        needed += [f"tsc_early_khz={spec.tsc_khz}", "tsc=reliable"]
    missing = [parameter for parameter in needed if parameter.partition("=")[0] not in already_set]
    return " ".join([*parameters, *missing])


def _kernel(spec: MachineSpec) -> list[str]:
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
    options = ["-device", f"virtio-serial-{kind.bus},id=ports,max_ports={_PORTS},{_ALWAYS_KICKED}"]
    if fds.control is not None:
        options += [
            "-chardev", f"socket,id=control,fd={fds.control}",
            "-device", f"virtserialport,bus=ports.0,nr=1,chardev=control,name={CONTROL_PORT}",
        ]  # fmt: skip
    if fds.ssh is not None:
        options += [
            # The socket is already bound, with its final mode. QEMU accepts one connection at a time.
            "-chardev", f"socket,id=ssh,fd={fds.ssh},server=on,wait=off",
            "-device", f"virtserialport,bus=ports.0,nr=2,chardev=ssh,name={SSH_PORT}",
        ]  # fmt: skip
    if fds.egress is not None:
        options += [
            "-chardev", f"socket,id=egress,fd={fds.egress}",
            "-device", f"virtserialport,bus=ports.0,nr={_PORTS - 1},chardev=egress,name={EGRESS_PORT}",
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


def _scratch(fds: MachineFds, kind: MachineType) -> list[str]:
    """Return the scratch disk. If the host's disk is full, the guest gets an error. By default, QEMU would pause it."""
    if fds.scratch is None:
        return []
    return [
        "-add-fd", f"fd={fds.scratch},set=1",
        "-blockdev",
        "driver=raw,node-name=scratch,discard=unmap,"
        "file.driver=file,file.discard=unmap,file.locking=off,file.filename=/dev/fdset/1",
        "-device",
        f"virtio-blk-{kind.bus},drive=scratch,serial={SCRATCH_SERIAL},werror=report,rerror=report",
    ]  # fmt: skip


def _network(spec: MachineSpec, kind: MachineType) -> list[str]:
    if spec.network == "none":
        return ["-nic", "none"]
    device = f"virtio-net-{kind.bus},netdev=net0"
    if kind.bus == "pci":
        device += ",romfile="  # without network boot, no option ROM is needed
    return ["-netdev", f"user,id=net0,net={GUEST_NETWORK},ipv6=off", "-device", device]


def _shares(spec: MachineSpec, fds: MachineFds, kind: MachineType) -> list[str]:
    """Return the virtio file systems and the ports of their helpers, numbered after control and SSH."""
    options: list[str] = []
    for number, (share, share_fds) in enumerate(zip(spec.shares, fds.shares, strict=True)):
        options += [
            "-chardev", f"socket,id=share{number},fd={share_fds.device}",
            "-device", f"vhost-user-fs-{kind.bus},chardev=share{number},tag={quoted(share.tag)},"
            f"num-request-queues=1,queue-size={_SHARE_QUEUE}",
            "-chardev", f"socket,id=helper{number},fd={share_fds.helper}",
            "-device", f"virtserialport,bus=ports.0,nr={3 + number},chardev=helper{number},name={quoted(share.port)}",
        ]  # fmt: skip
    return options


def _entropy(kind: MachineType) -> list[str]:
    return ["-object", "rng-builtin,id=rng0", "-device", f"virtio-rng-{kind.bus},rng=rng0,{_ALWAYS_KICKED}"]


def _sandbox(spec: MachineSpec) -> list[str]:
    return ["-sandbox", _SANDBOX] if spec.seccomp else []
