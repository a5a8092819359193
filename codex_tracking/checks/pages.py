"""System checks of paths, user agents, templates and the browser script's addresses; each with a remedy."""

from __future__ import annotations

import re
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as Caution
from django.template import TemplateDoesNotExist
from django.template.loader import get_template

from codex_tracking.checks.deployment import Configs, has_dashboard
from codex_tracking.settings import get_tracking_settings
from codex_tracking.web.script import SCRIPT, claim_address, file_address

BLOCKED_WORDS = ("tracking", "analytics", "pageview", "beacon", "collect")
"""Parts of addresses that public block lists refuse."""
PATTERN_SIGNS = re.compile(r"[*^$\\?]+")
"""Other settings take patterns, as a reader may expect here; few paths have such a sign in their beginning."""
EVERY_BROWSER = "mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36 (khtml, like gecko) chrome/ safari/537.36"
"""The agent of a desktop browser, spelled as the lists of bots are compared with it."""


@register(Tags.compatibility)
def check_prefixes(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that paths can begin with the prefixes of the settings, and that some pages are left to be counted."""
    found: list[CheckMessage] = []
    tracking = get_tracking_settings()
    for key in ("skip_prefixes", "public_counter_prefixes"):
        for prefix in getattr(tracking, key):
            if not prefix.startswith("/") or PATTERN_SIGNS.search(prefix):
                message = f"CODEX_TRACKING[{key!r}] has {prefix!r}, with which no path begins."
                hint = f"Write {_plain_prefix(prefix)!r}: the beginning of paths, and no pattern or address."
                found.append(Caution(message, hint=hint, id="codex_tracking.W014"))
    if "/" in tracking.skip_prefixes:
        message = "CODEX_TRACKING['skip_prefixes'] has '/', with which each path begins: no page is counted."
        found.append(Caution(message, hint="Leave it out; 'enabled': False counts nothing.", id="codex_tracking.W014"))
    return found


def _plain_prefix(prefix: str) -> str:
    """Return the beginning of paths that somebody probably meant; an example where nothing tells."""
    path = PATTERN_SIGNS.sub("", prefix.partition("://")[2].partition("/")[2] or prefix).lstrip("/")
    return f"/{path or 'static/'}"


@register(Tags.compatibility)
def check_bot_words(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that no part of user agents in ``bot_allow`` and ``bot_deny`` is one that all browsers send."""
    tracking = get_tracking_settings()
    return [
        Caution(
            f"CODEX_TRACKING[{key!r}] has {part!r}, which all browsers send: {result}.",
            hint="Write a part of the user agents that no other has, such as 'AcmeMonitor/'.",
            id="codex_tracking.W015",
        )
        for key, result in (("bot_deny", "no page is counted"), ("bot_allow", "most bots are counted as people"))
        for part in getattr(tracking, key)
        if part.lower() in EVERY_BROWSER
    ]


@register(Tags.templates)
def check_templates(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that the dashboard's templates are found and escape, if the project includes its URLs."""
    if not has_dashboard():
        return []
    try:
        found: Any = get_template("codex_tracking/base.html")
    except TemplateDoesNotExist:
        return [
            Caution(
                "The dashboard's pages fail: no engine in TEMPLATES finds codex_tracking/base.html.",
                hint="Set 'APP_DIRS': True for django.template.backends.django.DjangoTemplates, or add "
                "'django.template.loaders.app_directories.Loader' to its loaders.",
                id="codex_tracking.W023",
            )
        ]
    except Exception:  # an engine that cannot be made, which Django reports itself
        return []
    # An engine of another kind has no such attribute.
    if getattr(getattr(found.backend, "engine", None), "autoescape", True):
        return []
    return [
        Caution(
            "TEMPLATES has 'autoescape': False for the dashboard's templates: paths and referrers, which anybody can "
            "choose, become HTML there.",
            hint="Leave it out, and add another engine with a NAME for templates that are no HTML.",
            id="codex_tracking.W024",
        )
    ]


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
        # Commands run before the files are collected, and a manifest names none of them then.
        for one in (address, file_address(SCRIPT))
        for word in BLOCKED_WORDS
        if word in one.lower()
    ]
