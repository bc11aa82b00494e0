"""Starting a worker from a function, so that one which is cancelled before it began leaves no coroutine behind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

from textual.dom import DOMNode


def start(
    node: DOMNode, work: Callable[[], Coroutine[Any, Any, None]], name: str, group: str, *, exclusive: bool = False
) -> None:
    """Run ``work`` as long as ``node`` lives. What it raises ends the app: expected errors are caught in it."""
    node.run_worker(cast("Any", work), name=name, group=group, exclusive=exclusive, exit_on_error=True)
