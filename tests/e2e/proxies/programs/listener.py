"""One small server that listens the way it is told: `listener.py WAY PORT [ANSWER]`.

Ways: plain, reuseport, mptcp, v6only (::1), both (:: with IPv4), mapped (::ffff:127.0.0.1),
daemon (forks twice, its parent is gone), renamed (argv[0] and name of another program),
inherited (descriptor 3, as systemd passes it), raw (speaks first, and never HTTP).
ANSWER is the body of every answer; without one, connections stay open and silent.
"""

import ctypes
import os
import socket
import sys
import threading

MPTCP = 262
PR_SET_NAME = 15


def listening(way: str, port: int) -> socket.socket:
    if way == "inherited":
        return socket.socket(fileno=3)
    address = {"v6only": "::1", "both": "::", "mapped": "::ffff:127.0.0.1"}.get(way, "127.0.0.1")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM, MPTCP if way == "mptcp" else 0)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(way == "v6only"))
    server.setsockopt(
        socket.SOL_SOCKET,
        socket.SO_REUSEPORT if way == "reuseport" else socket.SO_REUSEADDR,
        1,
    )
    server.bind((address, port))
    server.listen(16)
    return server


def serve(connection: socket.socket, answer: bytes, first: bytes) -> None:
    with connection:
        connection.sendall(first)
        asked = b""
        while b"\r\n\r\n" not in asked:
            part = connection.recv(4096)
            if not part:
                return
            asked += part
            if not answer:
                asked = b""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(answer) + answer)


def main() -> None:
    way, port, *rest = sys.argv[1:]
    if way == "renamed" and "RENAMED" not in os.environ:
        os.environ["RENAMED"] = "1"
        # Python looks for its library beside the program that argv[0] names, here a real sshd's
        os.environ["PYTHONHOME"] = sys.base_prefix
        os.execv(sys.executable, ["sshd", *sys.argv])
    if way == "renamed":
        ctypes.CDLL(None).prctl(PR_SET_NAME, b"sshd", 0, 0, 0)
    if way == "daemon":
        for _ in range(2):
            if os.fork():
                os._exit(0)
            os.setsid()
    server = listening(way, int(port))
    answer = rest[0].encode() if rest else b""
    first = b"\x4a\x00\x00\x00\x0a" if way == "raw" else b""
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection, answer, first), daemon=True).start()


main()
