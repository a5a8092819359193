"""Clients before a line's time, and the field after the user agent."""

from __future__ import annotations

import pytest

from codex_tracking.access_log.addresses import client_of, forwarded_of


@pytest.mark.parametrize(
    ("words", "address", "host"),
    [
        ("192.0.2.1 - -", "192.0.2.1", ""),
        ("web-1  | 192.0.2.1 - -", "192.0.2.1", ""),
        ("May  1 12:00:00 web01.example nginx: 192.0.2.1 - -", "192.0.2.1", ""),
        ("<190>1 2026-05-01T12:00:00Z web01 nginx - - - 192.0.2.1 - -", "192.0.2.1", ""),
        ("2026-05-01T12:00:00.1Z stdout F 192.0.2.1 - ann [of] x", "192.0.2.1", ""),
        ("[2001:db8::1]:443 - -", "2001:db8::1", ""),
        ("::ffff:192.0.2.1 - -", "192.0.2.1", ""),
        ("site.example:443 2001:db8::1 - -", "2001:db8::1", "site.example"),
        ("203.0.113.9:80 192.0.2.6 - -", "192.0.2.6", "203.0.113.9"),
        ("192.0.2.1,10.0.0.5 - -", "192.0.2.1", ""),
        ("unknown, 192.0.2.1 - -", "192.0.2.1", ""),
        ("192.0.2.1:50120, 10.0.0.2:3 - -", "192.0.2.1", ""),
        ("localhost - -", "127.0.0.1", ""),
        ("192.0.2.1 site.example -", "192.0.2.1", "site.example"),
        ("vm lighttpd: 192.0.2.1 site.example:8080 ann lee", "192.0.2.1", "site.example"),
        ("192.0.2.1 - ann.lee", "192.0.2.1", ""),
        ("192.0.2.1 - site.example www.site.example -", "192.0.2.1", "site.example"),
        ("192.0.2.1 - ann.lee smith", "192.0.2.1", ""),
    ],
)
def test_client_is_found_among_other_words(words: str, address: str, host: str) -> None:
    assert client_of(words) == (address, host)


@pytest.mark.parametrize("names", [("a.isp.example", "b.isp.example"), ("a1b2c3d4e5f6", "b1b2c3d4e5f6")])
def test_names_in_place_of_addresses_are_clients_of_their_own(names: tuple[str, str]) -> None:
    one, other = (client_of(f"{name} - -").address for name in names)
    # Visitors are told apart by the first 64 bits.
    assert one.split(":")[:4] != other.split(":")[:4]
    assert client_of(f"site.example {names[0]} - -") == (one, "site.example")


@pytest.mark.parametrize("words", ["- - -", "unknown - -", "", "999.1.1.1 - -"])
def test_lines_without_client_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match="no client address"):
        client_of(words)


def test_two_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match="two addresses"):
        client_of("10.0.0.5 192.0.2.1 - -")


@pytest.mark.parametrize(
    ("field", "forwarded"),
    [
        ("192.0.2.9, 10.0.0.1", True),
        ("unknown, 192.0.2.9", True),
        ("10.0.0.7:8000", False),
        ("unix:/run/x.sock", False),
        ("127.0.0.1:8000, 127.0.0.1:8001", False),
        ("10.0.0.7", False),
        ("0.004", False),
        ("site.example", False),
    ],
)
def test_forwarded_addresses_are_told_from_other_fields(field: str, forwarded: bool) -> None:
    assert forwarded_of(field, "198.51.100.1") == (field if forwarded else "")


@pytest.mark.parametrize(
    ("field", "forwarded"),
    [
        ("192.0.2.9:4711", True),
        ("192.0.2.9:4711, 10.0.0.1:80", True),
        ("[2001:db8::9]:4711", True),
        ("10.0.0.7:8000", False),
        ("[fd00::7]:8000", False),
        ("10.0.0.7", True),
    ],
)
def test_a_proxy_of_ones_own_network_may_write_ports_of_clients(field: str, forwarded: bool) -> None:
    assert forwarded_of(field, "10.0.0.4") == (field if forwarded else "")
