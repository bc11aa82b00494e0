"""The replies to requests that the helper makes for instructions, as if they had been carried out; see ``refresh``."""

from __future__ import annotations

import errno
from typing import Final

from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.instructions import Instruction, Outstanding
from ccvm_tui.share.nodes import failure
from ccvm_tui.share.request import Call, Reply
from ccvm_tui.share.view import View

_ANY_HANDLE: Final = 0


class HelperReplies:
    """The replies for the ``outstanding`` instructions, from the guest's view of the tree."""

    def __init__(self, outstanding: Outstanding, view: View) -> None:
        self._outstanding = outstanding
        self._view = view

    def answer(self, call: Call, body: bytes) -> Reply | None:
        """Return the reply to a request of the helper, or None if the request is not for an instruction."""
        match call.opcode:
            case Op.LOOKUP:
                return self._answer_lookup(call, fuse.name_at(body))
            case Op.MKNOD:
                return self._answer_created(call, fuse.name_at(body, fuse.MKNOD_IN.size))
            case Op.MKDIR:
                return self._answer_created(call, fuse.name_at(body, fuse.MKDIR_IN.size))
            case Op.SYMLINK:
                return self._answer_created(call, fuse.name_at(body))
            case Op.UNLINK | Op.RMDIR:
                return self._answer_removed(call, fuse.name_at(body))
            case Op.RENAME2 | Op.RENAME:
                return self._answer_renamed(call, body)
            case Op.OPEN:
                return fuse.OPEN_OUT.pack(_ANY_HANDLE, self._open_flags(call.node), 0)
            case Op.FLUSH | Op.RELEASE | Op.FSYNC:
                return b""
            case Op.SETATTR:
                return self._answer_renewed(call.node)
            case _:
                return None

    def _answer_renewed(self, number: int) -> bytes:
        reply, node = self._view.renewed(number), self._view.node(number)
        for instruction in self._outstanding:
            if instruction.is_about(node):
                instruction.delivered = node.seen
        return reply

    def _open_flags(self, number: int) -> int:
        """Return the flags with which the helper opens a file: the guest drops its pages, except for a ``flush``.

        The guest sends no FLUSH on close, because it would wait for a write that is waiting for the helper.
        """
        node = self._view.node(number)
        kinds = {instruction.kind for instruction in self._outstanding if instruction.is_of(node)}
        if kinds == {"flush"}:
            return fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
        if node.index is not None:
            node.index.dropped()
        return fuse.FOPEN_NOFLUSH

    def _answer_lookup(self, call: Call, name: bytes) -> Reply | None:
        instruction = self._outstanding.at(call.node, name)
        if instruction is None:
            return None
        source = instruction.directory.id == call.node and instruction.name == name
        if instruction.kind == "create" or (instruction.kind == "rename" and not source):
            return fuse.no_entry(0)
        if instruction.kind == "delete":
            return self._view.former_entry(instruction.directory, name, directory=instruction.is_directory)
        if instruction.kind == "rename":
            assert instruction.new_directory is not None
            reply = self._view.entry_or_none(instruction.new_directory, instruction.new_name)
            if reply is not None:
                return reply
            return self._view.former_entry(instruction.directory, name, directory=instruction.is_directory)
        return None

    def _expected(self, call: Call, name: bytes, kind: str) -> Instruction:
        instruction = self._outstanding.at(call.node, name)
        if instruction is None or instruction.kind != kind:
            raise failure(errno.EPERM)
        self._outstanding.release(instruction)
        return instruction

    def _answer_created(self, call: Call, name: bytes) -> Reply:
        instruction = self._expected(call, name, "create")
        reply = self._view.entry_or_none(instruction.directory, name)
        if reply is None:
            raise failure(errno.ENOENT)
        return reply

    def _answer_removed(self, call: Call, name: bytes) -> Reply:
        instruction = self._expected(call, name, "delete")
        if self._view.is_current(instruction.directory, name):
            raise failure(errno.EBUSY)
        self._view.removed(instruction.directory, name)
        return b""

    def _answer_renamed(self, call: Call, body: bytes) -> Reply:
        offset = fuse.RENAME2_IN.size if call.opcode == Op.RENAME2 else fuse.RENAME_IN.size
        instruction = self._expected(call, fuse.name_at(body, offset), "rename")
        if self._view.is_current(instruction.directory, instruction.name):
            raise failure(errno.EBUSY)
        return b""
