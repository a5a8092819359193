"""Facts and remarks of the cards about browsers' reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from codex_tracking.counters.measures import THRESHOLDS
from codex_tracking.hits.pages.measures import METRICS, Metric
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.engagement import Engagement
from codex_tracking.stats.overview import Overview
from codex_tracking.stats.reported.trust import Trust
from codex_tracking.stats.vitals import Vital, Vitals
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.plot import full_day
from codex_tracking.web.ledger import LEDGER
from codex_tracking.web.query import Query

TONES = {"good": "good", "needs improvement": "middle", "poor": "bad"}
"""Rating -> ending of its class in the style sheet; the text says the same."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure with its name."""

    name: str
    text: str
    note: str = ""
    """A judgement in words, such as ``Good``."""
    tone: str = ""
    """See ``TONES``."""


@dataclass(frozen=True, slots=True)
class Reported:
    """Figures of cards beside their rows."""

    facts: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    """Card -> facts."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    engagement: Mapping[str, Engagement] = field(default_factory=dict)
    """Path -> reading."""


NOTHING_REPORTED = Reported()


def reported_of(figures: Overview) -> Reported:
    """Return browsers' reports of a period."""
    if figures.trust is None:
        return NOTHING_REPORTED
    facts, remarks = {"trust": trust_facts(figures.trust)}, {"trust": trust_remark(figures.trust)}
    if figures.vitals is not None:
        facts["vitals"], remarks["vitals"] = vitals_facts(figures.vitals), vitals_remark()
    return Reported(facts, remarks, figures.engagement)


def not_by_visit() -> str:
    """Return the reason why filters leave a card of these without figures."""
    return _("These figures are not kept by visit, so filters cannot select them. Without filters they are here.")


def reading_remark(query: Query) -> str:
    """Return the reason why pages have no reading with filters; empty where they may have one."""
    if not (query.filters and get_tracking_settings().page_ids):
        return ""
    return _("Reading time and scroll depth are not kept by visit, so filters leave them out.")


def trust_facts(trust: Trust) -> tuple[Fact, ...]:
    """Return confirmed views, and views that the server did not see by itself."""
    facts: list[Fact] = []
    # Of days before the script, or from access logs, nobody knows whether there were robots.
    if trust.views:
        share = numbers.share_text(trust.confirmed, trust.views)
        facts.append(Fact(_("Confirmed"), numbers.whole(trust.confirmed) + (f" ({share})" if share else "")))
        facts.append(Fact(_("Suspected robots"), numbers.whole(trust.suspected)))
    extra = ((name, getattr(trust, name)) for name in ("cached", "opened", "moved"))
    return (*facts, *(Fact(str(LEDGER[name]), numbers.whole(n)) for name, n in extra if n))


def trust_remark(trust: Trust) -> str:
    """Return the meaning of the facts, and the day from which they hold."""
    since = _("Browsers confirm views since %(day)s.") % {"day": full_day(trust.since)}
    return f"{since} " + _(
        "Suspected robots are the other views: programs that pose as browsers, or people who block the script. They "
        "stay in all figures."
    )


def vitals_facts(vitals: Vitals) -> tuple[Fact, ...]:
    """Return the 75th percentile of each metric with its rating."""
    return tuple(_vital(metric, vitals.get(metric)) for metric in METRICS)


def _vital(metric: Metric, vital: Vital | None) -> Fact:
    name = str(labels.DIMENSIONS[f"vital_{metric}"])
    if vital is None:
        return Fact(name, "–")
    p75 = vital.p75 * 1_000 if metric == "cls" else vital.p75
    return Fact(name, numbers.timing(metric, p75), str(labels.RATINGS[vital.rating]), TONES[vital.rating])


def vitals_remark() -> str:
    """Return the thresholds."""
    pairs = ((metric, *(numbers.timing(metric, n) for n in THRESHOLDS[metric])) for metric in METRICS)
    listed = "; ".join(f"{metric.upper()} {good}, {poor}" for metric, good, poor in pairs)
    return _(
        "Three of four views were at least as good (75th percentile). Google rates up to the first threshold as good, "
        "above the second as poor: %(thresholds)s."
    ) % {"thresholds": listed}
