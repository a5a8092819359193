"""Translated names of dimensions, values, metrics, periods and steps."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

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
}
"""Dimension -> name of its tab, when shorter than the heading."""

CARDS: dict[str, Text] = {
    "pages": gettext_lazy("Pages"),
    "sources": gettext_lazy("Sources"),
    "locations": gettext_lazy("Locations"),
    "devices": gettext_lazy("Devices"),
    "languages": gettext_lazy("Languages"),
    "events": gettext_lazy("Events"),
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
}

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

LEDGER: dict[str, Text] = {
    "view": gettext_lazy("Page views recorded"),
    "event": gettext_lazy("Events recorded"),
    "error": gettext_lazy("Errors recorded"),
    "excluded": gettext_lazy("Requests not counted"),
    "pushed": gettext_lazy("Views sent to Redis"),
    "flushed": gettext_lazy("Views saved in the database"),
    "rebases": gettext_lazy("Restarts after Redis lost data"),
    "push_failures": gettext_lazy("Failed pushes"),
    "flush_failures": gettext_lazy("Failed flushes"),
    "drain_failures": gettext_lazy("Failed attempts at a stop"),
    "record_failures": gettext_lazy("Failed records"),
    "failing_seconds": gettext_lazy("Seconds since pushes fail"),
    "dropped_damaged": gettext_lazy("Lost: damaged counters"),
    "dropped_day": gettext_lazy("Lost: views too far from today"),
    "dropped_joined": gettext_lazy("Lost: views in merged batches"),
    "dropped_log": gettext_lazy("Lost: hits of the visit log"),
    "dropped_page": gettext_lazy("Lost: pages of visits"),
    "dropped_shutdown": gettext_lazy("Lost: views at a stop"),
    "dropped_sketch": gettext_lazy("Lost: damaged visitor sketches"),
    "dropped_visitor": gettext_lazy("Lost: visitors above the limit"),
    "imported": gettext_lazy("Views from access logs"),
    "log_dropped": gettext_lazy("Lost: hits of the visit log, no memory left"),
    "log_lost": gettext_lazy("Lost: hits of the visit log, in Redis"),
    "no_address": gettext_lazy("Views without a client address"),
    "no_lifespan": gettext_lazy("Views under a server without lifespan"),
    "one_address": gettext_lazy("Views of many browsers with one address"),
    "suspect": gettext_lazy("Views with contradictory headers"),
    "unknown_member": gettext_lazy("Views whose user could not be read"),
    "unread_forwarded": gettext_lazy("Views with an unread X-Forwarded-For"),
}
"""Counter of the ledger -> name on the status page."""

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
    if dimension in ("country", "language"):
        return _cldr(dimension).get(value, value)
    if dimension in ("event_value", "error_referrer"):
        # Stored values have no tab of their own: controls are not stored.
        first, _tab, second = value.partition("\t")
        return f"{first} ← {second}" if dimension == "error_referrer" else f"{first}: {second}"
    if dimension in ("browser", "os") and value == "Other":
        return _("Other")
    return str(VALUES.get(dimension, {}).get(value, value))


FORMER = frozenset(
    [
        "AN",
        "BU",
        "CS",
        "DD",
        "DY",
        "FX",
        "HV",
        "NH",
        "RH",
        "SU",
        "TP",
        "UK",
        "VD",
        "YD",
        "YU",
        "ZR",
        "in",
        "iw",
        "ji",
        "jw",
        "mo",
        "tl",
        "tw",
    ]
)
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
