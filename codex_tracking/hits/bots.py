"""The rules that tell a bot's user agent from a browser's."""

from __future__ import annotations

import re

from codex_tracking.hits.bot_list import category_of, listed
from codex_tracking.hits.memo import Memo
from codex_tracking.hits.text import AGENT_LIMIT
from codex_tracking.settings import TrackingSettings

EMPTY_AGENT = "(empty)"
BARE_AGENT = "(bare)"
"""An agent such as ``Mozilla/5.0`` with at most one word after it: no browser sends that."""


PHONE = re.compile(r"(android [\d.]+; (?:[a-z]{2}[-_][a-z]{2}; )?)[a-z]{1,8} bot\b[\w+ ]{0,20}(?=\)|; wv| build/)")
"""Models of telephones and tablets: M BOT 551, ID bot 53+, POWER BOT, VR Bot."""

PROGRAM_WORDS = (
    *("robot", "crawl", "crwlr", "crawlr", "scraper", "scraping", "scrapy", "fetch", "archiver", "headless", "monitor"),
    *("validator", "checker", "contentscan", "inspector", "measurement", "research", "httpclient", "http-client"),
    *("http client", "feedreader", "feed-reader", "feedparser", "feed-parser", "feedburner", "feed-burner", "preview"),
    *("optimizer", "survey", "synthetic", "thumb", "screenshot", "screenhot", "screenie", "webkit2", "analyzer"),
    *("analyser", "classifier", "prospect", "transcoder", "search console", "keyword", "probe", "httpstatus"),
    *("http status", "audit", "backlink", "uptime", "renderer", "rendering", "rendertree", "presence", "harvest"),
    *(
        "sniff",
        "fuzz",
        "pentest",
        "selenium",
        "puppeteer",
        "playwright",
        "loadtest",
        "load test",
        "whois",
        "validation",
    ),
)
"""Words that programs have in their names and browsers do not."""

# Each begins with plain text, which `re` looks for as fast as `str.find`; what may not stand before it comes second.
GUARDED_WORDS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        # Cubot, XBot and M_bot are telephones and tablets, and so is Spider 8. CamScanner is an app with a web view.
        r"bot(?<!cubot)(?<!\bxbot)(?<!m_bot)s?(?:\b|_)",
        r"spider(?! \d)",
        r"scanner(?<!camscanner)",
        r"scan(?<=\bscan)(?:ning)?\b",
        r"agent(?<!useragent)(?<!user[- ]agent)\b",
        r"probing(?<=\bprobing)",
        r"wpm(?<=\bwpm)\b",
        r"google-(?<=\bgoogle-)(?!tr-)",
        r"-google\b",
    )
)
"""Such words that browsers have too, under other circumstances."""

CATEGORY_WORDS = tuple(
    (category, re.compile(words))
    for category, words in (
        ("seo", r"seo|backlink|audit|keyword|rank"),
        ("feed", r"feed|rss\b|podcast"),
        ("archive", r"archiv"),
        ("monitor", r"monitor|uptime|check|probe|synthetic|http ?status|\bwpm\b"),
        ("security", r"scan|pentest|fuzz|sniff|vuln|security"),
        ("preview", r"preview|thumb|screens?hot|screenie"),
        ("headless", r"headless|selenium|puppeteer|playwright|render"),
        ("academic", r"research|measurement|survey|\.edu\b"),
        ("script", r"http-?client|http client|scrap|fetch|curl|wget"),
        ("search", r"search"),
    )
)
"""Categories of bots that are not on the list, by the words in their names."""

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")

PAGE = re.compile(r"\.(?:html?|php|aspx?|jsp)$")
"""The address that a crawler gives often ends in a page such as bot.html, which is nobody's name."""

LINK = re.compile(r"https?://(?!(?:www\.)?(?:bsalsa\.com|studo\.co|qtweb\.net))(?:www\.)?([a-z0-9.-]{1,60})")
MAIL = re.compile(
    r"(?<=[a-z0-9_.-])(?:@|[\[(]at[\])]| at )([a-z0-9-]{1,40}(?:(?:\.| dot )[a-z]{2,20}\b){1,4})", re.ASCII
)
"""Crawlers give an address for complaints; browsers do not."""

DOT = re.compile(r"\.[a-z]{2}")
"""In every domain and in few browsers' agents; looked for first, as it takes a tenth of the time."""
DOMAIN = re.compile(
    r"(?<![\w@./-])(?!com\.|org\.|net\.)(?:www\.)?((?:[a-z0-9-]{1,40}\.){1,3}(?:com|net|org|info|biz|io|ai|co|dev|app|ly"
    r"|gy|uk|ru|de|fr|nl|pl|cz|se|jp|cn|br|tech|cloud|xyz|online|site))(?![\w.-])",
    re.ASCII,
)
"""A site without ``https://``."""

FOREIGN_DOMAIN = re.compile(
    r"msie [4-7]|rv:1\.|stumbleupon|via |swrinfo|nintendo|dreampassport|\[fb|fbcr/|^opera|proxomitron|avantbrowser"
    r"|multi-?browser|bsalsa\.com|studo\.co|qtweb\.net|ask\.com mobile"
)
"""In these agents a bare domain is a toolbar, a translation service, a mobile network or a browser's home."""

COMPATIBLE = re.compile(
    r"(?:\(compatible[;,]?|\bcompatible[;,]) *"
    r"(?!msie|konqueror|ibrowse|opera|windows|win\d|linux|netfront|polaris|netpositive|risc|[iu];|u\)|icab|device|\.net|galeon|xx"
    r"|version|ncsa|mosaic|up\.browser|x11|mmef|awe|antgalio|haiku|x86|odyssey|origyn|omniweb|netscape|teleca|maui"
    r"|wap browser|amiga|voyager|arexx|alpha|netbox|netgem|offbyone|antfresco|ncbrowser|fw |staffs|with |lotus|crazy"
    r"|acorn|avantgo|abrowse|mspie|gzip|2345|playstation|mozilla)"
    r"([\w.-]{1,40})",
    re.ASCII,
)
"""After Internet Explorer and Konqueror, only programs call themselves compatible."""

# Tried with 198,034 agents of people: 9 had such a word, all of which are exceptions now.
COMMENT = re.compile(
    r"like gecko[;,] *(?!gzip|2345|playstation|safari|netfront|openbrowser|opera|tv\b|wireless|chrome|apple"
    r"|version|mobile|ubuntu|u;|windows|linux|m5webkit|hevc|taskalfa)([a-z0-9_][\w. -]{0,39})",
    re.ASCII,
)
"""Browsers end the engine's comment after its name."""

PREFIX = re.compile(
    r"(?!mozilla/|opera|user-?agent)([\w.-]{1,40})(?:/[\w./-]{0,40})?"
    r"(?:, ?mozilla/| mozilla/5\.0 \((?:macintosh|windows nt|x11))",
    re.ASCII,
)
"""Desktop browsers begin with ``Mozilla/5.0``; TV boxes and telephones put their model before it."""

BROWSER_WORDS = re.compile(
    r"mozilla[/ ]|opera(?!t)|applewebkit|safari/|chrome/|gecko/|midp|cldc|browser|up\.link|ucweb|hbbtv|obigo|teleca"
    r"|netfront|docomo|kddi-|softbank|j-phone|nokia|blackberry|sonyericsson"
    r"|^(?:lynx/|e?links[ /(]|w3m/|dillo/|netsurf/|ncsa[_ ]mosaic|vms_mosaic|icab/|edbrowse/|bunjalloo/|ibrowse/"
    r"|amigavoyager/|samsung-|sec-|lge?[-/]|mot-|sie-)"
)
"""Words of people's browsers; an agent without any of them belongs to a program."""

LONE_BROWSER = re.compile(r"[\w-]{0,40}browser[\w-]{0,40}(?:/[\w.]{0,20})?", re.ASCII)
"""A word such as ``AgentBrowser/1.0`` and nothing else: a service that runs browsers; people's say their system too."""

BARE = re.compile(r"mozilla/[\d.]+;?(?:\s*\((?:compatible;?)?\s*\)|\s+[\w.-]+(?:/[\w.-]+)?)?", re.ASCII)


def bot(agent: str, settings: TrackingSettings, brands: str = "", signer: str = "") -> str | None:
    """Return the name of the bot that sends these headers, or None for a person's browser.

    Crawlers, AI bots, scripts, monitors, link previews, headless browsers and feed readers are bots, and so is who
    sends no agent at all. ``bot_allow`` is asked first, then ``bot_deny``, then the list in ``data/bots.json``.

    Args:
        agent: the user agent.
        settings: ``bot_allow`` and ``bot_deny``.
        brands: ``Sec-CH-UA``, where a headless Chrome says what it is even behind another agent.
        signer: ``Signature-Agent``; only programs sign their requests (draft-meunier-web-bot-auth-architecture).

    Returns:
        A name from the list, a part of the agent (at most 80 characters) for bots that are not on it, else None.
    """
    return bot_among(agent, settings.bot_allow, settings.bot_deny, brands, signer)


@Memo
def bot_among(agent: str, allow: tuple[str, ...], deny: tuple[str, ...], brands: str, signer: str) -> str | None:
    """Return the name of a bot; see ``bot``."""
    text = agent[:AGENT_LIMIT].strip().lower()
    # The project knows its own monitors and partners, so that its lists come before ours.
    for part in allow:
        if part.lower() in text:
            return None
    for part in deny:
        if part.lower() in text:
            return part
    # Access logs write - for a header that was not sent.
    if not text or text == "-":
        return EMPTY_AGENT
    return (
        listed(text) or _unlisted(text) or _said_elsewhere(brands[:AGENT_LIMIT].lower(), signer[:AGENT_LIMIT].lower())
    )


def _unlisted(text: str) -> str | None:
    """Return the name of a bot that is not on the list, from its telling word; None for a browser."""
    # A test of two words first: the pattern would be tried on every agent of a telephone.
    if "bot" in text and "android" in text:
        text = PHONE.sub(r"\1", text)
    name = _told(text)
    if name and not PAGE.search(name):
        return name
    telling = COMPATIBLE.search(text) or COMMENT.search(text) or LINK.search(text)
    if telling:
        return telling[1].strip(" -.") or BARE_AGENT
    # Of an e-mail address only the domain: whose it is nobody needs to know.
    address = MAIL.search(text)
    if address:
        return address[1].replace(" dot ", ".")
    site = DOMAIN.search(text) if DOT.search(text) else None
    if site and not FOREIGN_DOMAIN.search(text):
        return site[1]
    prefix = PREFIX.match(text)
    if prefix:
        return prefix[1]
    if name:
        return name
    if BARE.fullmatch(text):
        return BARE_AGENT
    if BROWSER_WORDS.search(text) and not LONE_BROWSER.fullmatch(text):
        return None
    product = re.match(r"[\w.-]{1,40}", text, re.ASCII)
    return product[0] if product else BARE_AGENT


def _told(text: str) -> str:
    """Return the name that the first word of a program is part of: ``acmebot``, ``acme bot``; at most 80 characters."""
    spans = [(at, at + len(word)) for word in PROGRAM_WORDS if (at := text.find(word)) >= 0]
    spans += [found.span() for pattern in GUARDED_WORDS if (found := pattern.search(text))]
    if not spans:
        return ""
    first, last = min(spans)
    # By hand and not in the pattern: a quantifier before the word would be tried at every place of the agent.
    start, end = _widened(text, first, last)
    # The word alone is nobody's name: it is "acme bot" and not "bot/2".
    if end - start <= last - first + 3 and text[start - 1 : start] == " ":
        before = _widened(text, start - 1, start - 1)[0]
        start = before if text[before].isalpha() else start
    return text[start:end].strip(" .-")


def _widened(text: str, start: int, end: int) -> tuple[int, int]:
    """Return beginning and end of the word around a place, at most 30 characters away."""
    first, last = max(start - 30, 0), min(end + 30, len(text))
    while start > first and text[start - 1] in NAME_CHARACTERS:
        start -= 1
    while end < last and text[end] in NAME_CHARACTERS:
        end += 1
    return start, end


def _said_elsewhere(brands: str, signer: str) -> str | None:
    """Name a bot that has a browser's agent by its other headers."""
    # Of 100,000 collected requests 50 had this brand; no person's browser sends it.
    if "headlesschrome" in brands:
        return "Headless Chrome"
    name = _told(brands) if brands else ""
    if name or not signer:
        return name or None
    host = re.search(r"(?:https?://)?(?:www\.)?([a-z0-9.-]{1,80})", signer.strip('"'))
    return (host and listed(host[1])) or (host[1] if host else BARE_AGENT)


def bot_category(name: str) -> str:
    """Return the category of a bot's name (``search``, ``ai``, ``script``, ...).

    Of an unlisted one what its name says, else ``other``.
    """
    return category_of(name) or next((category for category, words in CATEGORY_WORDS if words.search(name)), "other")
