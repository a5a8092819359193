"""System checks of the site's paths and the browser script's addresses; each with a remedy."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as Caution
from django.templatetags.static import static

from codex_tracking.checks.deployment import Configs
from codex_tracking.settings import get_tracking_settings
from codex_tracking.web.script import SCRIPT, claim_address

BLOCKED_WORDS = ("tracking", "analytics", "pageview", "beacon", "collect")
"""Parts of addresses that public block lists refuse."""


@register(Tags.compatibility)
def check_prefixes(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that paths can begin with the prefixes of the settings, and that some pages are left to be counted."""
    found: list[CheckMessage] = []
    tracking = get_tracking_settings()
    for key in ("skip_prefixes", "public_counter_prefixes"):
        for prefix in getattr(tracking, key):
            if not prefix.startswith("/"):
                message = f"CODEX_TRACKING[{key!r}] has {prefix!r}, with which no path begins."
                found.append(Caution(message, hint=f"Write {'/' + prefix!r}.", id="codex_tracking.W014"))
    if "/" in tracking.skip_prefixes:
        message = "CODEX_TRACKING['skip_prefixes'] has '/', with which each path begins: no page is counted."
        found.append(Caution(message, hint="Leave it out; 'enabled': False counts nothing.", id="codex_tracking.W014"))
    return found


@register(Tags.urls)
def check_page_addresses(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that the script's reports have an address, and that no block list refuses it."""
    if not get_tracking_settings().page_ids:
        return []
    address = claim_address()
    if not address:
        return [
            Caution(
                "CODEX_TRACKING['page_ids'] is on, but no address takes the browser script's reports.",
                hint='Add path("seen/", include("codex_tracking.page_urls")) to the root URLconf.',
                id="codex_tracking.W050",
            )
        ]
    return [
        Caution(
            f"Many browsers block {one!r}, since block lists refuse addresses with {word!r}.",
            hint="Use another prefix for codex_tracking.page_urls, or another STATIC_URL.",
            id="codex_tracking.W051",
        )
        for one in (address, static(SCRIPT))
        for word in BLOCKED_WORDS
        if word in one.lower()
    ]
