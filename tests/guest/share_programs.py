"""Programs that tests run in the project's directory, in a guest and on the host."""

from __future__ import annotations

APPEND = """
import os, sys
for between in ("nothing", "fstat", "fsync", "read", "lseek"):
    fd = os.open("log", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    want = b""
    for i in range(100):
        line = b"%s line %d\\n" % (between.encode(), i)
        os.write(fd, line)
        want += line
        if between == "fstat": os.fstat(fd)
        if between == "fsync" and i % 20 == 0: os.fsync(fd)
        if between == "read": os.pread(fd, 10, 0)
        if between == "lseek": os.lseek(fd, 0, os.SEEK_SET)
    os.close(fd)
    assert open("log", "rb").read() == want, between
"""

UNNAMED = """
import mmap, os, tempfile
fd = os.open("u", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
os.write(fd, b"0123456789")
os.unlink("u")
assert os.fstat(fd).st_size == 10
os.ftruncate(fd, 8192)
with mmap.mmap(fd, 8192) as m: m[5000:5003] = b"abc"
assert os.pread(fd, 3, 5000) == b"abc"
os.ftruncate(fd, 4)
os.fchmod(fd, 0o600); os.utime(fd, (1, 1)); os.fsync(fd)
assert os.pread(fd, 99, 0) == b"0123" and os.fstat(fd).st_mtime == 1
copy = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
assert os.read(copy, 9) == b"0123"
old = os.open("v", os.O_RDWR | os.O_CREAT | os.O_TRUNC); os.write(old, b"old")
with open("w", "w") as new: new.write("new")
os.rename("w", "v")
os.ftruncate(old, 2)
assert os.pread(old, 9, 0) == b"ol" and open("v").read() == "new"
with tempfile.TemporaryFile(dir=".") as file:
    file.write(b"hello"); file.flush(); file.truncate(3); file.seek(0)
    assert file.read() == b"hel" and os.fstat(file.fileno()).st_nlink == 0
t = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o644)
os.write(t, b"hel")
os.link(f"/proc/self/fd/{t}", "named", dst_dir_fd=os.open(".", 0), follow_symlinks=True)
assert open("named").read() == "hel" and os.fstat(t).st_nlink == 1
os.unlink("named"); os.unlink("v")
os.mkdir("d"); d = os.open("d", os.O_RDONLY); os.rmdir("d"); assert os.listdir(d) == []
"""

MAPPED = """
import mmap, os, threading
writer = os.open("mapped", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
os.write(writer, bytes(8192))
mapping = mmap.mmap(os.open("mapped", os.O_RDONLY), 8192, prot=mmap.PROT_READ)
done = threading.Event()
def read():
    while not done.is_set():
        mapping[0], mapping[8191]
reader = threading.Thread(target=read)
reader.start()
try:
    for number in range(300):
        data = number.to_bytes(4, "little") * 16
        os.pwrite(writer, data, 4096 - 32)
        assert mapping[4064:4128] == data, number
finally:
    done.set()
    reader.join()
for data in (b"a" * 3_000_000, b"b" * 70_001, b"c"):
    with open("direct", "wb", buffering=0) as file:
        assert file.write(data) == len(data)
        with open("direct", "rb") as other:
            assert other.read() == data
        assert file.write(data) == len(data)
    with open("direct", "ab", buffering=0) as file:
        file.write(b"end")
    assert open("direct", "rb").read() == data * 2 + b"end"
"""

WATCH = """
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
assert libc.inotify_add_watch(fd, b"watched", 0x3CE) >= 0
print("watching", flush=True)
while True:
    data = os.read(fd, 65536)
    at = 0
    while at < len(data):
        _, mask, _, length = struct.unpack_from("iIII", data, at)
        print(f"{mask & 0xFFF:#x}", data[at + 16 : at + 16 + length].rstrip(b"\\0").decode(), flush=True)
        at += 16 + length
"""

READ_LOCKS = """
import fcntl, subprocess, sys
open("file", "w").write("x" * 100)
TRY = "import fcntl, sys; fcntl.lockf(open('file', 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
def free():
    return subprocess.run([sys.executable, "-c", TRY], stderr=subprocess.DEVNULL).returncode == 0
def hold():
    file = open("file"); fcntl.lockf(file, fcntl.LOCK_SH); return file
file = hold()
assert not free(), "held"
file.close()
assert free(), "closed"
file = hold()
open("file").close()
assert free(), "another descriptor was closed"
file.close()
file = hold()
file.close()
assert free(), "closed again"
"""

WRITER = """
import sqlite3, sys
kept = sqlite3.connect("db", timeout=60) if sys.argv[2] == "kept" else None
for i in range(int(sys.argv[3])):
    db = kept or sqlite3.connect("db", timeout=60)
    db.execute("insert into t values(?, ?)", (sys.argv[1], i)); db.commit()
    kept or db.close()
"""
