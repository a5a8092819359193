"""Visitor identity and its keyed daily hash."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address

from codex_tracking.hits.hit import RawClient

MAX_HOPS = 10
"""Entries of ``X-Forwarded-For`` that are looked at, from the right."""

HEADER_LIMIT = 200
"""Characters of any other header that are kept."""
FORWARDED_LIMIT = 512
"""Characters of ``X-Forwarded-For`` that are read, from the right: the left part is the client's own invention."""

ID_BYTES = 16
URL_SAFE, USUAL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
"""The alphabet of base64url in place of the usual one, and the other way round."""
NETWORK_BITS = 64
"""An IPv6 subscriber gets a /64 at least and changes addresses within it daily."""
OCTETS = frozenset(map(str, range(256)))
"""The parts of the common form of an address; this check takes a thirtieth of the time that ``ipaddress`` takes."""
QUOTED = r'"(?:[^"\\]|\\.)*"'
ENTRY = re.compile(rf"((?:{QUOTED}|[^,])*+),")
PAIR = re.compile(rf"((?:{QUOTED}|[^;])*+);")
"""Entries of ``Forwarded`` and what they say; separators within quotes are none (RFC 7239, section 4)."""
NAT64 = int(IPv6Address("64:ff9b::")) >> 32
"""The upper bits of all IPv4 clients of a network without IPv4 (RFC 6052)."""
LOCAL_NAT64 = int(IPv6Address("64:ff9b:1::")) >> 80
"""The same for translators within a network, of which each has a prefix of its own there (RFC 8215)."""


def client_address(address: str, forwarded: str, trusted_proxies: int, header: str = "") -> str:
    """Return the client's address; IPv6 as the first address of its /64, IPv4 in IPv6 unwrapped.

    Args:
        address: ``REMOTE_ADDR``.
        forwarded: the value of ``header``.
        trusted_proxies: how many proxies in front each append one entry; 0 ignores ``X-Forwarded-For``.
        header: ``client_ip_header``; of ``X-Forwarded-For`` when empty.

    Returns:
        What the header says, in a list the entry ``trusted_proxies`` from the right; ``address`` when the header or
        that entry is missing, as for requests past the proxy; an empty string when no address can be read
        (``unknown``, a Unix socket).
    """
    name = header.lower()
    if not forwarded or not (name or 0 < trusted_proxies <= MAX_HOPS):
        return _tidy(address)
    text = forwarded[-FORWARDED_LIMIT:]
    if name not in ("", "x-forwarded-for", "forwarded"):
        # Servers join repeated headers, and the last one is the proxy's own.
        return _tidy(text.rpartition(",")[2])
    place = min(trusted_proxies, MAX_HOPS) or 1
    # An empty entry counts: a proxy wrote it of a peer without address, and what is before it is the client's own.
    hops = ENTRY.findall(text + ",") if name == "forwarded" else text.split(",")
    if len(hops) < place:
        return _tidy(address)
    return _tidy(_client_of(hops[-place]) if name == "forwarded" else hops[-place])


def _client_of(entry: str) -> str:
    """Return the value of ``for`` in one entry of ``Forwarded``; empty without one."""
    for pair in PAIR.findall(entry + ";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return str(value)
    return ""


def is_forwarded(address: str, forwarded: str) -> bool:
    """Return whether ``REMOTE_ADDR`` is one of these entries: the server has read the header itself."""
    client = _tidy(address)
    return bool(client) and client in map(_tidy, forwarded[-FORWARDED_LIMIT:].rsplit(",", MAX_HOPS))


def _tidy(said: object) -> str:
    # A middleware of the project may have made REMOTE_ADDR an object of the module ipaddress.
    text = str(said)
    octets = text.split(".", 4)
    if len(octets) == 4 and OCTETS.issuperset(octets):
        return text
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") in (1, 8) and "::" not in text:
        # A port after IPv4 (Azure), or after all eight groups of IPv6 (CloudFront).
        text = text.rpartition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    within = address.ipv4_mapped or _translated(address)
    if within:
        return str(within)
    if address.is_link_local or int(address) >> NETWORK_BITS == 0:
        # A local network has one /64 for all its machines, and so have stateless translators (RFC 2765).
        return str(IPv6Address(int(address)))
    return str(IPv6Address(int(address) >> NETWORK_BITS << NETWORK_BITS))


def _translated(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 client in an address of NAT64 or Teredo, whose /64 is the same for all of them."""
    if int(address) >> 32 == NAT64 or int(address) >> 80 == LOCAL_NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.teredo[1] if address.teredo else None


def identity(client: RawClient, trusted_proxies: int, header: str = "") -> str:
    """Return the visitor's identity in clear text: never store it, never log it.

    Returns:
        The user's key, else address and user agent; an empty string for visitors who opted out, and for those without
        an address, since all of them would be one.
    """
    return identity_at(client, client_address(client[5], client[6], trusted_proxies, header))


def identity_at(client: RawClient, address: str) -> str:
    """Return the identity of a client whose address is known; see ``identity``."""
    _, agent, _, _, _, _, _, user, anonymous, _, _ = client
    if anonymous:
        return ""
    if user:
        return "u\0" + user
    return f"{address}\0{agent}" if address else ""


def visitor_id(identity: str, salt: bytes) -> str:
    """Return the stored form of an identity: a keyed 128-bit hash, 22 characters of base64url.

    Args:
        identity: from ``identity``; an empty one stays empty.
        salt: the day's random salt, up to 64 bytes.
    """
    return visitor_ids(visitor_digests([identity], salt))[identity] if identity else ""


def visitor_ids(digests: Mapping[str, bytes]) -> dict[str, str]:
    """Return the stored forms of identities, none of them empty; see ``visitor_id``.

    Args:
        digests: identities and their ``visitor_digests``.
    """
    # All at once: one by one the encoding takes longer than the hash.
    encoded = b"".join([b2a_base64(digest, newline=False) for digest in digests.values()])
    text = encoded.translate(URL_SAFE).decode("ascii")
    return {identity: text[at : at + 22] for identity, at in zip(digests, range(0, len(text), 24), strict=True)}


def digests_of(visitors: Sequence[str]) -> list[bytes]:
    """Return the ``visitor_digest`` behind each ``visitor_id``, which takes a tenth of the time of the hashes."""
    # All at once: letters that stand for zeros fill each id up to whole bytes.
    data = a2b_base64("".join([f"{visitor}AA" for visitor in visitors]).encode("ascii").translate(USUAL))
    return [data[at : at + ID_BYTES] for at in range(0, len(data), ID_BYTES + 2)]


def visitor_digests(identities: Iterable[str], salt: bytes) -> dict[str, bytes]:
    """Return each distinct identity with its ``visitor_digest``."""
    return {identity: visitor_digest(identity, salt) for identity in set(identities)}


def visitor_digest(identity: str, salt: bytes) -> bytes:
    """Return the 16 bytes behind ``visitor_id``; none for an empty identity."""
    if not identity:
        return b""
    # 0.6 µs. hash() takes an eighth of that, but differs from process to process. BLAKE2b's keys have 64 bytes at most.
    return blake2b(identity.encode("utf-8", "surrogatepass"), key=salt[:64], digest_size=ID_BYTES).digest()
