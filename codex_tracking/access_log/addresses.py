"""Client addresses as web servers write them: with ports, in lists, after a virtual host, as host names."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

IPV4 = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}", re.ASCII)
WITH_PORT = re.compile(r"((?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.%\w]+\]):\d+", re.ASCII)
PORT = re.compile(r":\d+$", re.ASCII)
HOST = re.compile(r"(?:(?:[\w-]+\.)+[A-Za-z][\w-]*\.?|localhost)(?::\d+)?", re.ASCII)
SHORTENED = re.compile(r"(?=.*[x*])\d{1,3}(?:\.(?:\d{1,3}|x{1,3}|\*)){3}", re.ASCII)
"""An address whose last parts an anonymiser replaced, as in ``203.0.113.xxx``."""
HASH = re.compile(r"(?=.*\d)[0-9a-fA-F]{8,128}", re.ASCII)
"""A hash that an anonymiser wrote in place of an address."""
PRIVATE = re.compile(r"10\.|127\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|::1$|f[cd][0-9a-f]{2}:", re.ASCII)
"""Addresses of one's own network (RFC 1918, RFC 4193), behind which no visitor of a public site is."""


class Client(NamedTuple):
    """The client of a request, and the host that it asked for if the line begins with that."""

    address: str
    host: str = ""


@lru_cache(maxsize=8_192)
def client_of(words: str) -> Client:
    """Return the client from all that a line has before its time: ``[prefix] [host[:port]] client ident user``,
    or ``client host user``.

    Raises:
        ValueError: no word, or more than one, may be the client.
    """
    address, _, rest = words.partition(" ")
    if rest == "- -" and (address := address_of(address)):
        return Client(address)
    parts = words.split()
    found = [(at, address) for at, part in enumerate(parts) if (address := address_of(part.rstrip(",")))]
    if not found:
        return _named(parts)
    at, address = found[0]
    if parts[at].endswith(","):
        # A list, as in X-Forwarded-For: the client first, then the proxies.
        while parts[at].endswith(",") and at + 1 < len(parts):
            at += 1
        return Client(address, _host(parts, found[0][0]))
    if len(found) > 1 and found[1][0] == at + 1:
        if ":" not in parts[at] or not WITH_PORT.fullmatch(parts[at]):
            raise ValueError("two addresses, so that the client cannot be told; name the fields with --format")
        return Client(found[1][1], without_port(parts[at]))
    # lighttpd writes the host in place of the ident, which has no dots, and Virtualmin two hosts after it.
    named = parts[at + 1] if len(parts) > at + 2 else ""
    if len(parts) > at + 4 and HOST.fullmatch(parts[at + 2]) and HOST.fullmatch(parts[at + 3]):
        named = parts[at + 2]
    return Client(address, without_port(named) if HOST.fullmatch(named) else _host(parts, at))


def _host(parts: list[str], at: int) -> str:
    return without_port(parts[at - 1]) if at and HOST.fullmatch(parts[at - 1]) else ""


def without_port(host: str) -> str:
    """Return a host without its port."""
    return PORT.sub("", host)


def _named(parts: list[str]) -> Client:
    """Return the client that is a host name or a hash: the last such word that ``-``, the ident, follows."""
    for at in range(len(parts) - 2, -1, -1):
        name = parts[at]
        if parts[at + 1] == "-" and (HOST.fullmatch(name) or HASH.fullmatch(name) or SHORTENED.fullmatch(name)):
            return Client(stand_in(name), _host(parts, at))
    raise ValueError("no client address")


@lru_cache(maxsize=8_192)
def address_of(text: str) -> str:
    """Return an address without port, brackets, quotes and zone; empty when the text is none."""
    text = text.strip().strip('"')
    if IPV4.fullmatch(text):
        return text if all(int(part) < 256 for part in text.split(".")) else ""
    if text.count(",") and ":" not in text.partition(",")[0]:
        text = text.partition(",")[0].strip()
    found = WITH_PORT.fullmatch(text)
    if found:
        text = found[1]
    text = text.removeprefix("[").removesuffix("]").partition("%")[0]
    # Without this, `ip_address` is asked about each word of each line.
    if ":" not in text and not IPV4.fullmatch(text):
        return ""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


@lru_cache(maxsize=16_384)
def client_address(text: str) -> str:
    """Return the address that a field of the client has: an address, the first of a list, or a name's stand-in.

    Raises:
        ValueError: the field is none of these.
    """
    words = re.split(r",\s*", text.strip())
    found = next((address for address in map(address_of, words) if address), "")
    if found:
        return found
    name = words[0].strip('"')
    if not (HOST.fullmatch(name) or HASH.fullmatch(name) or SHORTENED.fullmatch(name)):
        raise ValueError("no client address")
    return stand_in(name)


def stand_in(name: str) -> str:
    """Return the address that stands for a client whose log has a name instead: one of a private IPv6 network each."""
    if name == "localhost":
        return "127.0.0.1"
    digest = blake2b(name.lower().encode("utf-8", "surrogatepass"), digest_size=7).hexdigest()
    # The first 64 bits differ, since visitors are told apart by them; fd00::/8 belongs to no country.
    return f"fd{digest[:2]}:{digest[2:6]}:{digest[6:10]}:{digest[10:14]}::"


@lru_cache(maxsize=16_384)
def forwarded_of(field: str, address: str) -> str:
    """Return a field that may be ``X-Forwarded-For``; empty when it is something else.

    Servers also write their upstream (``10.0.0.7:8000``), a duration or a host there.
    """
    hops = [hop.strip() for hop in field.split(",")]
    if not all(hop == "unknown" or address_of(hop) for hop in hops):
        return ""
    inside = all(PRIVATE.match(address_of(hop) or hop) for hop in hops)
    ported = any(map(WITH_PORT.fullmatch, hops))
    if PRIVATE.match(address):
        # An upstream has a port; so has the client of Azure's gateways, but it comes from outside.
        return "" if inside and ported else field
    # The client of a proxy with a public address has one, too; this is the server's own or its upstream's.
    return "" if inside or ported else field
