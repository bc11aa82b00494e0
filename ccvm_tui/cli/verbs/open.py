"""``ccvm-tui open``: open a web page that a program in a guest wants to show."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.guest import Link


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--list", action="store_true", help="print the addresses without a question")
    parser.add_argument("-y", "--yes", action="store_true", help="open the newest page without a question")
    parser.add_argument("guest", nargs="?", metavar="GUEST", help="default: this directory's guest")


def run(args: argparse.Namespace) -> int:
    """Ask about each page, newest first, and return 1 if there is none. Raises UserError if one cannot be opened."""
    import asyncio

    from ccvm_tui.cli import question, target

    name = target.guest(args.guest)
    return asyncio.run(_answer(name, ask=not args.yes, only_list=args.list or not (args.yes or question.can_ask())))


async def _answer(name: str, *, ask: bool, only_list: bool) -> int:
    from ccvm_tui.cli import question
    from ccvm_tui.client import browser, connection

    async with await connection.connect(name) as keeper:
        links = (await keeper.info()).links
        if not links:
            print(f"no program in {name} wants to open a page", file=sys.stderr)
            return 1
        for link in reversed(links):
            if only_list:
                print(link.address)
                continue
            print(_description(name, link), file=sys.stderr)
            if ask and not question.confirmed("Open it in your browser?", default=False):
                await keeper.answer_link(link.id, opened=False)
                continue
            await keeper.answer_link(link.id, opened=True)
            if not browser.open_page(link.address):
                print("there is no browser on this machine; open the address yourself:", file=sys.stderr)
                print(link.address)
            break
    return 0


def _description(name: str, link: Link) -> str:
    from ccvm_tui import weblinks

    program = f"{name}/{link.session}" if link.session else name
    lines = [f"{program} wants to open a page of {weblinks.host_of(link.address)}:", f"  {link.address}"]
    if link.port:
        lines.append(f"  It is a login. Port {link.port} will be forwarded to the guest, where the program waits.")
    return "\n".join(lines)
