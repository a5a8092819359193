"""Client addresses behind proxies, identities, and what is stored of them."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, ip_address
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.hits.hit import Client
from codex_tracking.hits.visitors import client_address, digests_of, identity, visitor_digest, visitor_id


def client(*, address: str = "203.0.113.9", agent: str = "Browser", user: str = "", anonymous: bool = False) -> Client:
    return Client(
        host="site.example",
        agent=agent,
        hints=("", "", ""),
        language="",
        country="",
        address=address,
        forwarded="",
        user=user,
        anonymous=anonymous,
    )


@pytest.mark.parametrize(
    ("forwarded", "proxies", "client"),
    [
        ("6.6.6.6", 0, "10.0.0.1"),
        ("203.0.113.5", 1, "203.0.113.5"),
        ("6.6.6.6, 203.0.113.5", 1, "203.0.113.5"),
        ("6.6.6.6, 203.0.113.5, 10.0.0.2", 2, "203.0.113.5"),
        ("203.0.113.5", 2, "10.0.0.1"),
        ("", 1, "10.0.0.1"),
        ("6.6.6.6, unknown", 1, ""),
        ("6.6.6.6,", 1, ""),
        ("203.0.113.5:4711", 1, "203.0.113.5"),
        ('"[2001:db8:1:2:3:4:5:6]:4711"', 1, "2001:db8:1:2::"),
        ("::ffff:203.0.113.5", 1, "203.0.113.5"),
        ("fe80::1%eth0", 1, "fe80::1"),
        (", ".join(f"203.0.113.{n}" for n in range(20)), 10, "203.0.113.10"),
        (", ".join(f"203.0.113.{n}" for n in range(20)), 11, "10.0.0.1"),
        ("6" * 5_000 + ", 203.0.113.5", 1, "203.0.113.5"),
    ],
)
def test_the_client_is_the_entry_that_the_outermost_trusted_proxy_wrote(
    forwarded: str, proxies: int, client: str
) -> None:
    assert client_address("10.0.0.1", forwarded, proxies) == client


@pytest.mark.parametrize(
    ("header", "value", "proxies", "client"),
    [
        ("CF-Connecting-IP", "203.0.113.5", 0, "203.0.113.5"),
        ("X-Real-IP", "2001:db8:1:2:3:4:5:6", 1, "2001:db8:1:2::"),
        # A server joins two headers of one name, and the last one is the proxy's own.
        ("X-Real-IP", "203.0.113.5, 203.0.113.6", 0, "203.0.113.6"),
        ("CF-Connecting-IP", "203.0.113.6", 2, "203.0.113.6"),
        ("CloudFront-Viewer-Address", "2001:db8:1:2:3:4:5:6:46532", 0, "2001:db8:1:2::"),
        ("CloudFront-Viewer-Address", "198.51.100.10:46532", 0, "198.51.100.10"),
        ("X-Real-IP", "[2001:db8:1:2::3%25eth0]:443", 0, "2001:db8:1:2::"),
        ("X-Real-IP", "::ffff:cb00:7105", 0, "203.0.113.5"),
        ("X-Real-IP", "203.0.113.005", 0, ""),
        ("X-Real-IP", "203.0.113.5\x00", 0, ""),
        ("X-Real-IP", "\u0662\u0660\u0663.0.113.5", 0, ""),
        ("X-Real-IP", "203.0.113.5;", 0, ""),
        ("Forwarded", 'for="203.0.113.5:80";host="a,b";proto=https', 0, "203.0.113.5"),
        ("Forwarded", 'host="a;for=6.6.6.6;b";for=203.0.113.5', 0, "203.0.113.5"),
        ("Forwarded", 'host="\\";for=6.6.6.6;";for=203.0.113.5', 0, "203.0.113.5"),
        ("Forwarded", 'for="203.0.113.5', 0, "203.0.113.5"),
        ("Forwarded", "for=203.0.113.5,", 0, ""),
        ("Forwarded", "for = 203.0.113.5 ; by=10.0.0.2", 0, "203.0.113.5"),
        ("Forwarded", "203.0.113.5", 0, ""),
        ("Forwarded", ";;,;;", 0, ""),
        ("Forwarded", "for=;for=203.0.113.5", 0, ""),
        ("X-Real-IP", "unknown", 0, ""),
        ("X-Real-IP", "", 0, "10.0.0.1"),
        ("X-Forwarded-For", "6.6.6.6, 203.0.113.5", 0, "203.0.113.5"),
        ("Forwarded", "for=6.6.6.6, for=203.0.113.5;proto=https;by=10.0.0.2", 0, "203.0.113.5"),
        ("Forwarded", 'proto=https; For="[2001:db8:1:2::7]:4711"', 1, "2001:db8:1:2::"),
        ("forwarded", "for=203.0.113.5, for=10.0.0.2", 2, "203.0.113.5"),
        ("Forwarded", "for=203.0.113.5", 2, "10.0.0.1"),
        ("Forwarded", "for=_hidden", 0, ""),
        ("Forwarded", "for=unknown", 0, ""),
        ("Forwarded", "proto=https", 0, ""),
        ("Forwarded", "xfor=203.0.113.5", 0, ""),
    ],
)
def test_another_header_names_the_client(header: str, value: str, proxies: int, client: str) -> None:
    assert client_address("10.0.0.1", value, proxies, header) == client


@pytest.mark.parametrize(("address", "agent"), [("", "Browser"), ("unix:", "Browser"), ("203.0.113.xxx", "Other")])
def test_nobody_without_an_address_has_an_identity(address: str, agent: str) -> None:
    assert identity(client(address=address, agent=agent), 0) == ""
    assert identity(client(address=address, agent=agent, user="7"), 0)


def test_one_ipv6_subscriber_is_one_client_and_two_are_two() -> None:
    assert client_address("2001:db8:1:2::a", "", 0) == client_address("2001:db8:1:2:ffff::b", "", 0)
    assert client_address("2001:db8:1:2::a", "", 0) != client_address("2001:db8:1:3::a", "", 0)


@given(st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){2,4}\.?", fullmatch=True) | st.ip_addresses(v=4).map(str))
def test_what_passes_for_an_address_without_a_closer_look_is_one(text: str) -> None:
    try:
        assert client_address(text, "", 0) == str(IPv4Address(text))
    except ValueError:
        assert client_address(text, "", 0) == ""


def test_a_unix_socket_has_no_address() -> None:
    assert client_address("", "", 0) == client_address("unix:", "", 0) == ""


@pytest.mark.parametrize(
    ("address", "expected"),
    [(ip_address("192.0.2.1"), "192.0.2.1"), (ip_address("2001:db8::1"), "2001:db8::"), (b"192.0.2.1", ""), (5, "")],
)
def test_a_remote_address_that_is_no_text_is_read_or_none(address: Any, expected: str) -> None:
    assert client_address(address, "", 0) == expected


@given(st.text(st.characters(), max_size=80), st.text(st.characters(), max_size=700), st.integers(-1, 20))
def test_no_header_makes_it_raise(address: str, forwarded: str, proxies: int) -> None:
    client_address(address, forwarded, proxies)


@given(st.ip_addresses().map(str), st.lists(st.ip_addresses().map(str), max_size=5), st.ip_addresses().map(str))
def test_what_the_client_writes_into_the_header_never_matters(client: str, made_up: list[str], proxy: str) -> None:
    honest = client_address(proxy, client, 1)
    assert client_address(proxy, ", ".join([*made_up, client]), 1) == honest == client_address(client, "", 0)


def test_users_are_told_apart_by_key_and_others_by_address_and_agent() -> None:
    assert identity(client(user="7"), 0) == identity(client(user="7", address="203.0.113.1", agent="Other"), 0)
    assert identity(client(), 0) != identity(client(agent="Other"), 0)
    assert identity(client(), 0) != identity(client(address="203.0.113.1"), 0)


def test_no_user_key_passes_for_an_address_and_agent() -> None:
    assert identity(client(user="203.0.113.9\0Browser"), 0) != identity(client(), 0)


def test_who_opted_out_has_no_identity() -> None:
    assert identity(client(user="7", anonymous=True), 0) == ""
    assert visitor_id("", b"salt") == ""


@given(st.text(st.characters(), max_size=60), st.text(st.characters(), max_size=60))
def test_no_agent_or_address_passes_for_a_user(agent: str, address: str) -> None:
    assert identity(client(agent=agent, address=address), 0) != identity(client(user="7"), 0)


@given(st.text(st.characters(), min_size=1, max_size=600), st.binary(max_size=80))
def test_every_identity_has_an_id_of_22_safe_characters(text: str, salt: bytes) -> None:
    stored = visitor_id(text, salt)
    assert len(stored) == 22
    assert stored.replace("-", "").replace("_", "").isalnum()


def test_another_salt_makes_another_id() -> None:
    first, second = os.urandom(16), os.urandom(16)
    assert visitor_id("u\x007", first) == visitor_id("u\x007", first) != visitor_id("u\x007", second)


@pytest.mark.parametrize(
    "pair",
    [
        # NAT64 and Teredo have one /64 for all their clients, and so has a local network.
        ("64:ff9b::203.0.113.5", "64:ff9b::203.0.113.6"),
        ("2001:0:c000:200:0:f227:34ff:8efa", "2001:0:c000:200:0:f227:34ff:8ef9"),
        ("fe80::1%eth0", "fe80::2%eth0"),
        # Translators within a network, the stateless ones, and IPv4 in IPv6 as it once was written.
        ("64:ff9b:1::203.0.113.5", "64:ff9b:1::203.0.113.6"),
        ("64:ff9b:1:abcd::203.0.113.5", "64:ff9b:1:abcd::203.0.113.6"),
        ("::ffff:0:203.0.113.5", "::ffff:0:203.0.113.6"),
        ("::203.0.113.5", "::203.0.113.6"),
        ("::1", "::2"),
    ],
)
def test_addresses_that_share_a_network_are_not_one_client(pair: tuple[str, str]) -> None:
    first, second = (client_address(address, "", 0) for address in pair)
    assert first
    assert second
    assert first != second


def test_an_ipv4_client_is_the_same_behind_nat64() -> None:
    assert client_address("64:ff9b::203.0.113.5", "", 0) == "203.0.113.5"


def test_a_hostile_forwarded_header_costs_little() -> None:
    headers = [mark * 255 + "a" for mark in ('"', '\\"', ";", ",", 'a="', 'for="', "::", "[")]
    begin = process_time()
    for header in headers:
        for name in ("", "Forwarded", "X-Real-IP"):
            client_address("10.0.0.1", header, 3, name)
    assert process_time() - begin < 0.1


def test_digests_come_back_from_visitors_ids() -> None:
    salt, identities = os.urandom(16), [f"192.0.2.{n}\0agent" for n in range(50)]
    assert digests_of([visitor_id(text, salt) for text in identities]) == [
        visitor_digest(text, salt) for text in identities
    ]
    assert digests_of([]) == []
