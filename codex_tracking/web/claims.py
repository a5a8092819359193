"""The address that takes the browser script's claims.

It answers 204 to everything, so that nobody learns from it what an id is worth, and does no I/O: a sound claim waits in
memory for the next push. What is wrong with a claim is one counter of the ledger, and nothing else.
"""

from __future__ import annotations

import logging
from time import time

from django.http import HttpRequest, HttpResponse

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.claims import WaitingClaim
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.capture import bare_hit
from codex_tracking.hits.pages.claims import MOST_BYTES, Refusal, hit_of_claim, is_foreign, parse_claim
from codex_tracking.hits.visitors import client_address
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.settings import TrackingSettings, get_tracking_settings
from codex_tracking.web.access.switches import independent

logger = logging.getLogger(__name__)

MINUTE = 60.0
CLAIMS_PER_MINUTE = 600
"""Claims that one address may send to one process within a minute: an office behind one address has hundreds of
browsers, each of which sends one or two a page."""
MOST_CLIENTS = 20_000
"""Addresses that are told apart within a minute; all others share one limit."""


class Limit:
    """Counts the claims of each address within a minute; addresses as numbers that say nothing to other processes."""

    def __init__(self) -> None:
        self._claims: dict[int, int] = {}
        self._until = 0.0

    def reached(self, address: str, now: float) -> bool:
        """Note one more claim, and return whether it is one too many."""
        # Two threads may count one claim between them; the limit is no exact one.
        if now >= self._until:
            self._claims, self._until = {}, now + MINUTE
        client = hash(address)
        if client not in self._claims and len(self._claims) >= MOST_CLIENTS:
            client = 0
        claims = self._claims[client] = self._claims.get(client, 0) + 1
        return claims > CLAIMS_PER_MINUTE


limit = Limit()


@independent
async def claim_view(request: HttpRequest) -> HttpResponse:
    """Take a claim; see ``hits/pages/claims.py`` for its form."""
    settings = get_tracking_settings()
    if settings.enabled and settings.page_ids:
        try:
            refusal = receive(request, settings, time())
            if refusal is not None:
                get_buffer().put(bare_hit("claim", refusal))
            if not get_runner().running:
                # Under WSGI this view's event loop ends with it.
                start = get_runner().start if hasattr(request, "scope") else get_runner().start_thread
                start()
        # A visitor's browser must not see an error, whatever was sent.
        except Exception:
            ledger.add("record_failures")
            logger.exception("a claim was not counted")
    answer = HttpResponse(status=204, headers={"Cache-Control": "no-store"})
    del answer["Content-Type"]
    return answer


def receive(request: HttpRequest, settings: TrackingSettings, now: float) -> Refusal | None:
    """Let a claim wait for its decision, or return why it is refused."""
    meta = request.META
    forwarded = meta.get(settings.address_meta, "")
    address = client_address(
        meta.get("REMOTE_ADDR") or "", forwarded, settings.trusted_proxies, settings.client_ip_header
    )
    # The cheapest check first: it is what a flood of anything is stopped by.
    if limit.reached(address, now):
        return "claim_limited"
    if is_foreign(meta, settings):
        return "claim_foreign"
    if request.method != "POST":
        return "claim_malformed"
    body = request.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        return "claim_oversized"
    claim = parse_claim(body, settings, now)
    if isinstance(claim, str):
        return claim
    hit = hit_of_claim(request, claim, settings)
    if hit is not None and not get_buffer().claims.put(WaitingClaim(claim.page, claim.name, claim.kind, hit)):
        return "claim_limited"
    return None
