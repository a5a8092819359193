"""Figures of what the browser script reports, for the dimensions of ``derived``: confirmed views and percentiles.

In: a period and its deltas. Out: figures of sources, countries and browsers, and of routes and devices.
"""
