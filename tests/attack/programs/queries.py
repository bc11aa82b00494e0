"""Ask a name server on the internet about names that contain data, over UDP, TCP and the port of DNS over TLS."""

from __future__ import annotations

import socket
import struct

SERVER = "8.8.8.8"
A, AAAA, TXT, NULL, MX, SRV, HTTPS = 1, 28, 16, 10, 15, 33, 65
SYNTHETIC = ("198.18.", "198.19.")


def query(name: bytes, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    return struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, kind, 1)


def main() -> None:
    for kind in (A, AAAA, TXT, NULL, MX, SRV, HTTPS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10)
            s.sendto(query(b"%063d.secret.invalid" % kind, kind), (SERVER, 53))
            reply = s.recv(1000)
        answers = struct.unpack_from(">H", reply, 6)[0]
        if kind == A:
            print("synthetic" if socket.inet_ntoa(reply[-4:]).startswith(SYNTHETIC) else reply)
        elif answers:
            print(kind, reply)
    for port in (53, 853):
        try:
            with socket.create_connection((SERVER, port), timeout=10) as s:
                message = query(b"data.secret.invalid", A)
                s.sendall(len(message).to_bytes(2, "big") + message)
                if s.recv(100):
                    print("an answer on port", port)
        except OSError:
            pass


if __name__ == "__main__":
    main()
