"""Countries from a CDN's header and from a MaxMind database, which is written here in its own format."""

from __future__ import annotations

import logging
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.hits import countries
from codex_tracking.hits.countries import country_of

METADATA = b"\xab\xcd\xefMaxMind.com"

Value = str | int | dict[str, "Value"] | list["Value"]


WIDE = {"node_count": bytes([6 << 5 | 4]), "build_epoch": bytes([8, 9 - 7])}
"""The two integers that readers want wider than 16 bits: control bytes of uint32 and uint64."""


UINT16 = bytes([5 << 5 | 2])


def encode(value: Value, integer: bytes = UINT16) -> bytes:
    """Write a value as https://maxmind.github.io/MaxMind-DB/ says; sizes below 29 are enough here."""
    if isinstance(value, str):
        return bytes([2 << 5 | len(value)]) + value.encode()
    if isinstance(value, int):
        return integer + value.to_bytes(integer[0] & 31, "big")
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(encode, value))
    pairs = (encode(key) + encode(item, WIDE.get(key, UINT16)) for key, item in value.items())
    return bytes([7 << 5 | len(value)]) + b"".join(pairs)


def write_database(path: Path, records: dict[str, Value]) -> str:
    """Write an IPv4 database with one record per network; return its path."""
    data, offsets = b"", {}
    for network, record in records.items():
        offsets[network] = len(data)
        data += encode(record)
    nodes: list[list[int | None]] = [[None, None]]
    leaves: dict[tuple[int, int], int] = {}
    for network, offset in offsets.items():
        net = IPv4Network(network)
        bits = f"{int(net.network_address):032b}"[: net.prefixlen]
        node = 0
        for bit in bits[:-1]:
            below = nodes[node][int(bit)]
            if below is None:
                nodes.append([None, None])
                below = nodes[node][int(bit)] = len(nodes) - 1
            node = below
        leaves[node, int(bits[-1])] = offset
    count = len(nodes)

    def pointer(node: int, side: int) -> int:
        if (node, side) in leaves:
            return count + 16 + leaves[node, side]
        below = nodes[node][side]
        return count if below is None else below

    tree = b"".join(pointer(node, side).to_bytes(3, "big") for node in range(count) for side in (0, 1))
    about: dict[str, Value] = {
        "node_count": count,
        "record_size": 24,
        "ip_version": 4,
        "database_type": "Test-Country",
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "description": {"en": "test"},
    }
    path.write_bytes(tree + bytes(16) + data + METADATA + encode(about))
    return str(path)


@pytest.fixture
def database(tmp_path: Path) -> str:
    pytest.importorskip("maxminddb")
    return write_database(
        tmp_path / "countries.mmdb",
        {
            "203.0.113.0/24": {"country": {"iso_code": "DE"}},
            "198.51.100.0/24": {"registered_country": {"iso_code": "FR"}},
            "192.0.2.0/25": {"country": "NL"},
            "192.0.2.128/25": {"country": {"iso_code": "EU"}},
            "100.64.0.0/10": "nonsense",
        },
    )


@pytest.mark.parametrize(
    ("header", "country"),
    [("DE", "DE"), (" de ", "DE"), ("XX", ""), ("T1", ""), ("D", ""), ("Germany", ""), ("Ä1", "")],
)
def test_the_header_names_the_country(header: str, country: str) -> None:
    assert country_of(header, "203.0.113.1", "") == country


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("203.0.113.77", "DE"),
        ("198.51.100.1", "FR"),
        ("192.0.2.1", "NL"),
        ("192.0.2.200", ""),
        ("100.64.1.1", ""),
        ("8.8.8.8", ""),
        ("2001:db8::", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_the_database_names_the_country(database: str, address: str, country: str) -> None:
    assert country_of("", address, database) == country


def test_the_header_comes_before_the_database_and_unknown_is_an_answer(database: str) -> None:
    assert country_of("AT", "203.0.113.1", database) == "AT"
    assert country_of("XX", "203.0.113.1", database) == ""
    assert country_of("garbage", "203.0.113.1", database) == "DE"


@pytest.mark.parametrize("content", [None, b"", b"not a database", METADATA + b"\xff" * 40])
def test_a_missing_or_broken_database_is_logged_once_without_addresses(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "broken.mmdb"
    if content is not None:
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING, logger="codex_tracking.hits.countries"):
        assert [country_of("", f"203.0.113.{n}", str(path)) for n in range(3)] == ["", "", ""]
    assert len(caplog.records) == 1
    assert "broken.mmdb" in caplog.text
    assert "203.0.113" not in caplog.text


def test_a_damaged_page_is_nobodys_country(database: str, tmp_path: Path) -> None:
    content = Path(database).read_bytes()
    damaged = tmp_path / "damaged.mmdb"
    damaged.write_bytes(content.replace(b"iso_code", b"\xff" * 8))
    assert country_of("", "203.0.113.9", str(damaged)) == ""


def test_the_database_is_opened_once(database: str) -> None:
    countries._reader.cache_clear()
    for number in range(20):
        country_of("", f"203.0.113.{number}", database)
    assert countries._reader.cache_info().misses == 1


@given(st.text(st.characters(), max_size=40), st.text(st.characters(), max_size=60))
def test_no_header_or_address_makes_it_raise(header: str, address: str) -> None:
    country = country_of(header, address, "/nowhere/countries.mmdb")
    assert country == "" or (len(country) == 2 and country.isascii() and country.isupper())
