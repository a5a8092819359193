"""System checks of the last days' counters, which show a wrong deployment; each with a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as Caution
from django.db import DatabaseError
from django.db.models import Sum

from codex_tracking.checks.deployment import Configs, has_time_zone
from codex_tracking.counters.days import site_today
from codex_tracking.models import Breakdown, DayTotals, database
from codex_tracking.settings import get_tracking_settings

# Below, a single visitor decides the shares.
ENOUGH_VIEWS = 100
"""Views of two days below which ``check_traffic`` draws no conclusion."""
MANY = 0.1
"""Share of views without an address above which W040 warns."""
EARLIER = timedelta(days=30)
"""Days back in which W052 looks for confirmed views."""
NEARLY_ALL = 0.9
"""Share of views through an unconfigured proxy or from a single address, above which W007 and W041 warn."""


@register(Tags.database)
def check_traffic(app_configs: Configs, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check the last days' counters for signs of a wrong deployment."""
    # A plain ``check``, which runs before every command, must not query the database.
    if database() not in (databases or ()) or not has_time_zone():
        return []
    try:
        views, ledger = _recent_traffic()
    except DatabaseError:
        # Not migrated yet, or not available: Django reports both itself.
        return []
    enough: list[CheckMessage] = []
    if views >= ENOUGH_VIEWS:
        enough = [*_proxy(views, ledger), *_addresses(views, ledger), *_confirmations(views, ledger)]
    return [*enough, *_lifespan(ledger)]


def _recent_traffic() -> tuple[int, dict[str, int]]:
    # Yesterday too, or a check in the morning would see too few views.
    since = site_today() - timedelta(days=1)
    alias = database()
    views = DayTotals.objects.using(alias).filter(date__gte=since).aggregate(n=Sum("views"))["n"] or 0
    rows = Breakdown.objects.using(alias).filter(date__gte=since, dimension="ledger")
    return views, dict(rows.order_by().values_list("value").annotate(n=Sum("views")))


def _proxy(views: int, ledger: dict[str, int]) -> list[CheckMessage]:
    unread = ledger.get("unread_forwarded", 0)
    if unread < NEARLY_ALL * views:
        return []
    return [
        Caution(
            f"{unread} of the last {views} views came through a proxy, but CODEX_TRACKING['trusted_proxies'] is 0: "
            "nearly all visitors have the proxy's address, so too few are counted.",
            hint="Set it to the number of proxies in front that append to X-Forwarded-For.",
            id="codex_tracking.W007",
        )
    ]


def _addresses(views: int, ledger: dict[str, int]) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    hint = (
        "Set CODEX_TRACKING['trusted_proxies'], or name the header with the client's address in "
        "CODEX_TRACKING['client_ip_header'], such as X-Real-IP, CF-Connecting-IP or Forwarded."
    )
    missing, one = ledger.get("no_address", 0), ledger.get("one_address", 0)
    if missing >= MANY * views:
        message = f"{missing} of the last {views} views have no readable client address, so they have no visitors."
        found.append(Caution(message, hint=hint, id="codex_tracking.W040"))
    if one >= NEARLY_ALL * views:
        message = (
            f"{one} of the last {views} views came from a single address with many user agents: it is probably a "
            "proxy's, so too few visitors are counted."
        )
        found.append(Caution(message, hint=hint, id="codex_tracking.W041"))
    return found


def _confirmations(views: int, ledger: dict[str, int]) -> list[CheckMessage]:
    # Views from access logs have no browser that could confirm them.
    if not get_tracking_settings().page_ids or ledger.get("confirmed") or ledger.get("imported"):
        return []
    today = site_today()
    earlier = Breakdown.objects.using(database()).filter(
        dimension="ledger", value="confirmed", date__range=(today - EARLIER, today - timedelta(days=2))
    )
    # A site that never had any may have the setting on without the script.
    if not earlier.exists():
        return []
    return [
        Caution(
            f"No browser confirmed any of the last {views} views, and browsers did before: the script does not run.",
            hint="Open a page and look at the browser's console: a Content Security Policy may refuse the script or "
            "its reports, or a template may have lost {% tracking_beacon %}.",
            id="codex_tracking.W052",
        )
    ]


def _lifespan(ledger: dict[str, int]) -> list[CheckMessage]:
    # With DEBUG the server is runserver, which never sends any.
    if settings.DEBUG or not ledger.get("no_lifespan"):
        return []
    return [
        Caution(
            "The server sent no lifespan messages: the first request starts the tasks, and a stopping server may "
            "skip the last push.",
            hint="Wrap the application that the server runs: TrackingLifespan(get_asgi_application()), or the one that "
            "mounts Django's. Daphne sends none.",
            id="codex_tracking.W008",
        )
    ]
