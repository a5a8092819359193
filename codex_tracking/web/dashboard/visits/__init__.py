"""The visit log on the dashboard: chips of filters, and the pages of segments, funnels and journeys.

Comes in: a request with filters or steps in its address. Goes out: HTML.
"""
