"""Questions on a terminal."""

from __future__ import annotations

import sys


def can_ask() -> bool:
    """Return whether standard input and standard error are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def confirmed(question: str, *, default: bool) -> bool:
    """Ask a question that is answered with yes or no, and return the answer.

    An empty line is the ``default``. The end of the input means no.
    """
    print(f"{question} [{'Y/n' if default else 'y/N'}] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        print(file=sys.stderr)
        return False
    return answer.strip().lower() in ("y", "yes", *([""] if default else []))
