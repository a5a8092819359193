"""The source of a visit: its referrer and campaign parameters as a source and a channel."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_plus

from codex_tracking.hits.text import INVALID, clean

DATA = Path(__file__).parent / "data"

REFERRER_LIMIT = 500
VALUE_LIMIT = 200
"""Characters of a campaign parameter that are kept."""

QUERY_LIMIT = 2_048
HEADER_LIMIT = 2_048

UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")

CLICK_IDS = {
    "gclid": "Google",
    "gbraid": "Google",
    "wbraid": "Google",
    "dclid": "Google",
    "msclkid": "Bing",
    "ttclid": "TikTok",
    "twclid": "X",
    "li_fat_id": "LinkedIn",
    "yclid": "Yandex",
    "rdt_cid": "Reddit",
}
"""Parameters that advertisers' networks add to paid clicks. Facebook's fbclid is on every link, so it says nothing."""

PARAMETER = re.compile(rf"(?:^|[&?;])({'|'.join([*UTM, 'ref', 'source', *CLICK_IDS])})=([^&]*)", re.IGNORECASE)

PAID = re.compile(
    r"(?:^|.*[-_ .])(?:cp[acmv]|ppc|ppv|paid.*|retargeting|display|banner|ads?|sem|affiliates?)(?:$|[-_ .])"
)
"""Mediums of links somebody pays for (Google's default channel groups and their common spellings)."""

MEDIUMS = (
    ("email", re.compile(r"e[-_ ]?mail|newsletter|mailing")),
    ("social", re.compile(r"social.*|sm")),
    ("ai", re.compile(r"ai|llm|ai[-_ ]?assistant|chatbot")),
)

LINK = re.compile(
    r"(https?|android-app|ios-app)://(?:[^/?#@]*@)?([^/?#:@\[\]]{1,253})(?::\d{0,5})?([^?#]*)",
    re.IGNORECASE | re.DOTALL,
)
HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.ASCII)
COUNTRY_SUFFIX = re.compile(r"(?:com|org|net|[a-z]{2}|com?\.[a-z]{2})")


class Source(NamedTuple):
    """Source, channel, referrer and campaign of one request; empty strings for absent ones."""

    source: str
    """A site's name (``Google``), its host, or what the link's author wrote; empty for direct visits."""
    channel: str
    """``direct``, ``search``, ``social``, ``ai``, ``email``, ``campaign`` or ``referral``."""
    referrer: str
    """Host and path of the page that linked here; never its query string."""
    utm_source: str
    utm_medium: str
    utm_campaign: str
    utm_term: str
    utm_content: str


class Sites(NamedTuple):
    """The list of sites made ready: name and channel by host, by family (``google.*``) and by alias."""

    hosts: dict[str, tuple[str, str]]
    families: dict[str, tuple[str, str]]
    aliases: dict[str, tuple[str, str]]


def source_of(referrer: str, query: str, host: str) -> Source:
    """Return the source of a request.

    Args:
        referrer: the ``Referer`` header.
        query: the query string as sent.
        host: the request's own host, port allowed; links from there are no source.

    Returns:
        A ``Source``. Malformed, foreign-scheme and spam referrers count as none. Tags win over the referrer.
    """
    tags: dict[str, str] = {}
    for name, value in PARAMETER.findall(query[:QUERY_LIMIT]):
        # The first one counts, as in every analytics tool.
        tags.setdefault(name.lower(), clean(unquote_plus(value), VALUE_LIMIT))
    page = _page(referrer[:HEADER_LIMIT].partition("?")[0], host)
    name, channel = _site(page) if page else ("", "direct")
    utm = tuple(tags.get(key, "") for key in UTM)
    tagged = utm[0] or tags.get("ref", "") or tags.get("source", "")
    click = next((site for key, site in CLICK_IDS.items() if tags.get(key)), "")
    if tagged:
        name, channel = _tagged(tagged)
    elif click:
        name = click
    return Source(name, _channel(channel, utm, bool(click)), page, *utm)


def campaign_of(query: str) -> str:
    """Return the part of a query string that ``source_of`` reads: few of all queries have any."""
    return "&".join(f"{name}={value}" for name, value in PARAMETER.findall(query[:QUERY_LIMIT]))


def is_spam(host: str) -> bool:
    """Whether this host is known for sending made-up referrers."""
    spam = _spam()
    return any(parent in spam for parent in _parents(host.lower()))


def _channel(channel: str, utm: tuple[str, ...], click: bool) -> str:
    """Return the channel: ``campaign`` for paid links, else by medium, else by site."""
    source, medium, campaign = utm[0], utm[1].lower(), utm[2]
    if click or PAID.match(medium):
        return "campaign"
    for name, pattern in MEDIUMS:
        if pattern.fullmatch(medium):
            return name
    if campaign or (channel in ("referral", "direct") and (source or medium)):
        return "campaign"
    return channel


def _page(referrer: str, own_host: str) -> str:
    """Return host and path of a referrer, or an empty string when it is none that counts."""
    link = LINK.match(referrer.strip())
    if not link:
        return ""
    scheme, host, path = link[1].lower(), _bare(link[2]), link[3]
    if not HOST.fullmatch(host) or host == _bare(own_host) or is_spam(host):
        return ""
    if scheme != "http" and scheme != "https":
        return clean(f"{scheme}://{host}", REFERRER_LIMIT)
    page = clean(host + path.rstrip("/"), REFERRER_LIMIT)
    return host if page == INVALID else page


def _bare(host: str) -> str:
    """Return a host without port, ``www.`` and final dot, in lower case."""
    name = host.strip().lower()
    if not name.endswith("]"):
        name = re.sub(r":\d*$", "", name)
    return name.rstrip(".").removeprefix("www.")


def _site(page: str) -> tuple[str, str]:
    """Return name and channel of a referring page."""
    app = page.partition("://")[2]
    if app:
        return _sites().hosts.get("app:" + app) or (app, "referral")
    host = page.partition("/")[0]
    return _known(host) or (_desktop(host), "referral")


def _tagged(value: str) -> tuple[str, str]:
    """Return name and channel of a tag, which may be a name, a host, an address or any text."""
    text = value.lower()
    link = LINK.match(text)
    host = _bare(link[2] if link else text.partition("/")[0])
    found = _sites().aliases.get(text) or (_known(host) if "." in host else None)
    return found or (value, "referral")


def _known(host: str) -> tuple[str, str] | None:
    sites = _sites()
    for parent in _parents(host):
        if parent in sites.hosts:
            return sites.hosts[parent]
    labels = host.split(".")
    for at, label in enumerate(labels[:-1]):
        # google.de, google.co.uk, www.google.com.br, but not google.evil.com
        if label in sites.families and COUNTRY_SUFFIX.fullmatch(".".join(labels[at + 1 :])):
            return sites.families[label]
    return None


def _parents(host: str) -> list[str]:
    """Return a host and all it is part of, the longest first: ``a.b.c``, ``b.c``, ``c``."""
    labels = host.split(".")[-10:]
    return [".".join(labels[at:]) for at in range(len(labels))]


def _desktop(host: str) -> str:
    """Return a host without the mark of its mobile edition."""
    first, _, rest = host.partition(".")
    return rest if first in ("m", "mobile", "amp", "l", "lm", "web") and "." in rest else host


@cache
def _sites() -> Sites:
    channels: dict[str, dict[str, list[str]]] = json.loads((DATA / "sites.json").read_text("utf-8"))
    sites = Sites({}, {}, {})
    for channel, names in channels.items():
        for name, hosts in names.items():
            for host in hosts:
                _add(sites, host, (name, channel))
            sites.aliases.setdefault(name.lower(), (name, channel))
    return sites


def _add(sites: Sites, host: str, site: tuple[str, str]) -> None:
    if host.endswith(".*"):
        sites.families[host[:-2]] = site
    elif "." in host:
        sites.hosts[host] = site
    else:
        sites.aliases[host] = site


@cache
def _spam() -> frozenset[str]:
    lines = (DATA / "spam.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
