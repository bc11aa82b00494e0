"""The file server: a directory of the host as a file system of the guest.

QEMU's ``vhost-user-fs`` device carries FUSE requests from the guest's kernel (its ``virtiofs`` driver) to this server,
a process of its own that may touch the shared directory and nothing else.

====================  =====================================================================
``fuse``              the FUSE protocol: numbers, structures, replies; pure
``vhost``             the vhost-user protocol: guest memory and virtqueues
``nodes``             what the guest knows: nodes, handles, cached names
``host``              a directory of the host as a tree of nodes
``edits``             the same, read-only: changes stay in memory
``locks``             record and flock locks, shared with the host's programs
``walindex``          SQLite's WAL index, mapped by both sides
``watch``             changes on the host, as inotify reports them
``view``              what the guest knows, and for how long
``refresh``           how the guest's caches follow a change on the host
``instructions``      the calls that the helper in the guest is to make
``names``, ``files``, ``listings``, ``locking``
                      what requests do
``server``            one request after the other
``loop``              all that the process waits for
``process``           the server as its parent sees it
====================  =====================================================================
"""
