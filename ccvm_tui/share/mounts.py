"""The file system type of a directory. Source: proc_pid_mountinfo(5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
)
"""The types of file systems that other machines can change, which inotify does not report."""


def is_network(path: str, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Return whether the directory ``path`` is on a network file system. Raises OSError if it does not exist."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2:3] == [wanted]:
            kind = after.split()[0]
            # Some file systems in user space are local (ntfs-3g), but those used for projects mostly are not (sshfs).
            return kind in NETWORK or kind.startswith("fuse")
    return False
