"""A linter for Nix: unused bindings and arguments, and the layout of lines.

Linters and formatters for Nix are in nixpkgs only, so `nix flake check` runs those. This one finds what they would most
often find, without nixpkgs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tree_sitter_nix
from tree_sitter import Language, Node, Parser

WIDTH = 100
"""The width of lines of code. Comments and lines with strings may be longer, up to ``MAX_WIDTH``."""

MAX_WIDTH = 150

_PARSER = Parser(Language(tree_sitter_nix.language()))


def lint(source: Path) -> list[str]:
    """Return the problems in a file, each with the number of the line."""
    text = source.read_text(encoding="utf-8")
    tree = _PARSER.parse(text.encode())
    found = [*_layout(text), *_unused(tree.root_node)]
    return [f"{source.name}:{line}: {problem}" for line, problem in sorted(found)]


def _layout(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "white space at the end of the line"
        free = line.lstrip().startswith("#") or '"' in line or "$" in line
        if len(line) > (MAX_WIDTH if free else WIDTH):
            yield number, f"{len(line)} characters"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield text.count("\n") + 1, "the file must end with one newline"


def _unused(node: Node) -> Iterator[tuple[int, str]]:
    names = {
        "let_expression": _bindings,
        "function_expression": _arguments,
    }.get(node.type)
    if names is not None:
        used = set(_used_names(node))
        for name, line in names(node):
            if name not in used and not name.startswith("_"):
                yield line, f"{name} is not used"
    for child in node.children:
        yield from _unused(child)


def _bindings(scope: Node) -> Iterator[tuple[str, int]]:
    for group in _children(scope, "binding_set"):
        for binding in _children(group, "binding"):
            path = next(_children(binding, "attrpath"))
            yield _text(path.children[0]), _line(binding)
        for binding in _children(group, "inherit_from"):
            for name in _inherited(binding):
                yield name, _line(binding)


def _arguments(scope: Node) -> Iterator[tuple[str, int]]:
    for child in scope.children:
        if child.type == "identifier":
            yield _text(child), _line(child)
        if child.type == "formals":
            for formal in _children(child, "formal"):
                name = _text(next(_children(formal, "identifier")))
                if name:  # the grammar has an empty one after the comma of the last argument
                    yield name, _line(formal)


def _used_names(node: Node) -> Iterator[str]:
    if node.type == "variable_expression":
        yield _text(node)
    if node.type == "inherit":
        yield from _inherited(node)
    for child in node.children:
        yield from _used_names(child)


def _inherited(binding: Node) -> list[str]:
    return [_text(name) for names in _children(binding, "inherited_attrs") for name in _children(names, "identifier")]


def _children(node: Node, kind: str) -> Iterator[Node]:
    return (child for child in node.children if child.type == kind)


def _text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def _line(node: Node) -> int:
    return node.start_point[0] + 1
