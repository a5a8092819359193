"""Translated names of the ledger's counters."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

LEDGER: dict[str, Promise] = {
    "view": gettext_lazy("Page views recorded"),
    "event": gettext_lazy("Events recorded"),
    "claim": gettext_lazy("Reports of browsers"),
    "error": gettext_lazy("Errors recorded"),
    "excluded": gettext_lazy("Requests not counted"),
    "pushed": gettext_lazy("Views sent to Redis"),
    "flushed": gettext_lazy("Views saved in the database"),
    "rebases": gettext_lazy("Restarts after Redis lost data"),
    "push_failures": gettext_lazy("Failed pushes"),
    "flush_failures": gettext_lazy("Failed flushes"),
    "drain_failures": gettext_lazy("Failed attempts at a stop"),
    "record_failures": gettext_lazy("Failed records"),
    "failing_seconds": gettext_lazy("Seconds since pushes fail"),
    "dropped_damaged": gettext_lazy("Lost: damaged counters"),
    "dropped_day": gettext_lazy("Lost: views too far from today"),
    "dropped_joined": gettext_lazy("Lost: views in merged batches"),
    "dropped_log": gettext_lazy("Lost: hits of the visit log"),
    "dropped_page": gettext_lazy("Lost: pages of visits"),
    "dropped_shutdown": gettext_lazy("Lost: views at a stop"),
    "dropped_sketch": gettext_lazy("Lost: damaged visitor sketches"),
    "dropped_visitor": gettext_lazy("Lost: visitors above the limit"),
    "confirmed": gettext_lazy("Views that a browser confirmed"),
    "cached": gettext_lazy("Views from caches and the back button"),
    "opened": gettext_lazy("Views of prefetched pages"),
    "moved": gettext_lazy("Views within single-page applications"),
    "claim_bot": gettext_lazy("Reports refused: bots"),
    "claim_excess": gettext_lazy("Reports refused: too many of a page or a day"),
    "claim_expired": gettext_lazy("Reports refused: too old"),
    "claim_foreign": gettext_lazy("Reports refused: from another site"),
    "claim_forged": gettext_lazy("Reports refused: unknown page ids"),
    "claim_limited": gettext_lazy("Reports refused: too many at once"),
    "claim_malformed": gettext_lazy("Reports refused: malformed"),
    "claim_oversized": gettext_lazy("Reports refused: too large"),
    "claim_repeated": gettext_lazy("Reports refused: sent twice"),
    "claim_unrouted": gettext_lazy("Reports refused: unknown paths"),
    "imported": gettext_lazy("Views from access logs"),
    "log_dropped": gettext_lazy("Lost: hits of the visit log, no memory left"),
    "log_lost": gettext_lazy("Lost: hits of the visit log, in Redis"),
    "no_address": gettext_lazy("Views without a client address"),
    "no_lifespan": gettext_lazy("Views under a server without lifespan"),
    "one_address": gettext_lazy("Views of many browsers with one address"),
    "suspect": gettext_lazy("Views with contradictory headers"),
    "unknown_member": gettext_lazy("Views whose user could not be read"),
    "unread_forwarded": gettext_lazy("Views with an unread X-Forwarded-For"),
}
"""Counter of the ledger -> name on the status page."""
