"""One virtual machine: what it is made of, the process that runs it, and what keeps that process in.

====================  =====================================================================
``spec``              MachineSpec: everything that decides what the guest sees, frozen
``arch``              what differs between processor architectures
``argv``              MachineSpec → QEMU's command line; a pure function
``launch``            the small program that confines itself and becomes QEMU
``confine``           Landlock, the parent-death signal, limits; also used by the screen process
``grants``            which files a given machine's QEMU may touch
``monitor``           QMP
``console``           the guest's console and QEMU's own words, kept and bounded
``process``           Machine: start, wait, stop, usage
``accel``             which accelerator really runs guests here
``limits``            memory and cores that this host can give
``checks``            what the host lacks, for ``doctor``
``damage``            versions of QEMU that are known to hurt guests
``status``            how serious a finding is
====================  =====================================================================

The names that the keeper uses can be had from here. They are loaded when asked for: the launcher lives in
this package too, it runs before every guest, and it must not pay for asyncio and QMP.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccvm_tui.machine.process import ExitReason, Machine, MachineExit
    from ccvm_tui.machine.spec import Drive, MachineFds, MachineSpec, Share

__all__ = ["Drive", "ExitReason", "Machine", "MachineExit", "MachineFds", "MachineSpec", "Share"]

_HOME = {
    "Drive": "spec",
    "ExitReason": "process",
    "Machine": "process",
    "MachineExit": "process",
    "MachineFds": "spec",
    "MachineSpec": "spec",
    "Share": "spec",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
