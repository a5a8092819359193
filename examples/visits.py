"""Made-up visits to Larkspur, with sources and devices, as the requests that browsers would send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple
from urllib.parse import urlencode

from larkspur.content import ARTICLES, DOCS, SECTIONS

SITE = "https://larkspur.example"
"""Beginning of the referrers of the site's own pages; over HTTP it becomes the address that really serves."""


class Seen(NamedTuple):
    """The browser script's report of one page."""

    seconds: int
    """Of reading."""
    click: tuple[str, str] | None = None
    """An event with its value: ``outbound`` or ``download``, with host and path."""
    again: bool = False
    """Whether the back button shows the page once more."""
    quarters: int = 0
    """Of the page's height that were seen, 0 to 4."""
    widths: tuple[int, int] = (0, 0)
    """Of screen and window, in CSS pixels."""
    timings: dict[str, int] | None = None
    """Core Web Vitals in milliseconds, of ``cls`` in thousandths."""


class Ask(NamedTuple):
    """One request, and what the tracking has to make of it."""

    path: str
    headers: dict[str, str]
    fate: str = "view"
    """``view``, ``error``, or the reason why it is not counted."""
    wait: float = 0.0
    """Seconds after the visit's request before."""
    method: str = "GET"
    form: dict[str, str] | None = None
    """The body of a POST."""
    seen: Seen | None = None
    """Reports of the browser script; None without it."""


Visit = list[Ask]


@dataclass(frozen=True, slots=True)
class Browser:
    """Headers that one kind of browser sends with every navigation."""

    weight: int
    agent: str
    platform: str = ""
    """``Sec-CH-UA-Platform``; only Chromium sends it."""
    version: str = ""
    fetch_metadata: bool = True
    """Whether it sends ``Sec-Fetch-*``; browsers from before 2020 do not."""

    def headers(self) -> dict[str, str]:
        """Return its own headers."""
        sent = {"User-Agent": self.agent, "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
        if self.platform:
            brand = "Microsoft Edge" if "Edg/" in self.agent else "Google Chrome"
            sent["Sec-CH-UA"] = f'"Chromium";v="{self.version}", "{brand}";v="{self.version}", "Not_A Brand";v="24"'
            sent["Sec-CH-UA-Platform"] = f'"{self.platform}"'
            sent["Sec-CH-UA-Mobile"] = "?1" if "Mobile" in self.agent else "?0"
        return sent


WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X)"

BROWSERS = (
    Browser(27, f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/154.0.0.0 Mobile Safari/537.36", "Android", "154"),
    Browser(24, f"{IPHONE} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1"),
    Browser(19, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/154.0.0.0 Safari/537.36", "Windows", "154"),
    Browser(8, f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15"),
    Browser(6, f"{MAC} {WEBKIT} Chrome/154.0.0.0 Safari/537.36", "macOS", "154"),
    Browser(
        6,
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/154.0.0.0 Safari/537.36 Edg/154.0.0.0",
        "Windows",
        "154",
    ),
    Browser(5, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    Browser(3, "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    Browser(2, "Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0"),
    Browser(
        2,
        "Mozilla/5.0 (iPad; CPU OS 12_5_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 "
        "Mobile/15E148 Safari/604.1",
        fetch_metadata=False,
    ),
)

PLACES = (
    (30, "DE", "de-DE,de;q=0.9,en;q=0.6"),
    (18, "GB", "en-GB,en;q=0.9"),
    (16, "US", "en-US,en;q=0.9"),
    (9, "AT", "de-AT,de;q=0.9"),
    (8, "FR", "fr-FR,fr;q=0.9,en;q=0.5"),
    (7, "NL", "nl-NL,nl;q=0.9,en;q=0.8"),
    (5, "PL", "pl-PL,pl;q=0.9"),
    (4, "ES", "es-ES,es;q=0.9"),
    (3, "SE", "sv-SE,sv;q=0.9,en;q=0.8"),
)
"""Weight, country and ``Accept-Language``."""

ARRIVALS: tuple[tuple[int, str, dict[str, str]], ...] = (
    (30, "", {}),
    (31, "https://www.google.com/", {}),
    (4, "https://duckduckgo.com/", {}),
    (4, "https://www.bing.com/", {}),
    (6, "https://chatgpt.com/", {"utm_source": "chatgpt.com"}),
    (2, "https://www.perplexity.ai/", {}),
    (6, "https://www.reddit.com/r/gardening/", {}),
    (4, "https://m.facebook.com/", {}),
    (3, "https://news.ycombinator.com/item?id=1", {}),
    (3, "https://balcony-weekly.example/roundup", {}),
    (6, "", {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "november"}),
    (3, "https://www.google.com/", {"utm_source": "google", "utm_medium": "cpc", "utm_campaign": "planner"}),
)
"""Weight, referrer and campaign parameters."""

ARTICLE_URLS = [article.url for article in ARTICLES]
DOCS_URLS = [page.url for page in DOCS]
CLICKS = (
    ("outbound", "balcony-weekly.example/roundup"),
    ("outbound", "seeds.example/catalogue/tomatoes"),
    ("outbound", "www.rhs.org.uk/advice"),
    ("outbound", "github.com/larkspur/planner"),
    ("download", "larkspur.example/files/sowing-calendar.pdf"),
    ("download", "larkspur.example/files/balcony-plans.zip"),
)
"""Events of clicks, the most frequent first."""
SEARCHES = ("tomatoes", "basil", "compost", "salad", "shade", "slugs", "sharing")

LANDINGS = {
    "/": 30,
    **dict(zip(ARTICLE_URLS, (22, 13, 9, 7, 4, 11), strict=True)),
    "/articles/": 5,
    "/pricing/": 4,
    "/docs/getting-started/": 5,
    "/docs/importing/": 2,
}
"""Path -> weight of the first page of a visit."""

STEPS = {
    "/": 10,
    "/articles/": 18,
    **dict.fromkeys(ARTICLE_URLS, 7),
    **{section.url: 4 for section in SECTIONS},
    "/docs/": 8,
    **dict.fromkeys(DOCS_URLS, 3),
    "/pricing/": 12,
    "/about/": 5,
    "/search/": 7,
    "/contact/": 3,
}
"""Path -> weight of every further page."""


@dataclass(frozen=True, slots=True)
class Person:
    """One visitor with one browser."""

    browser: Browser
    country: str
    language: str
    address: str
    opted_out: bool
    scripted: bool
    """Whether their browser runs the script: some block it, and a program that poses as a browser has none."""

    def headers(self) -> dict[str, str]:
        """Return what all requests of this person carry."""
        sent = self.browser.headers() | {
            "Accept-Language": self.language,
            "X-Forwarded-For": self.address,
            "CF-IPCountry": self.country,
        }
        return sent | {"Sec-GPC": "1"} if self.opted_out else sent

    def navigate(self, referrer: str = "") -> dict[str, str]:
        """Return the headers of a page that the person asks for by a click, or by an address when nothing refers."""
        sent = self.headers()
        if self.browser.fetch_metadata:
            site = "none" if not referrer else "same-origin" if referrer.startswith(SITE) else "cross-site"
            sent |= {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": site}
            sent |= {"Sec-Fetch-User": "?1", "Upgrade-Insecure-Requests": "1"}
        return sent | {"Referer": referrer} if referrer else sent


class Crowd:
    """People who come again and again.

    Args:
        random: decides about everything; the same seed makes the same crowd.
        size: how many they are.
    """

    def __init__(self, random: Random, size: int = 700) -> None:
        self.random = random
        self.people = [self._person(number) for number in range(size)]

    def _person(self, number: int) -> Person:
        [(_, country, language)] = self.random.choices(PLACES, [weight for weight, *_ in PLACES])
        [browser] = self.random.choices(BROWSERS, [browser.weight for browser in BROWSERS])
        # Addresses that are reserved for documentation, so that they are nobody's.
        network = ("198.51.100", "203.0.113")[number % 2]
        address = f"2001:db8:{number:x}::1" if number % 3 == 0 else f"{network}.{number % 250 + 1}"
        opted_out = self.random.random() < 0.04
        # Only pages over HTTPS, or from this machine, may read their id; old browsers cannot.
        scripted = browser.fetch_metadata and self.random.random() < (0.7 if browser.platform == "Linux" else 0.93)
        return Person(browser, country, language, address, opted_out, scripted)

    def visit(self) -> Visit:
        """Return the visit of somebody: how they arrive, and where they go from there."""
        random, person = self.random, self.random.choice(self.people)
        [(_, referrer, campaign)] = random.choices(ARRIVALS, [weight for weight, *_ in ARRIVALS])
        [path] = random.choices(list(LANDINGS), list(LANDINGS.values()))
        query = f"?{urlencode(campaign)}" if campaign else ""
        visit = [Ask(path + query, person.navigate(referrer), seen=self._seen(person))]
        while random.random() < 0.58 and len(visit) < 12:
            before = SITE + path
            [path] = random.choices(list(STEPS), list(STEPS.values()))
            query = f"?q={random.choice(SEARCHES)}" if path == "/search/" else ""
            wait = random.expovariate(1 / 45) + 3
            visit.append(Ask(path + query, person.navigate(before), wait=wait, seen=self._seen(person)))
        return visit

    def _seen(self, person: Person) -> Seen | None:
        """Return what the script reports of a page."""
        random = self.random
        if not person.scripted:
            return None
        # With Global Privacy Control it reports the page alone.
        if person.opted_out:
            return Seen(0)
        [click] = random.choices((None, *CLICKS), (60, 4, 3, 2, 1, 3, 1))
        # A phone is narrow, loads later, and answers a tap later.
        phone = "Mobile" in person.browser.agent
        screen = random.choice((360, 390, 412)) if phone else random.choice((1280, 1440, 1920, 1920, 2560))
        window = screen if phone or random.random() < 0.7 else screen * 3 // 4
        slow = 1.6 if phone else 1.0
        timings = {
            "ttfb": int(random.lognormvariate(5.6, 0.6) * slow),
            "lcp": int(random.lognormvariate(7.2, 0.5) * slow),
            "inp": int(random.lognormvariate(4.6, 0.6) * slow),
            "cls": int(random.expovariate(1 / 60) * slow),
        }
        return Seen(
            int(random.expovariate(1 / 40)) + 1,
            click,
            random.random() < 0.06,
            min(4, int(random.expovariate(1 / 2.2)) + 1),
            (screen, window),
            timings if random.random() < 0.8 else None,
        )

    def oddities(self) -> Iterator[Visit]:
        """Yield one of each kind of visit in which something is no page view."""
        yield from (self._prefetching(), self._typing(), self._writing(), self.lost(), self._partial())

    def _prefetching(self) -> Visit:
        """A browser loads a page before anybody asks, and then somebody does."""
        person = next(person for person in self.random.sample(self.people, 300) if person.browser.platform)
        early = person.navigate(f"{SITE}/") | {"Sec-Purpose": "prefetch;prerender"}
        asked = person.navigate(f"{SITE}/")
        return [
            Ask("/", person.navigate()),
            Ask("/pricing/", early, "prefetch", wait=2),
            Ask("/pricing/", asked, wait=5),
        ]

    def _typing(self) -> Visit:
        """Somebody types into the search field, whose script asks for results at each pause."""
        person = self.random.choice(self.people)
        word = self.random.choice(SEARCHES)
        script = person.headers() | {"X-Requested-With": "XMLHttpRequest", "Referer": f"{SITE}/search/"}
        script |= {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"} if person.browser.fetch_metadata else {}
        parts = [Ask(f"/search/?q={word[:end]}", script, "partial", wait=1) for end in (2, 4)]
        return [Ask("/search/", person.navigate()), *parts]

    def _writing(self) -> Visit:
        """Somebody sends a message, which the site counts as an event."""
        person = self.random.choice(self.people)
        here, form = f"{SITE}/contact/", {"email": "somebody@larkspur.example", "message": "When do I sow beans?"}
        return [
            Ask("/contact/", person.navigate()),
            Ask("/contact/", person.navigate(here), "method", wait=60, method="POST", form=form),
            Ask("/contact/thanks/", person.navigate(here)),
        ]

    def _partial(self) -> Visit:
        """HTMX swaps a part of a page; a boosted link, which HTMX makes of a whole page, is a view."""
        person = self.random.choice(self.people)
        script = person.headers() | {"HX-Request": "true", "Referer": f"{SITE}/docs/"}
        return [
            Ask("/docs/", person.navigate()),
            Ask("/docs/sharing/", script, "partial", wait=3),
            Ask("/docs/importing/", script | {"HX-Boosted": "true"}, wait=9),
        ]

    def lost(self) -> Visit:
        """Somebody follows an old link, and finds something else."""
        person = self.random.choice(self.people)
        old = self.random.choice(("/articles/moles/", "/blog/", "/articles/tomatos/"))
        return [
            Ask(old, person.navigate("https://balcony-weekly.example/links"), "error"),
            Ask("/articles/", person.navigate(SITE + old), wait=8),
        ]


BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.3; +https://openai.com/gptbot)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; PerplexityBot/1.0; +https://perplexity.ai/bot)",
    "CCBot/2.0 (https://commoncrawl.org/faq/)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "python-requests/2.33.0",
    "curl/8.14.1",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
)
MONITOR = "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"


def bot_visits(random: Random) -> Iterator[Visit]:
    """Yield what bots do: read a few pages, guess at somebody else's login page, look whether the site lives."""
    for number, agent in enumerate(BOTS):
        headers = {"User-Agent": agent, "Accept": "*/*", "X-Forwarded-For": f"192.0.2.{number + 1}"}
        pages = random.sample(["/", "/articles/", "/pricing/", *ARTICLE_URLS, *DOCS_URLS], 4)
        yield [Ask(path, headers, "bot", wait=1) for path in pages]
    scanner = {"User-Agent": "Go-http-client/1.1", "X-Forwarded-For": "192.0.2.200"}
    yield [Ask("/wp-login.php", scanner, "status"), Ask("/.env", scanner, "status", wait=1)]
    monitor = {"User-Agent": MONITOR, "X-Forwarded-For": "192.0.2.201"}
    yield [Ask("/", monitor, "method", wait=5, method="HEAD") for _ in range(3)]


def login_visit(person: Person, name: str, password: str) -> Visit:
    """Return the visit of a reader who logs in and looks around; all of it but the sent form is page views."""
    form = {"username": name, "password": password, "next": "/account/"}
    here = f"{SITE}/login/"
    return [
        Ask("/login/", person.navigate()),
        Ask("/login/", person.navigate(here), "method", wait=10, method="POST", form=form),
        Ask("/account/", person.navigate(here)),
        Ask("/articles/winter-salads/", person.navigate(f"{SITE}/account/"), wait=20),
        Ask("/docs/sharing/", person.navigate(f"{SITE}/articles/winter-salads/"), wait=40),
    ]


def staff_visit(person: Person, name: str, password: str) -> Visit:
    """Return the visit of a staff member: counted until the login, and under ``staff`` after it."""
    form = {"username": name, "password": password, "next": "/cabinet/tracking/"}
    return [
        Ask("/admin/login/?next=/cabinet/tracking/", person.navigate()),
        Ask("/admin/login/", person.navigate(), "method", wait=10, method="POST", form=form),
        Ask("/admin/", person.navigate(), "staff"),
        Ask("/", person.navigate(f"{SITE}/admin/"), "staff", wait=5),
    ]
