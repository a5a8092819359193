"""Figures of the browser script's reports, for the dimensions of ``derived``: confirmed views and percentiles.

In: a period and its deltas. Out: figures of sources, countries and browsers, and of routes and devices.
"""
