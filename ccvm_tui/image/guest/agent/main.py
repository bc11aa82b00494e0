"""The guest agent's one loop: the control port, the hooks' pipe, the kernel's log."""

from __future__ import annotations

import os
import select

from . import oom, ports

TYPE_CHECKING = False  # importing typing costs more than it says
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERSION = 1
_CHUNK = 1 << 16
_CONFIGURED = "/run/ccvm/configured"


def main() -> None:
    """Serve until the host says `stop`. Never returns."""
    oom.protect()
    os.umask(0o022)
    Agent(ports.open_port(ports.CONTROL)).run()


class Agent:
    def __init__(self, control: int) -> None:
        self._control = control
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._uid = 0
        self._hooks = b""
        self._say_hello()
        # The host prepares its answer while this is imported.
        from .frames import Decoder

        self._decoder = Decoder()
        # Edge-triggered, since the port reports "hung up" for as long as the host's side is closed.
        self._watch(control, self._read_control, select.EPOLLET)
        if os.path.exists(_CONFIGURED):
            self._attend()
        self._watch(oom_log := oom.open_log(), lambda: self._report_oom(oom_log))

    def run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                self._handlers[descriptor]()

    def send(self, message: dict[str, object]) -> None:
        from .frames import encode

        self._write(encode(message))

    def _say_hello(self) -> None:
        """By hand: the json module would delay the first sign of the guest's life."""
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
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("type"):
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
            settings = configure.parse(message)
            configure.apply(settings, self._phase, self._start_login)
        except configure.CannotConfigure as error:
            self.send({"type": "failed", "message": str(error), "hint": error.hint})
            return
        except Exception as error:  # whatever it is, the host has to hear of it: it waits
            self.send({"type": "failed", "message": repr(error), "hint": ""})
            return
        with open(_CONFIGURED, "w") as file:
            file.write(f"{settings.user.uid} {settings.user.gid}")
        self._attend()
        self.send({"type": "ready"})

    def _attend(self) -> None:
        """Watch what a configured guest reports. An agent that had to start again takes over from here."""
        from . import attention, login, programs, refresh

        with open(_CONFIGURED) as file:
            self._uid, gid = (int(word) for word in file.read().split())
        pipe, ended = attention.open_pipe(gid), login.open_ended()
        self._watch(pipe, lambda: self._report_hooks(pipe))
        self._watch(ended, lambda: self._report_login(ended))
        self._keep(programs.RECORD, programs.start)
        if refresh.is_needed():
            self._keep(refresh.RECORD, refresh.start)

    def _keep(self, record: str, start: Callable[[], int]) -> None:
        """Start a server unless it runs, and again whenever it ends."""
        from . import servers

        server = servers.running(record, start)

        def start_again() -> None:
            self._poll.unregister(server)
            os.close(server)
            servers.ended(record)
            self._keep(record, start)

        self._watch(server, start_again)

    def _phase(self, name: str) -> None:
        self.send({"type": "phase", "name": name})
        with open("/dev/kmsg", "w") as console:  # as the initrd does
            console.write(f"<2>ccvm: setting up {name}\n")

    def _start_login(self) -> None:
        from . import login

        login.serve(ports.open_port(ports.SSH))

    def _report_login(self, ended: int) -> None:
        for sign in os.read(ended, _CHUNK).decode():
            self.send({"type": "event", "kind": "ssh_ended" if sign == "e" else "ssh_free"})

    def _report_oom(self, log: int) -> None:
        for text in oom.killed(log):
            self.send({"type": "event", "kind": "oom", "text": text})

    def _report_hooks(self, pipe: int) -> None:
        from . import attention

        *lines, self._hooks = (self._hooks + os.read(pipe, _CHUNK)).split(b"\n")
        for line in lines:
            if (event := attention.parse(line.decode(errors="replace"))) is not None:
                self.send(event)
