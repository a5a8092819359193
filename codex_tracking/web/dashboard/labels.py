"""Translated names of dimensions, values, metrics, periods and steps."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from codex_tracking.counters.measures import WIDTHS

NAMES = Path(__file__).parent / "data" / "names.json"

Text = str | Promise

DIMENSIONS: dict[str, Text] = {
    "path": gettext_lazy("Pages"),
    "route": gettext_lazy("Routes"),
    "view": gettext_lazy("Django views"),
    "entry": gettext_lazy("Entry pages"),
    "exit": gettext_lazy("Exit pages"),
    "host": gettext_lazy("Hosts"),
    "channel": gettext_lazy("Channels"),
    "source": gettext_lazy("Sources"),
    "referrer": gettext_lazy("Referrers"),
    "utm_campaign": gettext_lazy("Campaigns"),
    "utm_source": gettext_lazy("UTM source"),
    "utm_medium": gettext_lazy("UTM medium"),
    "utm_term": gettext_lazy("UTM term"),
    "utm_content": gettext_lazy("UTM content"),
    "country": gettext_lazy("Countries"),
    "region": gettext_lazy("Regions"),
    "city": gettext_lazy("Cities"),
    "browser": gettext_lazy("Browsers"),
    "os": gettext_lazy("Operating systems"),
    "device": gettext_lazy("Devices"),
    "language": gettext_lazy("Languages"),
    "event": gettext_lazy("Events"),
    "event_value": gettext_lazy("Event values"),
    "error": gettext_lazy("Errors"),
    "error_referrer": gettext_lazy("Pages that link to errors"),
    "excluded": gettext_lazy("Not counted"),
    "bot": gettext_lazy("Bots"),
    "hour": gettext_lazy("Hours"),
    "outbound": gettext_lazy("Outbound links"),
    "download": gettext_lazy("Downloads"),
    "screen": gettext_lazy("Widths of screens"),
    "viewport": gettext_lazy("Widths of viewports"),
    "vital_lcp": "Largest Contentful Paint (LCP)",
    "vital_inp": "Interaction to Next Paint (INP)",
    "vital_cls": "Cumulative Layout Shift (CLS)",
    "vital_ttfb": "Time to First Byte (TTFB)",
    "confirmed_source": gettext_lazy("Confirmed views by source"),
    "confirmed_country": gettext_lazy("Confirmed views by country"),
    "confirmed_browser": gettext_lazy("Confirmed views by browser"),
}
"""Dimension -> heading; dimensions that are not here are not shown."""

SHORT: dict[str, Text] = {
    "entry": gettext_lazy("Entries"),
    "exit": gettext_lazy("Exits"),
    "os": gettext_lazy("Systems"),
    "device": gettext_lazy("Types"),
    "event_value": gettext_lazy("Values"),
    "error_referrer": gettext_lazy("Linked from"),
    "excluded": gettext_lazy("Reasons"),
    "browser": gettext_lazy("Browsers"),
    "utm_source": gettext_lazy("Source"),
    "utm_medium": gettext_lazy("Medium"),
    "utm_campaign": gettext_lazy("Campaign"),
    "utm_term": gettext_lazy("Term"),
    "utm_content": gettext_lazy("Content"),
    "screen": gettext_lazy("Screens"),
    "viewport": gettext_lazy("Viewports"),
    "vital_lcp": "LCP",
    "vital_inp": "INP",
    "vital_cls": "CLS",
    "vital_ttfb": "TTFB",
    "confirmed_source": gettext_lazy("Sources"),
    "confirmed_country": gettext_lazy("Countries"),
    "confirmed_browser": gettext_lazy("Browsers"),
}
"""Dimension -> name of its tab, when shorter than the heading."""

CARDS: dict[str, Text] = {
    "pages": gettext_lazy("Pages"),
    "sources": gettext_lazy("Sources"),
    "locations": gettext_lazy("Locations"),
    "devices": gettext_lazy("Devices"),
    "languages": gettext_lazy("Languages"),
    "events": gettext_lazy("Events"),
    "vitals": "Core Web Vitals",
    "trust": gettext_lazy("Confirmed by browsers"),
    "clicks": gettext_lazy("Clicks"),
    "errors": gettext_lazy("Errors"),
    "excluded": gettext_lazy("Not counted"),
}

METRICS: dict[str, Text] = {
    "visitors": gettext_lazy("Visitors"),
    "visits": gettext_lazy("Visits"),
    "views": gettext_lazy("Views"),
    "views_per_visit": gettext_lazy("Views per visit"),
    "bounce_rate": gettext_lazy("Bounce rate"),
    "duration": gettext_lazy("Visit duration"),
    "entries": gettext_lazy("Entries"),
    "exits": gettext_lazy("Exits"),
    "conversion": gettext_lazy("Conversion rate"),
    "requests": gettext_lazy("Requests"),
    "times": gettext_lazy("Count"),
    "confirmed": gettext_lazy("Confirmed"),
    "confirmed_share": gettext_lazy("Share confirmed"),
    "measured": gettext_lazy("Measured"),
    "p75": gettext_lazy("75th percentile"),
    "rating": gettext_lazy("Rating"),
    "reading": gettext_lazy("Reading time"),
    "depth": gettext_lazy("Scroll depth"),
}

RATINGS: dict[str, Text] = {
    "good": gettext_lazy("Good"),
    "needs improvement": gettext_lazy("Needs improvement"),
    "poor": gettext_lazy("Poor"),
}
"""Google's ratings of Core Web Vitals."""

PERIODS: dict[str, Text] = {
    "today": gettext_lazy("Today"),
    "yesterday": gettext_lazy("Yesterday"),
    "24h": gettext_lazy("Last 24 hours"),
    "month": gettext_lazy("Month to date"),
    "last_month": gettext_lazy("Last month"),
    "year": gettext_lazy("Year to date"),
    "12m": gettext_lazy("Last 12 months"),
    "all": gettext_lazy("All time"),
}

STEPS: dict[str, Text] = {
    "hour": gettext_lazy("Hours"),
    "day": gettext_lazy("Days"),
    "week": gettext_lazy("Weeks"),
    "month": gettext_lazy("Months"),
}

COMPARISONS: dict[str, Text] = {
    "previous": gettext_lazy("Previous period"),
    "year": gettext_lazy("Same period last year"),
    "": gettext_lazy("No comparison"),
}

VALUES: dict[str, dict[str, Text]] = {
    "channel": {
        "direct": gettext_lazy("Direct"),
        "search": gettext_lazy("Search engines"),
        "social": gettext_lazy("Social media"),
        "ai": gettext_lazy("AI assistants"),
        "email": gettext_lazy("E-mail"),
        "campaign": gettext_lazy("Campaigns"),
        "referral": gettext_lazy("Other sites"),
    },
    "device": {
        "desktop": gettext_lazy("Desktop"),
        "mobile": gettext_lazy("Phone"),
        "tablet": gettext_lazy("Tablet"),
        "tv": gettext_lazy("Television"),
        "console": gettext_lazy("Game console"),
        "other": gettext_lazy("Other"),
    },
    "member": {
        "yes": gettext_lazy("yes"),
        "no": gettext_lazy("no"),
    },
    "excluded": {
        "method": gettext_lazy("Not a page request (such as POST)"),
        "status": gettext_lazy("Errors and redirects"),
        "content_type": gettext_lazy("Not HTML"),
        "prefix": gettext_lazy("Skipped paths"),
        "prefetch": gettext_lazy("Prefetched"),
        "partial": gettext_lazy("Partial loads (HTMX, XHR)"),
        "bot": gettext_lazy("Bots"),
        "staff": gettext_lazy("Staff"),
        "anonymous": gettext_lazy("Visitors who are not logged in"),
        "disabled": gettext_lazy("Counting was switched off"),
    },
}
"""Dimension -> value -> name, for dimensions with few values."""

ANYWHERE: dict[str, Text] = {
    "(other)": gettext_lazy("(all others)"),
    "(invalid)": gettext_lazy("(unreadable)"),
    "(long)": gettext_lazy("(long)"),
}
"""Names of placeholder values, in any dimension."""


def name_of(dimension: str, value: str) -> str:
    """Return a stored value's name; the value itself when it has no other."""
    if value in ANYWHERE:
        return str(ANYWHERE[value])
    if dimension == "confirmed_source" and value == "direct":
        return str(VALUES["channel"]["direct"])
    dimension = dimension.removeprefix("confirmed_")
    if dimension.startswith("vital_"):
        route, _tab, device = value.partition("\t")
        # The device first, because a narrow card cuts a long route.
        return f"{VALUES['device'].get(device, device)} · {route or '–'}"
    if dimension in ("screen", "viewport") and value in WIDTHS:
        return value.replace("-", "–") + "\u00a0px"
    if dimension in ("country", "language"):
        return _cldr(dimension).get(value, value)
    if dimension in ("event_value", "error_referrer"):
        # Stored values have no tab of their own: controls are not stored.
        first, _tab, second = value.partition("\t")
        return f"{first} ← {second}" if dimension == "error_referrer" else f"{first}: {second}"
    if dimension in ("browser", "os") and value == "Other":
        return _("Other")
    return str(VALUES.get(dimension, {}).get(value, value))


FORMER = frozenset([
    "AN", "BU", "CS", "DD", "DY", "FX", "HV", "NH", "RH", "SU", "TP", "UK", "VD", "YD", "YU", "ZR",
    "in", "iw", "ji", "jw", "mo", "tl", "tw",
])  # fmt: skip
"""Withdrawn codes that share their name with today's, which is the one that is stored."""


def value_named(dimension: str, text: str) -> str:
    """Return the stored value whose name somebody typed, whatever the case of letters; the text itself without one."""
    if dimension in ("country", "language"):
        names = _cldr(dimension)
    else:
        names = {value: str(name) for value, name in VALUES.get(dimension, {}).items()}
    wanted = text.casefold()
    for value, name in names.items():
        if value not in FORMER and wanted in (value.casefold(), name.casefold()):
            return value
    return text


def period_name(name: str) -> str:
    """Return the name of a period: one of ``PERIODS``, or ``<n>d``."""
    if name in PERIODS:
        return str(PERIODS[name])
    days = int(name.removesuffix("d"))
    return ngettext("Last %(days)s day", "Last %(days)s days", days) % {"days": number_format(days)}


def tab_name(dimension: str) -> str:
    """Return the name of a dimension's tab."""
    return str(SHORT.get(dimension, DIMENSIONS[dimension]))


def column_name(dimension: str) -> str:
    """Return the heading of a dimension's values in a table."""
    if dimension.startswith("vital_"):
        return _("Devices and routes")
    return tab_name(dimension) if dimension.startswith("confirmed_") else str(DIMENSIONS[dimension])


def _cldr(kind: str) -> dict[str, str]:
    names = _names()
    # The names of a language serve its regions, such as de-at.
    language = (get_language() or "en").partition("-")[0]
    return names.get(language, names["en"])[kind]


@cache
def _names() -> dict[str, dict[str, dict[str, str]]]:
    """Return language -> ``country`` or ``language`` -> code -> name."""
    found: dict[str, dict[str, dict[str, str]]] = json.loads(NAMES.read_text("utf-8"))
    return found
