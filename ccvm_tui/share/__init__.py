"""The file server, which presents a directory of the host as a file system in the guest.

QEMU's ``vhost-user-fs`` device carries FUSE requests from the guest's kernel (its ``virtiofs`` driver) to this server,
a separate process that can access only the shared directory.

====================  =====================================================================
``fuse``              the FUSE protocol: numbers, structures, replies; no I/O
``vhost``             the vhost-user protocol: guest memory and virtqueues
``nodes``             the files that the guest knows: nodes, handles, cached names
``host``              a host directory as a tree of nodes, writable
``guarded``           a writable tree in which changes are checked (``ccvm_tui.guard``)
``arrivals``          the checks of names, for ``guarded``
``judge``             the decisions about contents, for ``guarded``
``evidence``          reading of files on the host for these decisions
``reporting``         reports of what was blocked or noticed
``edits``             a host directory as a tree of nodes, with the changes kept elsewhere
``locks``             record and flock locks, shared with the host's programs
``walindex``          SQLite's WAL index, mapped by host and guest
``watch``             changes on the host, as reported by inotify
``view``              the replies that make files known to the guest, and their validity
``refresh``           updates of the guest's caches after changes on the host
``instructions``      the calls that the helper in the guest makes
``replies``           the replies to the requests of these calls
``names``, ``files``, ``listings``, ``locking``
                      the handlers of the requests
``server``            dispatches requests to the handlers
``loop``              the event loop of the process
``process``           starts and stops the process
====================  =====================================================================
"""
