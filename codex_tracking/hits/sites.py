"""The list of sites and of spam: names and channels of hosts."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parent / "data"

EXACT = "="
"""The mark of a row in ``sites.json`` that speaks for its host alone; one without speaks for all that is under it."""

SEARCH = re.compile(r"\w*search\w*|\w*(?:suche|recherche|ricerca|busca|busqueda|szukaj)\w*")
EDITIONS = re.compile(
    r"www\d?|m|mobile|wap|amp|l|lm|web|lite|html|go|r|out|clck|global|english|ipv[46]|images?|encrypted|cse|scholar|books"
    r"|videos?|[a-z]{2}"
)
"""Names under an exact host that are editions of it and no other product."""

PRODUCTS = frozenset({
    "about", "academy", "account", "accounts", "ads", "answers", "api", "apps", "auth", "blog", "blogs", "books",
    "business", "calendar", "career", "careers", "chat", "classroom", "cloud", "code", "community", "console",
    "contacts", "developer", "developers", "disk", "docs", "drive", "earth", "finance", "forms", "forum", "forums",
    "games", "groups", "help", "jobs", "keep", "learn", "lens", "login", "maps", "market", "marketplace",
    "meet", "movies", "music", "myaccount", "news", "partners", "passport", "payments", "photos", "platform",
    "play", "policies", "policy", "press", "privacy", "security", "shop", "shopping", "sites", "sports", "sso",
    "status", "store", "support", "translate", "travel", "weather", "workspace",
})  # fmt: skip
"""Names of a company's other products; people come from there as from any other site."""

MAIL = re.compile(
    r"[\w-]*mails?\d*|webmail[\w-]*|mail-[\w-]*|lightmailer[\w-]*|mailbusiness|deref-[\w-]+|messagerie\w*|roundcube|zimbra"
    r"|owa|poczta|posta|eposta|horde|sogo|rainloop|snappymail|exchange"
)
"""First labels of web mail, whoever runs it."""

BETWEEN = re.compile(r"[-_ .]+")
PART = re.compile(
    r"(.{2,40}?)[-_ .]*(?:(ads?|paid|cpc|ppc|adwords|sponsored)"
    r"|(?<=[-_ .])(?:stor(?:y|ies)|feed|reels?|posts?|bio|page|group|organic|social|shorts?|video|profile|mobile|app"
    r"|ios|android|web|dm|messenger|chat|search))"
)
"""A site and a part of it, or its advertisements: ``instagram_stories``, ``facebook ads``."""

COUNTRY_SUFFIX = re.compile(r"(?:com|org|net|cat|[a-z]{2}|com?\.[a-z]{2})")


class Sites(NamedTuple):
    """The list of sites made ready: name and channel by host, by family (``google.*``) and by alias."""

    hosts: dict[str, tuple[str, str]]
    families: dict[str, tuple[str, str]]
    aliases: dict[str, tuple[str, str]]
    exact: set[str]
    """Hosts and families that do not speak for what is under them."""


OwnSites = tuple[tuple[str, str, str], ...]
"""Host, name and channel of each row of the setting ``sources``."""


def bare(host: str) -> str:
    """Return a host without port, ``www.`` and final dot, in lower case."""
    name = host.strip().lower()
    if not name.endswith("]"):
        name = re.sub(r":\d*$", "", name)
    return name.rstrip(".").removeprefix("www.")


def own_site(own_sites: OwnSites, host: str) -> tuple[str, str] | None:
    """Return name and channel of a host that the project named, or of the host that it is part of."""
    if not own_sites:
        return None
    named = {bare(own): (name, channel) for own, name, channel in own_sites}
    return next((named[parent] for parent in _parents(host) if parent in named), None)


def known_site(host: str) -> tuple[str, str] | None:
    """Return name and channel of a host on the list, None for one that is not."""
    sites = _sites()
    if host in sites.hosts:
        return sites.hosts[host]
    row, under = _row(host)
    first = host.partition(".")[0]
    if (under or not row) and MAIL.fullmatch(first) and host.count(".") >= (1 if first.startswith("deref-") else 2):
        if not row:
            return host, "email"
        name = (sites.hosts.get(row) or sites.families[row])[0]
        return name if name.endswith("Mail") else f"{name} Mail", "email"
    if not row:
        return None
    name, channel = site = sites.hosts.get(row) or sites.families[row]
    label = under[-1] if under else ""
    # A network's console and a web mail's sign-in page still belong to their channel.
    if label in PRODUCTS and channel not in ("email", "campaign"):
        return f"{name} {label.capitalize()}", "referral"
    if row in sites.exact and not any(map(SEARCH.fullmatch, under)) and not all(map(EDITIONS.fullmatch, under)):
        return host, "referral"
    return site


def _parents(host: str) -> list[str]:
    """Return a host and all it is part of, the longest first: ``a.b.c``, ``b.c``, ``c``."""
    # A made-up host may have more than a hundred labels, each of which would cost a look-up.
    labels = host.split(".")[-10:]
    return [".".join(labels[at:]) for at in range(len(labels))]


def is_spam(host: str) -> bool:
    """Whether this host is known for sending made-up referrers."""
    spam = _spam()
    return any(parent in spam for parent in _parents(host.lower()))


def app_site(app: str) -> tuple[str, str] | None:
    """Return name and channel of an Android or iOS app, None for one that is not on the list."""
    return _sites().hosts.get(f"app:{app}")


def alias(text: str) -> tuple[str, str] | None:
    """Return name and channel of a site as people write it in ``utm_source``: ``fb``, ``linked_in``, ``tiktok-ads``."""
    found = _spelled(text)
    if found:
        return found
    part = PART.fullmatch(text)
    if part is None:
        return None
    found = _spelled(part[1])
    return (found[0], "campaign") if found and part[2] else found


def _spelled(text: str) -> tuple[str, str] | None:
    aliases = _sites().aliases
    return aliases.get(text) or aliases.get(BETWEEN.sub("", text))


@cache
def _sites() -> Sites:
    channels: dict[str, dict[str, list[str]]] = json.loads((DATA / "sites.json").read_text("utf-8"))
    sites = Sites({}, {}, {}, set())
    for channel, names in channels.items():
        for name, hosts in names.items():
            for host in hosts:
                _add(sites, host, (name, channel))
            # Rows may have the same name in two channels; the first one is the site's own, as with Google and its ads.
            sites.aliases.setdefault(name.lower(), (name, channel))
            sites.aliases.setdefault(BETWEEN.sub("", name.lower()), (name, channel))
    return sites


def _row(host: str) -> tuple[str, list[str]]:
    """Return the row of the list that a host belongs to, the most telling first, and the labels before it."""
    sites = _sites()
    labels = host.split(".")[-10:]
    for at in range(len(labels)):
        parent = ".".join(labels[at:])
        if parent in sites.hosts:
            return parent, labels[:at]
        family = _family(labels, at)
        if family:
            return family, labels[:at]
    return "", []


def _family(labels: list[str], at: int) -> str:
    """Return the family that begins at a label: google.de, mail.yahoo.co.uk, but not google.evil.com."""
    families = _sites().families
    # The longer name first, since a family may have two labels: adservice.google.* is not google.*.
    for size in (2, 1):
        family = ".".join(labels[at : at + size])
        if family in families and COUNTRY_SUFFIX.fullmatch(".".join(labels[at + size :])):
            return family
    return ""


def _add(sites: Sites, row: str, site: tuple[str, str]) -> None:
    host = row.removeprefix(EXACT)
    if host.endswith(".*"):
        host = host[:-2]
        sites.families[host] = site
    elif "." in host:
        sites.hosts[host] = site
    else:
        sites.aliases[host] = site
    if row.startswith(EXACT):
        sites.exact.add(host)


@cache
def _spam() -> frozenset[str]:
    lines = (DATA / "spam.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
