"""Claims: reports of the browser script about a page, checked before anything is counted.

A claim is a JSON object of at most 2,000 bytes: ``i`` the page's letter and id, ``l`` a random name of this claim,
``k`` its kind, ``p`` the path, ``q`` the campaign's parameters, ``r`` the referrer, ``n`` and ``v`` name and value of
an event, and the numbers of ``measures.measures_in``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args
from urllib.parse import unquote, urlsplit

from django.http.request import split_domain_port, validate_host

from codex_tracking.hits.capture import LONGEST_REFERRER, hit_of, with_text_alone
from codex_tracking.hits.hit import Hit, Later
from codex_tracking.hits.pages.ids import PageId, read_id
from codex_tracking.hits.pages.measures import Measures, measures_in
from codex_tracking.hits.routes import below_script_name
from codex_tracking.hits.rules import peek_user, session_of
from codex_tracking.hits.text import LONG_LIMIT, UNFIT, clean, hide_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from codex_tracking.settings import TrackingSettings

ClaimKind = Literal["load", "again", "moved", "left", "event"]
"""A page that was loaded; shown again without a request, as the browser knows; another page within the same document;
reading time, sent when the page is hidden; an event."""
Refusal = Literal[
    "claim_bot",
    "claim_excess",
    "claim_expired",
    "claim_foreign",
    "claim_forged",
    "claim_limited",
    "claim_malformed",
    "claim_oversized",
    "claim_repeated",
    "claim_unrouted",
]
"""Reasons for which a claim was not counted; each is a counter of the ledger."""

KINDS: tuple[ClaimKind, ...] = get_args(ClaimKind)
MOST_BYTES = 2_000
NAME = re.compile(r"[\w-]{8,40}", re.ASCII)
LONGEST_EVENT, LONGEST_VALUE = 80, 200


class Claim(NamedTuple):
    """A sound claim."""

    page: PageId | None
    """None for a page without an id."""
    name: str
    """Random; the same claim has the same name when it is sent twice."""
    kind: ClaimKind
    path: str
    """Decoded, as ``request.path``."""
    query: str
    referrer: str
    event: str
    value: str
    measures: Measures


def is_foreign(meta: Mapping[str, Any], settings: TrackingSettings) -> bool:
    """Whether a claim comes from another site than its own, or from no browser.

    Source: ``Sec-Fetch-Site``, which no script can set, and ``Origin`` of browsers before 2023 that do not send it.
    """
    site = meta.get("HTTP_SEC_FETCH_SITE")
    # Before ``Origin``, which a page with ``Referrer-Policy: no-referrer`` sends as ``null``.
    if site == "same-origin":
        return False
    if site not in (None, "same-site"):
        return True
    try:
        there = urlsplit(meta.get("HTTP_ORIGIN", ""))
        domain = split_domain_port(there.netloc)[0]
    except ValueError:
        return True
    if there.scheme not in ("http", "https") or not domain:
        return True
    here = meta.get(settings.host_meta) or meta.get("HTTP_HOST", "")
    return there.netloc.lower() != here.lower() and not validate_host(domain, settings.own_hosts)


def parse_claim(body: bytes, settings: TrackingSettings, now: float) -> Claim | Refusal:
    """Return the claim in a body, or why it is none.

    Args:
        body: at most ``MOST_BYTES``.
        settings: ``ttl_seconds``, and whether pages without an id count.
        now: seconds since the epoch.
    """
    try:
        found = json.loads(body)
    # Numbers of thousands of digits, and brackets in brackets, are errors of their own.
    except (ValueError, RecursionError):
        return "claim_malformed"
    fields = _fields(found) if isinstance(found, dict) else None
    if fields is None:
        return "claim_malformed"
    identity, name, kind, path, query, referrer, event, value = fields
    measures = measures_in(found)
    if measures is None or (kind == "event" and not event.strip()):
        return "claim_malformed"
    page = None
    if identity or not settings.pages_without_id:
        page = read_id(identity, now)
        if page is None:
            return "claim_forged"
        if now - page.second > settings.ttl_seconds:
            return "claim_expired"
    return Claim(
        page,
        name,
        cast(ClaimKind, kind),
        unquote(path),
        query.removeprefix("?"),
        referrer[:LONGEST_REFERRER],
        event and clean(event, LONGEST_EVENT),
        value and clean(hide_tokens(value), LONGEST_VALUE),
        measures,
    )


def _fields(found: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the texts of a claim; None when one is missing, of another type, or out of its bounds."""
    texts = tuple([found.get(key, "") for key in "ilkpqrnv"])
    if set(map(type, texts)) != {str}:
        return None
    _, name, kind, path = texts[:4]
    if not NAME.fullmatch(name) or kind not in KINDS:
        return None
    # Browsers send paths encoded; what is decoded is checked again where it is stored.
    if not path.startswith("/") or len(path) > LONG_LIMIT or UNFIT.search(path):
        return None
    return texts


def hit_of_claim(request: HttpRequest, claim: Claim, settings: TrackingSettings) -> Hit | None:
    """Return a claim as a hit of kind ``claim``, named by the claim's kind; None for uncounted visitors.

    Who it is, and the browser, are those of the request; path, referrer and campaign are the claim's. The route and the
    user are found out in the background, as for a page.
    """
    who = user, is_staff = peek_user(request)
    if is_staff and not settings.track_staff:
        return None
    session = "" if user or is_staff is not None else session_of(request, settings)
    if not user and not session and not settings.track_anonymous:
        return None
    hit = Hit.of(with_text_alone(hit_of, request, who, settings, "claim", claim.kind))
    # The script sends no measures of who opted out; others might.
    measures = Measures() if hit.client.anonymous else claim.measures
    origin = request.META.get("HTTP_ORIGIN", "")
    return hit._replace(
        value=f"{claim.event}\t{claim.value}" if claim.kind == "event" else measures.text(),
        path=claim.path,
        secrets=(),
        route="",
        view="",
        query=claim.query,
        # The page is of the origin that sends the claim, whatever a proxy has made of the host.
        referrer="" if origin and f"{claim.referrer}/".startswith(f"{origin}/") else claim.referrer,
        later=Later(
            below_script_name(claim.path),
            # A page's claim comes to the page's host, which may have addresses of its own.
            getattr(request, "urlconf", None),
            user if is_staff is None else "",
            session,
            True,
        ),
    )
