"""The guest agent's event loop: the control port, the pipe of the hooks, and the kernel's log."""

from __future__ import annotations

import os
import select

from . import oom, ports

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERSION = 1
"""The version of the control protocol."""

_CHUNK = 1 << 16
_CONFIGURED = "/run/ccvm/configured"


def main() -> None:
    """Run the agent until the host sends ``stop``. Never returns."""
    oom.protect()
    os.umask(0o022)
    Agent(ports.open_port(ports.CONTROL)).run()


class Agent:
    """The guest agent. ``control`` is the descriptor of the control port."""

    def __init__(self, control: int) -> None:
        self._control = control
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._uid = 0
        self._files: list[dict[str, Any]] = []
        self._hooks = b""
        self._send_hello()
        # imported after hello, while the host prepares its answer
        from . import scratch
        from .frames import Decoder

        configured = os.path.exists(_CONFIGURED)
        self._disk = None if configured else scratch.start()
        self._decoder = Decoder()
        # Edge-triggered, because the port reports EPOLLHUP as long as the host's side is closed.
        self._watch(control, self._read_control, select.EPOLLET)
        if configured:
            self._watch_services()
        self._watch(oom_log := oom.open_log(), lambda: self._report_oom(oom_log))

    def run(self) -> None:
        """Dispatch events. Never returns."""
        while True:
            for descriptor, _ in self._poll.poll():
                self._handlers[descriptor]()

    def send(self, message: dict[str, object]) -> None:
        """Send a message to the host. Blocks until it is written."""
        from .frames import encode

        self._write(encode(message))

    def _send_hello(self) -> None:
        """Send ``hello`` without a JSON encoder, whose import would delay it."""
        with open("/run/ccvm/image") as file:
            image = file.read().strip()
        configured = "true" if os.path.exists(_CONFIGURED) else "false"
        body = (
            f'{{"type":"hello","version":{VERSION},"image":"{image}",'
            f'"agent_pid":{os.getpid()},"configured":{configured}}}'
        ).encode()
        self._write(len(body).to_bytes(4, "big") + body)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._control, view) :]

    def _watch(self, descriptor: int, handler: Callable[[], None], flags: int = 0) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN | flags)

    def _read_control(self) -> None:
        os.set_blocking(self._control, False)
        received = bytearray()
        try:
            while chunk := os.read(self._control, _CHUNK):
                received += chunk
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(self._control, True)
        for message in self._decoder.feed(bytes(received)):
            self._dispatch(message)

    def _dispatch(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "files":  # several messages, because a message is limited in size; ``configure`` follows
                self._files += message.get("files", ())
            case "configure":
                self._configure(message)
            case "request":
                from . import requests

                self.send(requests.answer(message))
            case "stop":
                from . import power

                power.off(self._uid)

    def _configure(self, message: dict[str, Any]) -> None:
        from . import configure

        try:
            settings = configure.parse({**message, "files": self._files})
            self._files = []
            configure.apply(settings, self._disk, self._phase, self._start_login)
        except configure.CannotConfigure as error:
            self.send({"type": "failed", "message": str(error), "hint": error.hint})
            return
        except Exception as error:  # the host waits, so every error must be reported
            self.send({"type": "failed", "message": repr(error), "hint": ""})
            return
        with open(_CONFIGURED, "w") as file:
            file.write(f"{settings.user.uid} {settings.user.gid}")
        self._watch_services()
        self.send({"type": "ready"})

    def _watch_services(self) -> None:
        """Watch the reports and servers of a configured guest. A restarted agent takes them over here."""
        from . import attention, login, programs, refresh

        with open(_CONFIGURED) as file:
            self._uid, gid = (int(number) for number in file.read().split())
        pipe, ssh_status = attention.open_pipe(gid), login.open_status()
        self._watch(pipe, lambda: self._report_hooks(pipe))
        self._watch(ssh_status, lambda: self._report_ssh(ssh_status))
        self._keep_running(programs.RECORD, programs.start)
        if refresh.is_needed():
            self._keep_running(refresh.RECORD, refresh.start)
        if ports.find(ports.EGRESS) is not None:
            from . import gate

            self._keep_running(gate.RECORD, gate.start)

    def _keep_running(self, record: str, start: Callable[[], int]) -> None:
        """Start a server unless it runs, and restart it whenever it exits."""
        from . import servers

        server = servers.ensure_running(record, start)

        def restart() -> None:
            self._poll.unregister(server)
            os.close(server)
            servers.reap(record)
            self._keep_running(record, start)

        self._watch(server, restart)

    def _phase(self, name: str) -> None:
        self.send({"type": "phase", "name": name})
        with open("/dev/kmsg", "w") as console:  # in the format of the initrd's messages
            console.write(f"<2>ccvm: setting up {name}\n")

    def _start_login(self) -> None:
        from . import login

        login.serve(ports.open_port(ports.SSH))

    def _report_ssh(self, ssh_status: int) -> None:
        for status in os.read(ssh_status, _CHUNK).decode():
            self.send({"type": "event", "kind": "ssh_ended" if status == "e" else "ssh_free"})

    def _report_oom(self, log: int) -> None:
        for text in oom.killed(log):
            self.send({"type": "event", "kind": "oom", "text": text})

    def _report_hooks(self, pipe: int) -> None:
        from . import attention

        lines, self._hooks = attention.split(self._hooks, os.read(pipe, _CHUNK), _CHUNK)
        for line in lines:
            if (event := attention.parse(line.decode(errors="replace"))) is not None:
                self.send(event)
