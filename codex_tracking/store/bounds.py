"""Bounds of one day's visits, the same for live hits in Redis and for lines of access logs."""

from __future__ import annotations

VISITORS_WITH_STATE = 100_000
"""Visits whose state one day keeps; about 20 MB of Redis. Above it the oldest go, and may be counted as new visits."""
NAMES_PER_VISITOR = 64
"""Pages, and events, of one visitor and day that are told apart; each takes 9 bytes of the visit's state."""
