"""Loading times by route and device: the 75th percentile of each."""

from __future__ import annotations

from codex_tracking.hits.pages.measures import Metric
from codex_tracking.stats.values.ranking import Figure
from codex_tracking.stats.vitals import Histograms, percentile_of


def percentiles(metric: Metric, histograms: Histograms) -> list[Figure]:
    """Return the measured views of each ``route<tab>device`` with their 75th percentile, in no order.

    The percentile is in milliseconds, of ``cls`` in thousandths.
    """
    return [
        Figure("\t".join(names), sum(histogram.values()), percentile_of(metric, histogram))
        for names, histogram in histograms.items()
    ]
