"""Share links: made, found and revoked."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.core import signing
from django.utils import timezone

from codex_tracking.hits.text import UNFIT
from codex_tracking.models import ShareLink, database
from codex_tracking.settings import get_tracking_settings

SALT = "codex_tracking.share"
DAYS = 30
"""How long a link lasts when nobody says."""
LONGEST_DAYS = 366
LONGEST_NAME = 100
LONGEST_TOKEN = 200
"""A token has about 100 characters; more is not even looked at."""


def create(name: str, days: int = DAYS, created_by: str = "") -> ShareLink:
    """Store a new link.

    Args:
        name: whom it is for; up to 100 characters.
        days: until it expires, 1 to 366.
        created_by: who made it.

    Raises:
        ValueError: a bad name or number of days.
    """
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME or UNFIT.search(name):
        raise ValueError(f"name must be 1 to {LONGEST_NAME} characters without controls, not {name[:120]!r}")
    if not 1 <= days <= LONGEST_DAYS:
        raise ValueError(f"days must be 1 to {LONGEST_DAYS}, not {days!r}")
    expires = timezone.now() + timedelta(days=days)
    return ShareLink.objects.using(database(write=True)).create(
        key=new_key(), name=name, expires_at=expires, created_by=created_by[:150]
    )


def new_key() -> str:
    """Return a key that nobody guesses."""
    return secrets.token_hex(16)


def revoke(primary_key: int) -> bool:
    """Close a link for ever, and say whether there was one to close."""
    links = ShareLink.objects.using(database(write=True)).filter(pk=primary_key, revoked_at__isnull=True)
    return links.update(revoked_at=timezone.now()) > 0


def links() -> list[ShareLink]:
    """Return all links, the newest first."""
    return list(ShareLink.objects.using(database()))


def token_of(link: ShareLink) -> str:
    """Return what stands in the link's address: its key, signed with ``SECRET_KEY``."""
    return signing.Signer(salt=SALT).sign(link.key)


def find(token: str) -> ShareLink | None:
    """Return the link of a token, or None when it was never ours; says nothing about whether it is open.

    A token with a wrong signature does not reach the database. The primary is asked, so that no replica's lag keeps a
    revoked link open.
    """
    if len(token) > LONGEST_TOKEN:
        return None
    try:
        key = signing.Signer(salt=SALT).unsign(token)
    except signing.BadSignature:
        return None
    return ShareLink.objects.using(database(write=True)).filter(key=key).first()


def is_open(link: ShareLink, now: datetime) -> bool:
    """Say whether a link opens the dashboard at ``now``."""
    return get_tracking_settings().share_links and link.revoked_at is None and now < link.expires_at
