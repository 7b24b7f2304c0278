"""The network of a company, on loopback: its own CA, a TLS server, an HTTP proxy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from guard.launch.recorder import RecordingServer

ISSUER = "Ajax Inspection CA (Ajax Corp)"
"""What `guard.portkey.tls` calls the CA."""

_CURVE = ("-pkeyopt", "ec_paramgen_curve:P-256")


class Authority:
    """A CA of its own, made with openssl in `directory`: `ca` is its certificate (PEM)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = directory / "ca.pem"
        self._key = directory / "ca.key"
        self._openssl(
            *("req", "-x509", "-newkey", "ec", *_CURVE, "-nodes", "-days", "2"),
            *("-keyout", self._key, "-out", self.ca),
            *("-subj", "/O=Ajax Corp/CN=Ajax Inspection CA"),
        )

    def leaf(self, name: str, *, days: int = 2) -> Path:
        """A certificate for `name` (an IPv4 address or a host) with its key, in one file.

        `days` below 1 is one that has expired.
        """
        kind = "IP" if name.replace(".", "").isdigit() else "DNS"
        at = self.directory / name
        request, cert, key = (at.with_name(f"{name}.{end}") for end in ("csr", "pem", "key"))
        extensions = at.with_name(f"{name}.ext")
        extensions.write_text(f"subjectAltName={kind}:{name}\n")
        self._openssl(
            *("req", "-newkey", "ec", *_CURVE, "-nodes", "-keyout", key, "-out", request),
            *("-subj", f"/CN={name}"),
        )
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key),
            *("-CAcreateserial", "-days", str(days), "-out", cert, "-extfile", extensions),
        )
        both = at.with_name(f"{name}.both.pem")
        both.write_bytes(key.read_bytes() + cert.read_bytes())
        return both

    def _openssl(self, *words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def over_tls(server: RecordingServer, certificate: Path) -> None:
    """Let `server` speak TLS with `certificate` (and its key); before it is entered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # each connection has its handshake in its own thread: one that fails stops no other
    server._listener.socket = context.wrap_socket(
        server._listener.socket, server_side=True, do_handshake_on_connect=False
    )


class Tunnel:
    """An HTTP proxy whose every CONNECT leads to `port` of this machine, whatever host it names.

    `heads` are what it was sent; `answer` is its status line. A context manager.
    """

    def __init__(self, port: int, answer: str = "200 Connection established") -> None:
        self.heads: list[bytes] = []
        self._target = port
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(caller,), daemon=True).start()

    def _tunnel(self, caller: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += caller.recv(1) or b"\r\n\r\n"
        self.heads.append(head)
        caller.sendall(f"HTTP/1.1 {self._answer}\r\n\r\n".encode())
        if not self._answer.startswith("200"):
            caller.close()
            return
        other = socket.create_connection(("127.0.0.1", self._target))
        ways = ((caller, other), (other, caller))
        threads = [threading.Thread(target=_pipe, args=way, daemon=True) for way in ways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        caller.close()
        other.close()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
