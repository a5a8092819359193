"""The visitor's country: the CDN's header, else a MaxMind database."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from codex_tracking.hits.text import clean

if TYPE_CHECKING:
    from maxminddb import Reader

logger = logging.getLogger(__name__)

NAME_LIMIT = 80
"""Characters of the name of a region or city."""
NOWHERE = frozenset({"XX", "T1", "ZZ", "A1", "A2", "AP", "EU", "O1"})
"""Codes of CDNs and databases for unknown, Tor, proxies, satellites and whole continents."""


def country_of(header_value: str, address: str, geoip_path: str) -> str:
    """Return the ISO 3166 alpha-2 code of a visitor's country, or an empty string.

    Args:
        header_value: of the header that ``country_header`` names; a CDN's ``XX`` or ``T1`` is an answer: unknown.
        address: the client's, from ``visitors.client_address``.
        geoip_path: a MaxMind database (country or city), or empty.
    """
    if header_value:
        code = header_value.strip().upper()
        if code in NOWHERE or _is_code(code):
            return _known(code)
    return _look_up(address, geoip_path) if geoip_path and address else ""


def region_of(country: str, address: str, geoip_path: str) -> tuple[str, str]:
    """Return the English names of a visitor's region and city; empty strings if the database has none.

    Args:
        country: from ``country_of``; a region of another country is none, as where a CDN knows the visitor better.
        address: the client's.
        geoip_path: a MaxMind city database; one of countries has no regions.
    """
    return _region(country, address, geoip_path) if country and address and geoip_path else ("", "")


def can_open(path: str) -> bool:
    """Return whether a file is a MaxMind database; needs its package."""
    import maxminddb

    try:
        maxminddb.open_database(path).close()
    except Exception:  # as in _reader: a file may be damaged in any way
        return False
    return True


def _is_code(code: str) -> bool:
    return len(code) == 2 and code.isascii() and code.isalpha()


def _known(code: object) -> str:
    return code if isinstance(code, str) and _is_code(code) and code not in NOWHERE else ""


@lru_cache(maxsize=4)
def _reader(path: str) -> Reader | None:
    """Open a database once; a missing or broken one says so once and stays closed until the process ends."""
    try:
        import maxminddb

        return maxminddb.open_database(path)
    except ImportError:
        logger.warning("CODEX_TRACKING['geoip_path'] is set, but maxminddb is not installed: no countries.")
    except Exception as error:
        logger.warning("Cannot open the GeoIP database %s (%s): no countries.", path, type(error).__name__)
    return None


@lru_cache(maxsize=8192)
def _look_up(address: str, path: str) -> str:
    record = _record(address, path)
    # Where a database does not know in which country an address is used, it knows where it is registered.
    for name in ("country", "registered_country"):
        country = record.get(name)
        code = _known(country.get("iso_code") if isinstance(country, dict) else country)
        if code:
            return code
    return ""


@lru_cache(maxsize=8192)
def _region(country: str, address: str, path: str) -> tuple[str, str]:
    # A CDN's country counts, and a city of another country beside it would contradict it.
    if _look_up(address, path) != country:
        return "", ""
    record = _record(address, path)
    subdivisions = record.get("subdivisions")
    # The first one is the largest: England, and then Oxfordshire.
    region = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
    return _english(region), _english(record.get("city"))


def _english(place: Any) -> str:
    names = place.get("names") if isinstance(place, dict) else None
    name = names.get("en") if isinstance(names, dict) else None
    return clean(name, NAME_LIMIT) if isinstance(name, str) else ""


def _record(address: str, path: str) -> dict[str, Any]:
    reader = _reader(path)
    if reader is None:
        return {}
    try:
        record = reader.get(address)
    except Exception:  # not an address, IPv6 in an IPv4 database, a corrupt page: none of it is the visitor's fault
        return {}
    return record if isinstance(record, dict) else {}
