"""The visit log on the dashboard: chips of filters, and the pages of segments, funnels and journeys.

In: a request with filters or steps in its address. Out: HTML.
"""
