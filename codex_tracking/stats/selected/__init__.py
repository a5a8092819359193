"""Figures of the visits that filters select.

In: a period and filters. Out: the types of the unfiltered figures, worked out from the visit log, and
funnels and journeys. Without filters, the public reads in ``reads`` answer from the aggregates.
"""
