"""The dispatcher of FUSE requests. It runs in one thread; operations that may block for long run in worker threads."""

from __future__ import annotations

import errno
import logging
import struct
from collections.abc import Callable

from ccvm_tui.share import fuse
from ccvm_tui.share.files import Files
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.listings import Listings
from ccvm_tui.share.locking import Locking
from ccvm_tui.share.locks import Locks
from ccvm_tui.share.names import Names
from ccvm_tui.share.nodes import failure
from ccvm_tui.share.request import BODY_MAX, NO_REPLY, Call, Reply, parse_call
from ccvm_tui.share.vhost import Request, VhostError
from ccvm_tui.share.view import Caches, View
from ccvm_tui.share.workers import Workers

log = logging.getLogger(__name__)


class Server:
    """Handles the requests for ``tree``. ``view`` is the guest's view of it.

    ``call_soon`` can be called from any thread and runs a function in the server's thread.
    """

    def __init__(
        self,
        tree: HostTree,
        view: View,
        caches: Caches,
        locks: Locks,
        call_soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._tree = tree
        self._caches = caches
        self._files = Files(tree, view, caches, locks, Workers(call_soon))
        self._operations: dict[int, Callable[[Call, bytes], Reply]] = {
            Op.INIT: self._init,
            Op.DESTROY: self._destroy,
            Op.STATFS: self._statfs,
            **Names(tree, view, caches).operations,
            **Listings(tree, view).operations,
            **self._files.operations,
            **Locking(tree, caches, locks).operations,
        }

    def handle(self, request: Request) -> None:
        """Handle one request and answer it. Raises VhostError if the request is malformed."""
        call, first = parse_call(request)
        try:
            reply = self._dispatch(call, first)
        except OSError as error:
            call.fail(error.errno or errno.EIO)
        except VhostError:
            raise
        except (ValueError, OverflowError, struct.error) as error:
            log.debug("request %d: %s", call.opcode, error)
            call.fail(errno.EINVAL)
        except Exception:  # a bug in one handler must not end the guest
            log.exception("request %d failed", call.opcode)
            call.fail(errno.EIO)
        else:
            if reply is NO_REPLY:
                request.finish(0)
            elif isinstance(reply, bytes):
                call.answer(reply)

    def _dispatch(self, call: Call, first: bytes) -> Reply:
        if call.opcode == Op.WRITE:
            return self._files.write(call)
        readable = call.request.readable
        if len(readable) > 1:
            if sum(len(part) for part in readable) > BODY_MAX:
                raise failure(errno.E2BIG)
            first = b"".join(readable)
        elif len(readable[0]) > BODY_MAX:
            raise failure(errno.E2BIG)
        body = first[fuse.IN_HEADER.size :]
        if call.opcode == Op.READ:
            return self._files.read(call, body)
        helper_reply = self._caches.answer(call, body)
        if helper_reply is not None:
            return helper_reply
        operation = self._operations.get(call.opcode)
        if operation is None:
            raise failure(errno.ENOSYS)
        return operation(call, body)

    def _init(self, _: Call, body: bytes) -> bytes:
        major, _minor, read_ahead, flags = fuse.INIT_IN.unpack_from(body)
        if major != fuse.MAJOR:
            raise failure(errno.EPROTO)
        flags &= fuse.WANTED
        return fuse.INIT_OUT.pack(
            fuse.MAJOR, fuse.MINOR, max(read_ahead, fuse.MAX_WRITE), flags, 64, 48, fuse.MAX_WRITE, 1,
            fuse.MAX_WRITE // fuse.PAGE, 0, 0, 0,
        )  # fmt: skip

    def _destroy(self, _: Call, __: bytes) -> bytes:
        return b""

    def _statfs(self, _: Call, __: bytes) -> bytes:
        usage = self._tree.usage()
        return fuse.STATFS_OUT.pack(
            usage.f_blocks, usage.f_bfree, usage.f_bavail, usage.f_files, usage.f_ffree,
            usage.f_bsize, usage.f_namemax, usage.f_frsize, 0,
        )  # fmt: skip
