"""Questions on a terminal."""

from __future__ import annotations

import sys


def can_ask() -> bool:
    """Return whether standard input and standard error are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def chosen(question: str, answers: str) -> str:
    """Ask a question that is answered with one letter, and return it.

    ``answers`` are the letters, the first one in upper case: it is the answer to an empty line and to the end of the
    input.
    """
    print(f"{question} [{'/'.join(answers)}] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        print(file=sys.stderr)
    letter = answer.strip().lower()[:1]
    return letter if letter and letter in answers.lower() else answers[0].lower()


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
