"""What the widget templates need beyond Django's own tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.formats import number_format

from codex_tracking.chart import LineChart, line_chart

register = template.Library()


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a list with its bar."""

    item: Any
    share: int
    """Percent of the largest value; 0 when the values are no numbers."""


@dataclass(frozen=True, slots=True)
class Bars:
    """A list with bars."""

    rows: tuple[Bar, ...]
    unit: str
    """The sublabel that all items share, to be said once; empty when they differ."""


@register.filter
def number(value: Any) -> Any:
    """Write a whole number, also one in plain digits, in the active locale; leave anything else as it is."""
    whole = _whole(value)
    return value if whole is None else number_format(whole, use_l10n=True, force_grouping=True)


@register.filter
def cell(row: Mapping[str, Any], key: str) -> Any:
    """Return ``row[key]``, or None."""
    return row.get(key)


@register.simple_tag
def tracking_chart(data: Mapping[str, Any]) -> LineChart:
    """Work out a chart's payload: ``{% tracking_chart data as chart %}``."""
    return line_chart(data)


@register.simple_tag
def tracking_bars(items: list[Any]) -> Bars:
    """Give the items of a list widget their bars: ``{% tracking_bars data.items as bars %}``."""
    values = [_whole(_field(item, "value")) or 0 for item in items]
    largest = max(values, default=0) or 1
    units = {_field(item, "sublabel") or "" for item in items}
    return Bars(
        rows=tuple(Bar(item, max(value, 0) * 100 // largest) for item, value in zip(items, values, strict=True)),
        unit=units.pop() if len(units) == 1 else "",
    )


def _field(item: Any, name: str) -> Any:
    # Payloads that went through a JSON cache are dictionaries.
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name)


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() else None
