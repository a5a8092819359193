"""The source of a visit: its referrer and campaign parameters as a source and a channel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote_plus

from django.http.request import validate_host

from codex_tracking.hits.sites import OwnSites, alias, app_site, bare, is_spam, known_site, own_site
from codex_tracking.hits.text import INVALID, clean, meant

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
    "gad_source": "Google",
    "gad_campaignid": "Google",
    "gclsrc": "Google",
    "msclkid": "Bing",
    "ttclid": "TikTok",
    "twclid": "X",
    "li_fat_id": "LinkedIn",
    "yclid": "Yandex",
    "rdt_cid": "Reddit",
    "sccid": "Snapchat",
    "epik": "Pinterest",
    "ob_click_id": "Outbrain",
    "obclid": "Outbrain",
    "dicbo": "Outbrain",
    "tblci": "Taboola",
    "qclid": "Quora",
    "irclickid": "Impact",
    "awc": "Awin",
    "zanpid": "Awin",
    "ymclid": "Yandex",
    "_openstat": "Yandex",
    "sznclid": "Seznam",
    "ndclid": "Nextdoor",
    "vmcid": "Yahoo!",
    "cjevent": "CJ",
    "ransiteid": "Rakuten",
    "sscid": "ShareASale",
    "tduid": "Tradedoubler",
    "admitad_uid": "Admitad",
    "s_kwcid": "Adobe",
    "ef_id": "Adobe",
}
"""Parameters that advertisers' networks add to paid clicks."""

LINK_IDS = {"fbclid": "facebook", "igshid": "instagram", "igsh": "instagram", "srsltid": "google", "ysclid": "yandex"}
"""Parameters that a site adds to every link, paid or not -> its alias; they count where no referrer says more."""

MAIL_IDS = {
    "mc_cid": "Mailchimp",
    "mc_eid": "Mailchimp",
    "_hsenc": "HubSpot",
    "_hsmi": "HubSpot",
    "mkt_tok": "Marketo",
    "_kx": "Klaviyo",
    "_ke": "Klaviyo",
    "ck_subscriber_id": "Kit",
    "vero_id": "Vero",
    "wickedid": "Wicked Reports",
    "_bta_tid": "Bronto",
    "ss_email_id": "SharpSpring",
}
"""Parameters that mailing services add to the links of a letter."""

IDS = CLICK_IDS.keys() | LINK_IDS.keys() | MAIL_IDS.keys()
NAMES = "|".join([*UTM, "ref", "source", *sorted(IDS)]).replace("_", "(?:_|%5F)")
# Links are mangled on their way: mailers code & and _, and networks append ?fbclid= to an address that has a query.
SEPARATOR = r"(?:[&?;]|%26|%3B)"
PARAMETER = re.compile(rf"(?:^|{SEPARATOR})({NAMES})=((?:[^&?;%]|(?!{SEPARATOR}(?:{NAMES})=)[^&])*)", re.IGNORECASE)

PAID = re.compile(
    r"(?:^|.*[-_ .])(?:cp[acdeilmopv]|ppc|ppv|paid.*|retargeting|remarketing|display|banners?|interstitial|expandable"
    r"|ads?|sem|affiliates?|content-text|sponsor(?:ed|ship)?|promoted|boosted|native|programmatic|cross-network|shopping|dsp"
    r"|rtb|pmax|performance-max|demand-gen)(?:$|[-_ .])"
)
"""Mediums of links somebody pays for (Google's default channel groups and their common spellings)."""

MAILED = r"(?:.*[-_ .])?(?:e[-_ ]?mail(?:s|er|ing)?|newsletters?|mail(?:ings?|er|out)?|edm)(?:[-_ .].*)?"

MEDIUMS = (
    ("email", re.compile(MAILED)),
    ("social", re.compile(r"(?:.*[-_ .])?social.*|sm|smm|.*video.*")),
    ("ai", re.compile(r"(?:gen)?ai(?:[-_ ].*)?|llms?|chatbot")),
    ("search", re.compile(r"organic(?:[-_ ]?search)?|seo")),
)
LINKED = re.compile(r"referral|app|link|\(none\)|\(not set\)")
"""Mediums that say no more than a referrer: the site decides."""

NOTHING = re.compile(
    r"\(direct\)|\(none\)|\(not[ _]set\)|null|none|undefined|nan|\[object object\]|-"
    # Possessive, since a text of a hundred percent signs is a placeholder in very many ways.
    r"|(?:(?:\$?[\[{<%]++[^\]}>%]*+[\]}>%]++|__[A-Z0-9_]+?__|\$\w++)[-_|.,:+ ]*+)+",
    re.IGNORECASE,
)
"""Values that scripts write when there is none, and placeholders that nothing was put into: ``{{placement}}``,
``{campaignid}_{adgroupid}``, TikTok's ``__CAMPAIGN_NAME__``, ``${source}``."""

PLACES = frozenset({
    "nav", "navbar", "navigation", "menu", "topmenu", "header", "footer", "sidebar", "side", "main", "all", "home",
    "homepage", "top", "bottom", "logo", "banner", "button", "btn", "cta", "breadcrumb", "breadcrumbs", "search",
    "body", "content", "article", "card", "list", "related", "more", "share", "link", "links", "page", "self",
    "site", "internal", "true", "false", "yes", "no", "1", "0", "on", "off", "default", "undefined", "null", "none",
    "web", "desktop", "mobile", "app", "pwa", "twa", "homescreen", "launcher", "shortcut", "standalone", "manifest",
    "hero", "popup", "modal", "toolbar", "tab", "back", "login", "signup", "checkout", "cart",
})  # fmt: skip
"""Values of ``?ref=`` and ``?source=`` that name a place on the same site rather than another site."""

LINK = re.compile(
    r"(https?|android-app|ios-app)://(?:[^/?#@]*@)?([^/?#:@\[\]]{1,253})(?::\d{0,5})?([^?#]*)",
    re.IGNORECASE | re.DOTALL,
)
HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.ASCII)


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


def source_of(referrer: str, query: str, host: str, own_sites: OwnSites = (), own_hosts: Sequence[str] = ()) -> Source:
    """Return the source of a request.

    Args:
        referrer: the ``Referer`` header.
        query: the query string as sent.
        host: the request's own host, port allowed; links from there are no source.
        own_hosts: patterns of the site's other hosts, as in ``ALLOWED_HOSTS``; links from there are no source either.
        own_sites: rows of the setting ``sources``; they win over the list.

    Returns:
        A ``Source``. Malformed, foreign-scheme and spam referrers count as none. Tags win over the referrer.
    """
    tags: dict[str, str] = {}
    for name, value in _parameters(query):
        # The first one that says something counts.
        said = tags.get(name) or clean(unquote_plus(meant(value)), VALUE_LIMIT)
        tags[name] = "" if NOTHING.fullmatch(said) else said
    # Without its query, which may tell about a person.
    page = _page(meant(referrer[:HEADER_LIMIT].partition("?")[0]), host, own_hosts)
    name, channel = _site(page, own_sites) if page else ("", "direct")
    utm = tuple(tags.get(key, "") for key in UTM)
    tagged = utm[0] or next((value for key in ("ref", "source") if _is_elsewhere(value := tags.get(key, ""))), "")
    click = next((site for key, site in CLICK_IDS.items() if tags.get(key)), "")
    link = next((site for key, site in LINK_IDS.items() if tags.get(key)), "")
    letter = next((service for key, service in MAIL_IDS.items() if tags.get(key)), "")
    if tagged:
        # The link's author wrote the tag on purpose; a referrer may be a page in between.
        name, channel = _tagged(tagged, own_sites)
    elif click:
        name = click
    elif letter:
        name = letter
    elif link and not name:
        name, channel = alias(link) or ("", "direct")
    return Source(name, _channel("email" if letter else channel, utm, bool(click)), page, *utm)


def campaign_of(query: str) -> str:
    """Return the part of a query string that ``source_of`` reads: few of all queries have any."""
    return "&".join(f"{name}={_short(name, value)}" for name, value in _parameters(query))


def _parameters(query: str) -> list[tuple[str, str]]:
    """Return names, in small letters, and coded values of the parameters that are read."""
    found = PARAMETER.findall(query[:QUERY_LIMIT])
    return [(name.lower().replace("%5f", "_"), value) for name, value in found]


def _short(name: str, value: str) -> str:
    """Return 1 for an id, which is another one for each click and only has to be there."""
    if name not in IDS:
        return value
    return "1" if clean(unquote_plus(value), VALUE_LIMIT) else ""


def _is_elsewhere(value: str) -> bool:
    """Whether ``?ref=`` names another site rather than a place on this one."""
    place = value.lower().strip("/#-_ ")
    # Of "footer_link" and "hero-cta" the first word tells; numbers are those of a customer or a button.
    return bool(place) and place not in PLACES and re.split(r"[-_ ]", place)[0] not in PLACES and not place.isdigit()


def _channel(channel: str, utm: tuple[str, ...], click: bool) -> str:
    """Return the channel: ``campaign`` for paid links, else by medium, else by site."""
    source, medium, campaign = utm[0].lower(), utm[1].lower(), utm[2]
    # Paid before all others: an advertisement on Facebook is no link that a person shared.
    if click or PAID.match(medium):
        return "campaign"
    for name, pattern in MEDIUMS:
        if pattern.fullmatch(medium):
            return name
    # Google Analytics writes these for visits without a tag, and people copy them into links.
    if LINKED.fullmatch(medium):
        return "referral" if channel == "direct" else channel
    if not medium and re.fullmatch(MAILED, source):
        return "email"
    if channel == "email" and not medium and not source:
        return channel
    # Somebody wrote tags, so that the visit is owed to a campaign; of known sites the channel says more.
    if campaign or (channel in ("referral", "direct") and (source or medium)):
        return "campaign"
    return channel


def _page(referrer: str, own_host: str, own_hosts: Sequence[str]) -> str:
    """Return host and path of a referrer, or an empty string when it is none that counts."""
    link = LINK.match(referrer.strip())
    if not link:
        return ""
    scheme, host, path = link[1].lower(), bare(link[2]), link[3]
    if not HOST.fullmatch(host) or host == bare(own_host) or is_spam(host):
        return ""
    # With and without www., since ALLOWED_HOSTS may name either.
    if validate_host(host, own_hosts) or validate_host(link[2].strip().lower().rstrip("."), own_hosts):
        return ""
    # Apps of Android and iOS have an id in place of a host, and no path.
    if scheme != "http" and scheme != "https":
        return clean(f"{scheme}://{host}", REFERRER_LIMIT)
    page = clean(host + path.rstrip("/"), REFERRER_LIMIT)
    return host if page == INVALID else page


def _site(page: str, own_sites: OwnSites) -> tuple[str, str]:
    """Return name and channel of a referring page."""
    host, _, rest = page.partition("/")
    # The scheme of an app; another colon may be that of an address within the path.
    if host.endswith(":"):
        app = rest[1:]
        return own_site(own_sites, app) or app_site(app) or (app, "referral")
    return own_site(own_sites, host) or known_site(host) or (_desktop(host), "referral")


def _tagged(value: str, own_sites: OwnSites) -> tuple[str, str]:
    """Return name and channel of a tag, which may be a name, a host, an address or any text."""
    text = value.lower()
    link = LINK.match(text)
    host = bare(link[2] if link else text.partition("/")[0])
    found = own_site(own_sites, host) or alias(text) or (known_site(host) if "." in host else None)
    return found or (value, "referral")


def _desktop(host: str) -> str:
    """Return a host without the mark of its mobile edition."""
    first, _, rest = host.partition(".")
    return rest if first in ("m", "mobile", "amp", "l", "lm", "web") and "." in rest else host
