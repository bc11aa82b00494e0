"""A virtual machine: its specification, the QEMU process that runs it, and the confinement of that process.

====================  =====================================================================
``spec``              MachineSpec: the frozen description of a machine
``arch``              differences between processor architectures
``argv``              MachineSpec → QEMU's command line; a pure function
``launch``            the small program that confines itself and becomes QEMU
``confine``           Landlock, the parent-death signal, limits; also used by the screen process
``grants``            the files that a machine's QEMU may access
``monitor``           QMP
``console``           bounded logs of the guest's console and of QEMU's output
``process``           Machine: start, wait, stop, usage
``accel``             selection of an accelerator that runs guests on this host
``tsc``               the frequency of the host's time stamp counter
``limits``            memory and cores that this host can give to a guest
``diagnostics``       checks of the host, for ``doctor``
``qemu_issues``       known issues of QEMU versions
``status``            the severity of a finding
====================  =====================================================================

The names that the keeper uses are importable from here. They are imported on first use: the launcher lives in
this package too, runs before every guest, and must not pay for asyncio and QMP.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccvm_tui.machine.process import ExitReason, Machine, MachineExit
    from ccvm_tui.machine.spec import Drive, MachineFds, MachineSpec, Share

__all__ = ["Drive", "ExitReason", "Machine", "MachineExit", "MachineFds", "MachineSpec", "Share"]

_MODULES = {
    "Drive": "spec",
    "ExitReason": "process",
    "Machine": "process",
    "MachineExit": "process",
    "MachineFds": "spec",
    "MachineSpec": "spec",
    "Share": "spec",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
