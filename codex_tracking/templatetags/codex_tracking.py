"""Tags for cards on pages of the project, and for our own templates: ``{% load codex_tracking %}``.

``{% tracking_card "pages" %}``, ``{% tracking_card "sources" period="7d" sources="referrer" %}``: a part of the
dashboard, shown only to viewers with access. Parts are ``kpis``, ``chart``, ``heat`` and cards; parameters
are those of the dashboard's address. The page needs ``{% include "codex_tracking/includes/assets.html" %}`` once in its
head.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlencode

from django import template
from django.db import Error as DatabaseError
from django.template.loader import render_to_string
from django.urls import get_script_prefix, reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _

from codex_tracking.store.loops import blocking
from codex_tracking.web.access.viewer import Viewer, may_see
from codex_tracking.web.dashboard.board import part_of
from codex_tracking.web.dashboard.loader import load_board, query_of
from codex_tracking.web.dashboard.plot import LineChart, line_chart

logger = logging.getLogger(__name__)

register = template.Library()


@dataclass(frozen=True, slots=True)
class ListBar:
    """One row of a list with its bar."""

    item: Any
    share: int
    """Percent of the largest value; 0 when the values are no numbers."""


@dataclass(frozen=True, slots=True)
class ListBars:
    """A list with bars."""

    rows: tuple[ListBar, ...]
    unit: str
    """The sublabel that all items share, shown once; empty when they differ."""


@register.filter
def number(value: Any) -> Any:
    """Format whole numbers, also as strings of digits, in the active locale; return other values unchanged."""
    whole = _whole(value)
    return value if whole is None else number_format(whole, use_l10n=True, force_grouping=True)


@register.filter
def cell(row: Mapping[str, Any], key: str) -> Any:
    """Return ``row[key]``, or None."""
    return row.get(key)


@register.filter(name="total")
def sum_of_counts(counts: Mapping[str, int]) -> int:
    """Add up a dictionary's numbers."""
    return sum(counts.values())


@register.filter
def moment(seconds: float) -> str:
    """Format a moment (seconds since the epoch) in the site's time zone; a dash for 0."""
    if not seconds:
        return "–"
    return date_format(datetime.fromtimestamp(seconds, timezone.get_default_timezone()), "DATETIME_FORMAT")


@register.simple_tag(takes_context=True)
def tracking_card(context: template.Context, part: str, **parameters: object) -> str:
    """Show a part of the dashboard on a page whose context has ``request``; nothing without access.

    A synchronous view renders the part. In an asynchronous view, whose template must not wait, the page's script loads
    it in place of a link to the dashboard.

    Raises:
        QueryError: a parameter of the dashboard has a wrong value.
        Http404: there is no such part.
    """
    # Without the context processor for requests nobody can be asked for access.
    user = getattr(context.get("request"), "user", None)
    if user is None:
        return ""
    # As in an address: a view may pass on a date.
    texts = {name: str(value) for name, value in parameters.items() if value is not None}
    address = reverse("codex_tracking:fragment", args=(part,))
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return card_for(user, part, texts)
    # No access check here: the user may not be loaded yet, and the fragment's view checks it.
    link = '<div data-ct-fragment="{}?{}"><a href="{}?{}">{}</a></div>'
    query = urlencode(texts)
    return format_html(link, address, query, reverse("codex_tracking:analytics"), query, _("Analytics"))


def card_for(user: Any, part: str, parameters: Mapping[str, str]) -> str:
    """Return a part of the dashboard for a user, empty without access; blocking."""
    if not may_see(user):
        return ""
    viewer = Viewer("user", user)
    # A template tag takes a parameter once, so its one filter may have alternatives alone.
    filters = [parameters["f"]] if "f" in parameters else []

    async def load() -> tuple[str, dict[str, Any]]:
        return part_of(await load_board(await query_of(parameters, viewer, filters), viewer), part)

    try:
        name, found = blocking(load)()
    except DatabaseError as error:
        # The class alone: drivers quote the statement with its values, and name the server's address and user.
        logger.error("A dashboard card cannot read the database (%s); it was left empty.", type(error).__name__)
        return ""
    return render_to_string(f"codex_tracking/includes/{name}.html", found)


@register.simple_tag(takes_context=True)
def tracking_project_card(context: template.Context, card: Mapping[str, Any]) -> str:
    """Show a card that the project declared; if its template fails, that is logged, and the card says so."""
    # Within a template Django has bound one to the context.
    engine = cast("template.Template", context.template).engine
    if not card["missing"]:
        # A project's template may raise anything; the figures are shown all the same.
        try:
            with context.push(data=card["data"]):
                return engine.get_template(card["template"]).render(context)
        except Exception:
            logger.exception("The dashboard card %r failed.", card["template"])
    return engine.get_template("codex_tracking/widgets/missing.html").render(context)


@register.simple_tag
def tracking_site_root() -> str:
    """Return the path of the site's front page, which a server may have below a prefix (``SCRIPT_NAME``)."""
    return get_script_prefix()


@register.simple_tag
def tracking_chart(data: Mapping[str, Any]) -> LineChart:
    """Return the chart of a payload: ``{% tracking_chart data as chart %}``."""
    return line_chart(data)


@register.simple_tag
def tracking_bars(items: list[Any]) -> ListBars:
    """Return a list widget's items with bars: ``{% tracking_bars data.items as bars %}``."""
    values = [_whole(_field(item, "value")) or 0 for item in items]
    largest = max(values, default=0) or 1
    units = {_field(item, "sublabel") or "" for item in items}
    return ListBars(
        # A project's list may have values below 0, which have no bar.
        rows=tuple(ListBar(item, max(value, 0) * 100 // largest) for item, value in zip(items, values, strict=True)),
        unit=units.pop() if len(units) == 1 else "",
    )


def _field(item: Any, name: str) -> Any:
    # Payloads from a JSON cache are dictionaries.
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name)


def _whole(value: Any) -> int | None:
    # True is an int in Python.
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() else None
