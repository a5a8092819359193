"""Answers of the API about the browser script's reports."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from codex_tracking.counters.measures import THRESHOLDS
from codex_tracking.stats.engagement import Engagement
from codex_tracking.stats.reading import read
from codex_tracking.stats.reported.trust import Trust
from codex_tracking.stats.rounding import plain
from codex_tracking.stats.vitals import Vital, vitals_of
from codex_tracking.web.api.endpoint import Call


def confirmed_answer(trust: Trust) -> dict[str, Any]:
    """Return the views that browsers confirmed; the schema ``Confirmed``."""
    counts = asdict(trust) | {"since": trust.since.isoformat(), "suspected": trust.suspected}
    return counts | {"share": plain(trust.share)}


def reading_answer(found: Engagement | None) -> dict[str, Any]:
    """Return a page's reading; nothing when no browser reported any."""
    if found is None:
        return {}
    return {"reading_seconds": plain(found.seconds), "scroll_depth": plain(found.depth)}


async def answer_vitals(call: Call) -> dict[str, Any]:
    """Return the Core Web Vitals of the whole site; by route and device they are dimensions."""
    found = await read(call.period.days, lambda deltas, _: vitals_of(call.period, deltas))
    return call.about(found) | {"vitals": {name: _vital(vital) for name, vital in found.value.get("", {}).items()}}


def _vital(vital: Vital) -> dict[str, Any]:
    good, poor = THRESHOLDS[vital.metric]
    # In the unit of the percentile, which has none for cls.
    unit = 1_000 if vital.metric == "cls" else 1
    answer = {name: n for name, n in asdict(vital).items() if name != "metric"}
    return answer | {"p75": plain(vital.p75), "good_up_to": plain(good / unit), "poor_above": plain(poor / unit)}
