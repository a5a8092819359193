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
from codex_tracking.hits.pages.limit import Scope, header_of, limit, place_of
from codex_tracking.hits.visitors import client_address
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.settings import TrackingSettings, get_tracking_settings
from codex_tracking.web.access.switches import independent

logger = logging.getLogger(__name__)


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
                get_runner().start_for(request)
        # A visitor's browser must not see an error, whatever was sent.
        except Exception:
            ledger.add("record_failures")
            logger.exception("a claim was not counted")
    answer = HttpResponse(status=204, headers={"Cache-Control": "no-store"})
    del answer["Content-Type"]
    return answer


def is_beyond_limit(scope: Scope) -> bool:
    """Return whether an ASGI request is one more claim of an address beyond its limit, and count it as such.

    Answering these before Django sees them keeps a flood of them from delaying pages.
    """
    try:
        if scope["method"] != "POST" or place_of(scope) not in limit.places:
            return False
        settings, (address, _) = get_tracking_settings(), scope.get("client") or ("", 0)
        name = settings.address_meta.removeprefix("HTTP_").replace("_", "-").lower().encode()
        forwarded = header_of(scope, name).decode("latin-1")
        client = client_address(address or "", forwarded, settings.trusted_proxies, settings.client_ip_header)
        if not limit.passed(client, time()):
            return False
        get_buffer().put(bare_hit("claim", "claim_limited"))
        return True
    # Whatever a server puts into its scope: the request goes on.
    except Exception:
        ledger.add("record_failures")
        logger.exception("a claim was not compared with its limit")
        return False


def receive(request: HttpRequest, settings: TrackingSettings, now: float) -> Refusal | None:
    """Let a claim wait for its decision, or return why it is refused."""
    meta = request.META
    forwarded = meta.get(settings.address_meta, "")
    address = client_address(
        meta.get("REMOTE_ADDR") or "", forwarded, settings.trusted_proxies, settings.client_ip_header
    )
    # The cheapest check first: it is what a flood of anything is stopped by.
    if limit.reached(address, now):
        if scope := getattr(request, "scope", None):
            limit.remember(scope)
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
