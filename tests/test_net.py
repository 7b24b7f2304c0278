"""What a URL leads to, and whether that is this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard import net

LABEL = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
PORT = st.integers(1, 65535)
TAIL = st.sampled_from(["", "/", "/v1", "/v1?x=1:2", "?x=1:2", "#a:3", "/a@b:4/c"])


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("http://h:1", ("h", 1)),
        ("https://H/", ("h", 443)),
        ("http://h", ("h", 80)),
        ("h:3128", ("h", 3128)),
        ("http://[::1]:9", ("::1", 9)),
        ("http://[::1]", ("::1", 80)),
        ("::1", ("::1", 80)),
        ("http://h:x", ("h", 80)),
        ("http://h:" + "9" * 5000, ("h", 80)),
        ("http://h:²", ("h", 80)),
        ("http://h?x=1:2", ("h", 80)),
        ("https://h#:2", ("h", 443)),
        ("http://user:pw@LOCALHOST:9/", ("localhost", 9)),
        ("http:\\\\h:7\\@other", ("h", 7)),
        ("", ("", 0)),
        ("http://", ("", 0)),
        ("http://u:p@", ("", 0)),
    ],
)
def test_address(value: str, wanted: tuple[str, int]) -> None:
    assert net.address(value) == wanted


def test_authority() -> None:
    assert net.authority("127.0.0.1", 80) == "127.0.0.1:80"
    assert net.authority("::1", 80) == "[::1]:80"


@given(NAME, st.none() | PORT, st.sampled_from(["http", "https"]), TAIL)
def test_a_plain_url_is_read_as_urllib_reads_it(
    host: str, port: int | None, scheme: str, tail: str
) -> None:
    url = f"{scheme}://{host}" + (f":{port}" if port else "") + tail
    found, theirs = net.read_url(url), urlsplit(url)
    assert found is not None
    assert (found.scheme, found.host, found.port, found.path) == (
        theirs.scheme, theirs.hostname, theirs.port or 0, theirs.path,
    )  # fmt: skip


@given(NAME, PORT, TAIL, st.text(st.characters(exclude_characters="/\\?#"), max_size=12))
def test_who_logs_in_does_not_move_the_host(host: str, port: int, tail: str, user: str) -> None:
    assert net.address(f"http://{user}@{host}:{port}{tail}") == (host, port)


@given(st.text(max_size=60))
def test_nothing_breaks_it(text: str) -> None:
    found = net.read_url(text)
    assert found is None or (found.host and -1 <= found.port < 65536)
    net.is_this_machine(text)


@given(zeros=st.integers(0, 12), number=st.integers(0, 10**9))
@example(zeros=9, number=99999)
def test_a_port_is_below_65536_with_zeros_before_it_or_not(zeros: int, number: int) -> None:
    found = net.read_url(f"http://h:{'0' * zeros}{number}/")
    assert found
    assert found.port == (number if number < 65536 else -1)


@given(st.integers(0x7F000000, 0x7FFFFFFF))
def test_every_spelling_of_a_loopback_address(number: int) -> None:
    dotted = str(ipaddress.IPv4Address(number))
    spelled = [
        dotted, f"{dotted}.", str(number), hex(number), f"0{number:o}", f"127.{number & 0xFFFFFF}",
        f"::ffff:{dotted}", f"::{dotted}",
        dotted.translate({48 + d: 0xFF10 + d for d in range(10)}),
    ]  # fmt: skip
    for host in spelled:
        assert net.is_loopback(host), host
        literal = f"[{host}]" if ":" in host else host
        assert net.is_loopback(net.host_of(f"http://{literal}:8080/v1")), host


@given(st.integers(0x01000000, 0xFFFFFFFF).filter(lambda n: n >> 24 != 0x7F))
def test_no_other_address_is_loopback(number: int) -> None:
    for host in (str(ipaddress.IPv4Address(number)), str(number), hex(number)):
        assert not net.is_loopback(host)


@given(NAME, st.sampled_from(["127.{}.com", "127.0.0.1.{}.io", "localhost.{}.x", "{}-localhost.x"]))
def test_a_name_that_only_looks_like_it_is_not(label: str, pattern: str) -> None:
    assert not net.is_this_machine(pattern.format(label))


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost.", "a.localhost", "localhost6", "ip6-loopback", "::1", "::", "0",
     "0.0.0.0", "127.1", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1", "::1%lo"],
)  # fmt: skip
def test_this_machine(host: str) -> None:
    assert net.is_loopback(host)
    assert net.is_this_machine(host)


@pytest.mark.parametrize(
    "host",
    ["", "é", "a" * 300, "[", "%", "1.2.3.4.5", "::g", "127", "x.1", "127.evil.com", "fe80::1",
     "::ffff:10.0.0.1", "127.0.0.1 x", "host.docker.internal"],
)  # fmt: skip
def test_hosts_that_are_not_loopback(host: str) -> None:
    assert not net.is_loopback(host)


def test_the_host_of_a_container_is_this_machine_to_a_file() -> None:
    assert net.is_this_machine("Host.Docker.Internal")


def test_the_same_place() -> None:
    assert net.is_within("https://GW.:443/other", "https://gw/v1")
    assert not net.is_within("https://gw:8443/v1", "https://gw/v1")
    assert not net.is_within("http://gw/v1", "https://gw/v1")
    assert not net.is_within("", "")


@pytest.mark.parametrize(
    ("path", "within"),
    [
        ("/portkey/v1", True),
        ("/portkey", True),
        ("/portkey/", True),
        ("/portkey/v1/chat", True),
        ("/openai/v1", False),
        ("/portkeys/v1", False),
        ("/portkey/../openai/v1", False),
        ("/portkey/%2E./openai", False),
        ("/portkey\\..\\openai", False),
        ("/", False),
        ("", False),
    ],
)
def test_another_path_of_the_gateways_host_is_another_place(path: str, within: bool) -> None:
    assert net.is_within(f"https://gw{path}", "https://gw/portkey/v1") is within
    assert net.is_within(f"https://gw{path}", "https://gw/v1")


@pytest.mark.parametrize(
    ("environ", "value"),
    [
        ({}, "gw"),
        ({"NO_PROXY": "a,b"}, "a,b,gw"),
        ({"no_proxy": " a , "}, "a,gw"),
        ({"NO_PROXY": "a,gw"}, "a,gw"),
        ({"NO_PROXY": "a", "no_proxy": "b"}, "a,gw"),
    ],
)
def test_the_gateway_is_asked_without_a_proxy(environ: dict[str, str], value: str) -> None:
    assert net.without_proxy(environ, "gw") == {"NO_PROXY": value, "no_proxy": value}
