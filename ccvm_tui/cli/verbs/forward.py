"""``ccvm-tui forward``: forward a port of this machine's loopback interface to a port of a guest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.bridging import Ports


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--remove", action="store_true", help="end the forwarding of PORT")
    parser.add_argument("guest", metavar="GUEST", help='its name, a prefix of it, or "." for this directory\'s')
    parser.add_argument(
        "port",
        nargs="?",
        metavar="PORT[:HOST]",
        help="the port in the guest, and the port of this machine (default: the same, or a free one)",
    )


def run(args: argparse.Namespace) -> int:
    """Forward a port and print the address, or list the ports. Raises UserError if that fails."""
    import asyncio

    from ccvm_tui.cli import target
    from ccvm_tui.errors import UserError

    name = target.guest(args.guest)
    if args.port is None:
        if args.remove:
            raise UserError("--remove needs a port", f"`ccvm-tui forward {name}` lists the forwarded ports")
        return asyncio.run(_list(name))
    guest, host = _parse(args.port)
    return asyncio.run(_remove(name, guest, host) if args.remove else _add(name, guest, host))


def _parse(text: str) -> tuple[int, int]:
    """Return the port of the guest, and that of this machine or 0. Raises UserError if ``text`` is not valid."""
    from ccvm_tui.errors import UserError

    guest, colon, host = text.partition(":")
    valid = all(part.isascii() and part.isdigit() and len(part) <= 5 for part in ((guest, host) if colon else (guest,)))
    if not valid:
        error = UserError(f"{text!r} is not PORT or PORT:HOST", "for example, `ccvm-tui forward . 3000:8080`")
        error.exit_status = 2
        raise error
    return int(guest), int(host or 0)


async def _add(name: str, guest: int, host: int) -> int:
    from ccvm_tui.client import connection

    async with await connection.connect(name) as keeper:
        forward = await keeper.forward(guest, host)
    print(f"127.0.0.1:{forward.host}")
    return 0


async def _remove(name: str, guest: int, host: int) -> int:
    from ccvm_tui.client import connection
    from ccvm_tui.errors import UserError

    async with await connection.connect(name) as keeper:
        found = [forward for forward in (await keeper.ports()).forwards if forward.guest == guest]
        chosen = [forward for forward in found if host in (0, forward.host)]
        if not chosen:
            raise UserError(
                f"port {guest} of {name} is not forwarded", f"`ccvm-tui forward {name}` lists the forwarded ports"
            )
        for forward in chosen:
            await keeper.remove_forward(forward.host)
    return 0


async def _list(name: str) -> int:
    from ccvm_tui.cli.table import table
    from ccvm_tui.client import connection

    async with await connection.connect(name) as keeper:
        ports = await keeper.ports()
    print(table(_rows(ports)))
    return 0


def _rows(ports: Ports) -> list[list[str]]:
    """Return the table of a guest's ports."""
    guests = sorted({*ports.listening, *(forward.guest for forward in ports.forwards)})
    rows = [["PORT", "LISTENING", "FORWARDED FROM"]]
    for guest in guests:
        hosts = ", ".join(f"127.0.0.1:{forward.host}" for forward in ports.forwards if forward.guest == guest)
        rows.append([str(guest), "yes" if guest in ports.listening else "no", hosts or "-"])
    return rows
