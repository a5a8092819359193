"""Numbers as text, in the active locale."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from codex_tracking.stats.rounding import rounded


def whole(value: float | Decimal | None) -> str:
    """Return a whole number with thousands separators; a dash for None."""
    if value is None:
        return "–"
    number = value if isinstance(value, int) else rounded(value)
    # Forced, because USE_THOUSAND_SEPARATOR is off by default.
    return number_format(number, use_l10n=True, force_grouping=True)


def compact(value: float) -> str:
    """Return a whole number in few characters, such as ``12k``, for a chart's axis."""
    for power, text in ((1_000_000, _("%(number)sM")), (1_000, _("%(number)sk"))):
        # From 10,000 on: a smaller number fits beside the axis as it is.
        if value >= 10 * power or (value >= power and power > 1_000):
            number = rounded(value / power, 1)
            return text % {"number": number_format(number, 0 if number == int(number) else 1, use_l10n=True)}
    return whole(value)


def ratio(value: float | None) -> str:
    """Return a number with two decimals; a dash for None."""
    return "–" if value is None else number_format(rounded(value, 2), 2, use_l10n=True, force_grouping=True)


def percent(value: float | Decimal | None, decimals: int = 0) -> str:
    """Return a share, 0 to 1, as a percentage; a dash for None.

    A share of something is never 0 %, and one of less than everything never 100 %: then it is ``< 1%`` or ``> 99%``.
    """
    if value is None:
        return "–"
    # Twelve digits first: 0.285 * 100 is 28.499999999999996.
    points = rounded(rounded(value, 12) * 100, decimals)
    least, sign = Decimal(1).scaleb(-decimals), ""
    if value > 0 and not points:
        points, sign = least, "< "
    elif value < 1 and points == 100:
        points, sign = 100 - least, "> "
    number = sign + number_format(points, decimals, use_l10n=True)
    # Translators: a percentage; many languages put a no-break space before the sign.
    return pgettext("percentage", "%(number)s%%") % {"number": number}


def share_text(count: int, total: int) -> str:
    """Return a share, with a decimal below ten percent and above 99.5 percent; empty without a total."""
    if not total:
        return ""
    part = count / total
    # 9.95 % would be written as 10.0 %; 99.5 % needs its decimal, because it would be written as 100 %.
    return percent(part, 1 if part < 0.0995 or 0.995 <= part < 1 else 0)


def timing(metric: str, n: float) -> str:
    """Return a Core Web Vital as text: seconds, of ``inp`` milliseconds, of ``cls`` a number without a unit.

    Args:
        metric: ``lcp``, ``inp``, ``cls`` or ``ttfb``.
        n: milliseconds, of ``cls`` thousandths.
    """
    if metric == "inp":
        return f"{whole(n)}\u00a0ms"
    # Two decimals, because the thresholds of cls are 0.1 and 0.25.
    number = number_format(rounded(n / 1000, 2).normalize(), use_l10n=True, force_grouping=True)
    return number if metric == "cls" else f"{number}\u00a0s"


def duration(value: float | None) -> str:
    """Return seconds as the two largest of hours, minutes and seconds; a dash for None."""
    if value is None:
        return "–"
    minutes, seconds = divmod(int(rounded(value)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return _("%(hours)dh %(minutes)dm") % {"hours": hours, "minutes": minutes}
    if minutes:
        return _("%(minutes)dm %(seconds)ds") % {"minutes": minutes, "seconds": seconds}
    return _("%(seconds)ds") % {"seconds": seconds}


WRITTEN: dict[str, Callable[[float | None], str]] = {
    "views_per_visit": ratio,
    "bounce_rate": percent,
    "duration": duration,
}
"""Metric -> its format, for metrics that are no whole numbers."""


def written(metric: str, value: float | None) -> str:
    """Return a figure in its metric's format."""
    return WRITTEN.get(metric, whole)(value)
