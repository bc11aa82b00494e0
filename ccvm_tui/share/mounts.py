"""The type of file system that a directory is on. Source: proc_pid_mountinfo(5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
)
"""Types of file systems that other machines change as well, which inotify does not report."""


def is_network(path: str, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether other machines may change what is in the directory ``path``. Raises OSError when it is not there."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2:3] == [wanted]:
            kind = after.split()[0]
            # File systems of user space: some are local disks (ntfs-3g), most of those for work are not (sshfs).
            return kind in NETWORK or kind.startswith("fuse")
    return False
