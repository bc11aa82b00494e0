"""A machine for the welcome tour whose checks, image and agent are those that a test sets; the rest is real."""

from __future__ import annotations

import threading

from ccvm_tui.errors import ImageError
from ccvm_tui.image import BuildCancelled
from ccvm_tui.tui.actions.welcome import HostPreparation, Report
from ccvm_tui.tui.model.welcome import AgentState, Finding

FINDINGS = [
    Finding("user", "ok", "uid 1000"),
    Finding("kernel", "ok", "Linux 6.12"),
    Finding("qemu", "ok", "QEMU emulator version 10.0.13"),
    Finding("kvm", "warn", "guests run under emulation (tcg), which is slower: /dev/kvm does not exist",
            "enable virtualization in the firmware and load kvm_intel or kvm_amd"),
    Finding("memory", "ok", "9000 MiB of 16000 MiB free, 4 cores"),
]  # fmt: skip
MISSING = Finding("mksquashfs", "fail", "not installed; it packs the guest image", "`apt install squashfs-tools`")


class SetPreparation(HostPreparation):
    """The machine. A build reports 42%, and lasts until ``finish`` is set or it is cancelled or fails with ``failure``.

    ``built`` are the layers that have been built, and ``cancelled`` the number of builds that were cancelled.
    """

    def __init__(self, *findings: Finding, built: bool = False, agent: AgentState | None = None) -> None:
        self.checks = list(findings or FINDINGS)
        self.state = agent or AgentState("claude", "/usr/local/bin/claude")
        self.built = ["none"] if built else []
        self.cancelled = 0
        self.finish = threading.Event()
        self.failure: ImageError | None = None

    async def findings(self) -> list[Finding]:
        return self.checks

    def image_is_built(self) -> bool:
        return "none" in self.built

    def build(self, layer: str, report: Report, cancel: threading.Event) -> None:
        report(0.42, "42% installing packages (zsh), about 12 s left")
        while not self.finish.wait(0.01):
            if cancel.is_set():
                self.cancelled += 1
                raise BuildCancelled("the build was cancelled")
        if self.failure is not None:
            raise self.failure
        self.built.append(layer)

    def agent(self) -> AgentState:
        return self.state
