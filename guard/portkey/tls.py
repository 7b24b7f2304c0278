"""Who signed the gateway's certificate, as it is seen from here. No key is sent to find out.

Agents bring the public list of CAs along (Mozilla's, as certifi has it), so a certificate that only
the system trusts, or only a file of the policy, is told apart from one that a public CA signed.
"""

from __future__ import annotations

import base64
import functools
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from guard.errors import printable
from guard.net import authority
from guard.variables import BUNDLES

_SECONDS = 4.0
_NAMES = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O"}
"""The object identifiers 2.5.4.3 (common name) and 2.5.4.10 (organisation), X.520."""
_SHOWN = 120
UNKNOWN_CA = (18, 19, 20, 21)
"""X509_V_ERR_… of OpenSSL (x509_vfy.h) for a chain without a trusted root."""


class ProxyError(OSError):
    """The HTTP proxy does not let us through; the text says why."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What a handshake showed. `issuer` is who signed the certificate, in words.

    `public`: a CA of the public list signed it. `trusted`: it is verified by the certificates in
    use here; if not, `reason` is why, in OpenSSL's words, and `unknown_ca` is whether that is who
    signed it: TLS inspection, or a private CA.
    """

    issuer: str
    public: bool
    trusted: bool
    reason: str = ""
    unknown_ca: bool = False


def chain(connect: Callable[[], socket.socket], host: str, certificates: ssl.SSLContext) -> Chain:
    """Who signed the certificate that `connect` leads to, for the name `host`.

    `connect` opens a new connection each time. Raises OSError if there is no connection, or no TLS.
    """
    found = _verified(connect, host, _public_list())
    if isinstance(found, bytes):
        return Chain(issuer_of(found), public=True, trusted=True)
    found = _verified(connect, host, certificates)
    if isinstance(found, bytes):
        return Chain(issuer_of(found), public=False, trusted=True)
    return Chain(
        issuer(connect, host),
        public=False,
        trusted=False,
        reason=printable(found.verify_message),
        unknown_ca=found.verify_code in UNKNOWN_CA,
    )


def is_trusted(
    connect: Callable[[], socket.socket], host: str, certificates: ssl.SSLContext
) -> bool:
    """Whether `certificates` verify the connection. Raises OSError as `chain` does."""
    return isinstance(_verified(connect, host, certificates), bytes)


def system_list() -> ssl.SSLContext:
    """Verification by the CAs of this system alone, whatever the environment names.

    Where OpenSSL was built to look for them, or where this kind of system keeps them; empty for a
    Python that has no such place.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    places = ssl.get_default_verify_paths()
    for bundle in filter(os.path.isfile, (places.openssl_cafile, *BUNDLES)):
        context.load_verify_locations(cafile=bundle)
        break
    if has_directory():
        context.load_verify_locations(capath=places.openssl_capath)
    return context


def has_directory() -> bool:
    """Whether the system has a directory of CAs, of which those that are asked for are loaded."""
    return os.path.isdir(ssl.get_default_verify_paths().openssl_capath)


def issuer(connect: Callable[[], socket.socket], host: str) -> str:
    """Who signed the certificate that `connect` leads to, whether it is verified or not.

    Raises OSError if there is no connection, or no TLS.
    """
    seen = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    seen.check_hostname = False
    seen.verify_mode = ssl.CERT_NONE  # only looked at: nothing is sent over it
    shown = _verified(connect, host, seen)
    return issuer_of(shown) if isinstance(shown, bytes) else "an unnamed CA"


def connection(host: str, port: int, proxy: str = "", seconds: float = _SECONDS) -> socket.socket:
    """A connection to `host`, through the HTTP proxy at the URL `proxy` if it is not "".

    `seconds` is how long one step may take. Raises ProxyError, and OSError as sockets do.
    """
    if not proxy:
        return socket.create_connection((host, port), seconds)
    parts = urlsplit(proxy)
    if parts.scheme != "http" or not parts.hostname:
        raise ProxyError(f"a proxy of the kind {parts.scheme or 'unknown'} is not looked through")
    found = socket.create_connection((parts.hostname, parts.port or 80), seconds)
    try:
        return _through(found, host, port, parts.username, parts.password)
    except BaseException:
        found.close()
        raise


def _through(
    found: socket.socket, host: str, port: int, user: str | None, password: str | None
) -> socket.socket:
    place = authority(host, port)
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if user:
        words = f"{unquote(user)}:{unquote(password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(words.encode()).decode()}")
    found.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    answer = b""
    # byte by byte: what follows the head already belongs to the tunnel
    while not answer.endswith(b"\r\n\r\n"):
        more = found.recv(1)
        if not more or len(answer) > 1 << 14:
            raise ProxyError("it hung up")
        answer += more
    status = answer.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(status) < 2 or status[1] != "200":
        raise ProxyError(f"it answered {printable(' '.join(status[1:])[:_SHOWN]) or 'nothing'}")
    return found


def _verified(
    connect: Callable[[], socket.socket], host: str, context: ssl.SSLContext
) -> bytes | ssl.SSLCertVerificationError:
    """The certificate, in DER, that `context` accepts; else why it does not."""
    with connect() as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as over:
                return over.getpeercert(binary_form=True) or b""
        except ssl.SSLCertVerificationError as error:
            return error


@functools.cache
def _public_list() -> ssl.SSLContext:
    import certifi

    context = ssl.create_default_context(cafile=certifi.where())
    context.keylog_filename = None  # type: ignore[assignment]
    return context


# X.509 -------------------------------------------------------------------------------------------


def issuer_of(certificate: bytes) -> str:
    """Who signed `certificate` (DER): `CN (O)`, one of them, or "an unnamed CA".

    By RFC 5280, 4.1: the issuer is what follows the serial number and the algorithm.
    """
    try:
        ((_, body),) = _fields(certificate)
        fields = list(_fields(next(_fields(body))[1]))
        if fields[0][0] == 0xA0:  # the version, which is optional
            del fields[0]
        names = dict(_attributes(fields[2][1]))
    except (IndexError, StopIteration, ValueError):
        return "an unnamed CA"
    name, organisation = names.get("CN", ""), names.get("O", "")
    if name and organisation and organisation not in name:
        return f"{name} ({organisation})"
    return name or organisation or "an unnamed CA"


def _attributes(name: bytes) -> Iterator[tuple[str, str]]:
    for _, group in _fields(name):
        for _, pair in _fields(group):
            (_, kind), (tag, value) = _fields(pair)
            if kind in _NAMES:
                text = value.decode("utf-16-be" if tag == 0x1E else "utf-8", "replace")
                yield _NAMES[kind], printable(text[:_SHOWN])


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each DER value in `data`. Raises IndexError where it is cut."""
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise IndexError
        yield tag, data[at : at + size]
        at += size
