"""Addresses: what a URL leads to, and whether that is this machine.

The one reader of URLs and the one answer to "is it this machine". URLs are read as the WHATWG URL
standard reads http and https, because agents do: slashes and backslashes after the scheme in any
number, the authority up to the next of `/ \\ ? #`, tabs and line breaks dropped, the host
percent-decoded and in any width of digits.

Hot-path module: urllib and ipaddress cost more than a launch may.
"""

from __future__ import annotations

from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""The proxy variables that Bun and Node.js honour; both ignore `ALL_PROXY` (run on Bun 1.3.14)."""

_NAMES_OF_THIS_MACHINE = frozenset(
    (
        "localhost",
        "localhost.localdomain",
        "localhost6",
        "localhost6.localdomain6",
        "ip6-localhost",
        "ip6-loopback",
    )
)
"""Names that the hosts files of Debian, Fedora and macOS give to this machine."""

_NAMES_OF_A_CONTAINERS_HOST = frozenset(
    ("host.docker.internal", "gateway.docker.internal", "host.containers.internal")
)
"""Names by which Docker and Podman let a container reach the machine it runs on."""

_DEFAULT_PORTS = {"": 80, "http": 80, "https": 443, "ws": 80, "wss": 443}


class Url(Record):
    """Where a URL leads. `scheme` is "" if none is written; `host` is in lower case, without
    brackets; `port` is 0 if none is written and -1 if what is written is no port; `path` is what
    follows the authority, without query and fragment.
    """

    scheme: str
    host: str
    port: int
    path: str

    def effective_port(self, default: int = 80) -> int:
        """The port that is connected to; `default` for a scheme that has none of its own."""
        return self.port if self.port > 0 else _DEFAULT_PORTS.get(self.scheme, default)


def read_url(text: str) -> Url | None:
    """The parts of a URL or of an `address[:port][/path]`; None if it names no host."""
    rest = text.strip()
    if not rest.isprintable():
        rest = "".join(c for c in rest if c.isprintable())
    scheme = ""
    head, colon, tail = rest.partition(":")
    if colon and head.lower() in ("http", "https"):
        scheme, rest = head.lower(), tail.lstrip("/\\")
    elif "://" in rest:
        head, _, rest = rest.partition("://")
        scheme = head.lower()
    end = min((at for at in map(rest.find, "/\\?#") if at >= 0), default=len(rest))
    path = rest[end:].partition("?")[0].partition("#")[0]
    place = rest[:end].rpartition("@")[2].strip()
    if place.startswith("["):
        host, _, tail = place[1:].partition("]")
        port = tail.removeprefix(":")
    else:
        host, _, port = place.partition(":")
        if ":" in port:  # an IPv6 address without brackets
            host, port = place, ""
    host = _plain_host(host)
    return Url(scheme, host, _port(port), path) if host else None


def _plain_host(host: str) -> str:
    if "%" in host and ":" not in host:
        from urllib.parse import unquote

        host = unquote(host)
    if not host.isascii():
        import unicodedata

        # what IDNA does to a host first: full-width digits and dots become plain ones
        host = unicodedata.normalize("NFKC", host).replace("\u3002", ".")
    return host.lower()


def _port(text: str) -> int:
    if not text:
        return 0
    digits = text.lstrip("0") or "0"
    plain = text.isascii() and text.isdigit() and len(digits) < 6
    return int(digits) if plain and int(digits) < 65536 else -1


def host_of(url: str) -> str:
    """The host of a URL, in lower case and without brackets; "" if there is none."""
    found = read_url(url)
    return found.host if found else ""


def address(url: str) -> tuple[str, int]:
    """The host and the port that a URL leads to; ("", 0) if there is none."""
    found = read_url(url)
    return (found.host, found.effective_port()) if found else ("", 0)


def authority(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_within(url: str, base: str) -> bool:
    """Whether `url` leads to the port of the host that `base` names, and to no path beside it.

    The last `/v1` of `base` is the version of its API: what stands in front of it counts.
    """
    one, two = read_url(url), read_url(base)
    return (
        one is not None
        and two is not None
        and (one.host.rstrip("."), one.effective_port())
        == (two.host.rstrip("."), two.effective_port())
        and is_path_within(one.path, two.path)
    )


def is_path_within(path: str, base: str) -> bool:
    """Whether the `path` of a URL is that of `base` without its last `/v1`, or lies below it."""
    above = base.rstrip("/").removesuffix("/v1").rstrip("/")
    if not above:
        return True
    segments = path.replace("\\", "/").lower().replace("%2e", ".").split("/")
    below = path.rstrip("/") == above or path.startswith(above + "/")
    return below and ".." not in segments


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: loopback, unspecified, or any spelling of them."""
    host = _plain_host(host).rstrip(".")
    if host in _NAMES_OF_THIS_MACHINE or host.endswith(".localhost"):
        return True
    if not host or any(c.isspace() for c in host):
        return False
    import _socket

    # inet_aton reads what connect() reads: 127.1, 0x7f000001, 2130706433
    try:
        four = _socket.inet_aton(host)
        return four[0] == 127 or four == b"\0\0\0\0"
    except (OSError, ValueError):
        pass
    try:
        six = _socket.inet_pton(_socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return False
    if six[:12] in (b"\0" * 10 + b"\xff\xff", b"\0" * 12) and six[12:] != b"\0\0\0\x01":
        return six[12] == 127 or six[12:] == b"\0\0\0\0"
    return six == b"\0" * 15 + b"\x01"


def is_plain_loopback(host: str) -> bool:
    """Whether `host` is this machine in a spelling that every program reads alike: no `127.1`,
    and no unspecified address, which not every system connects to."""
    spelled_out = host.lower() == "localhost" or host.count(".") == 3 or ":" in host
    return spelled_out and is_loopback(host) and host not in ("0.0.0.0", "::")  # noqa: S104


def is_this_machine(host: str) -> bool:
    """Whether `host` is this machine, or the one around the container that a file describes."""
    return is_loopback(host) or host.lower().rstrip(".") in _NAMES_OF_A_CONTAINERS_HOST


LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""What NO_PROXY has to name so that no proxy stands between programs of this machine."""


def without_proxy(environ: Mapping[str, str], *hosts: str) -> dict[str, str]:
    """`NO_PROXY` in both spellings, extended by `hosts`: a plain-http gateway is asked directly."""
    current = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    without = [h.strip() for h in current.split(",") if h.strip()]
    for host in hosts:
        # an IPv6 literal is compared with its brackets (run on 1.18.33), or without by others
        for spelling in [host, f"[{host}]"] if ":" in host else [host]:
            if spelling not in without:
                without.append(spelling)
    joined = ",".join(without)
    return {"NO_PROXY": joined, "no_proxy": joined}
