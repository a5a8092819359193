"""Share links: create, find and revoke."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Literal

from django.core import signing
from django.utils import timezone

from codex_tracking.models import Segment, ShareLink, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.web.access.saved import checked_name

State = Literal["open", "revoked", "expired", "disabled"]

SALT = "codex_tracking.share"
DAYS = 30
"""Days until a link expires, by default."""
LONGEST_DAYS = 366
LONGEST_TOKEN = 200
"""A token has about 100 characters; a longer one is not checked."""


def create(name: str, days: int = DAYS, created_by: str = "", segment: Segment | None = None) -> ShareLink:
    """Store a new link.

    Args:
        name: 1 to 100 characters, such as the recipient's.
        days: until it expires, 1 to 366.
        created_by: the creator's user name.
        segment: what the link shows; all visits when omitted.

    Raises:
        ValueError: ``name`` or ``days`` is out of range.
    """
    name = checked_name(name)
    if not 1 <= days <= LONGEST_DAYS:
        raise ValueError(f"days must be 1 to {LONGEST_DAYS}, not {days!r}")
    expires = timezone.now() + timedelta(days=days)
    # A project's own user model may have longer names than the column, and PostgreSQL refuses them.
    return ShareLink.objects.using(database(write=True)).create(
        key=new_key(), name=name, expires_at=expires, created_by=created_by[:150], segment=segment
    )


def new_key() -> str:
    """Return a random key of 128 bits, in hexadecimal."""
    return secrets.token_hex(16)


def revoke(primary_key: int) -> bool:
    """Revoke a link, and say whether there was one that was not revoked yet."""
    links = ShareLink.objects.using(database(write=True)).filter(pk=primary_key, revoked_at__isnull=True)
    return links.update(revoked_at=timezone.now()) > 0


def links() -> list[ShareLink]:
    """Return all links, the newest first."""
    return list(ShareLink.objects.using(database()).select_related("segment"))


def token_of(link: ShareLink) -> str:
    """Return the token in the link's address: its key, signed with ``SECRET_KEY``."""
    # Signed without a time: expiry and revocation are columns, which are read with the key.
    return signing.Signer(salt=SALT).sign(link.key)


def find(token: str) -> ShareLink | None:
    """Return the link of a token in any state, or None for an unknown token.

    A token with a wrong signature causes no query. The query goes to the primary: a replica's lag must not keep a
    revoked link open.
    """
    # Signing a megabyte of cookie takes time.
    if len(token) > LONGEST_TOKEN:
        return None
    try:
        key = signing.Signer(salt=SALT).unsign(token)
    except signing.BadSignature:
        return None
    # The segment with it: read later, it might be deleted by then.
    return ShareLink.objects.using(database(write=True)).filter(key=key).select_related("segment").first()


def state_of(link: ShareLink, now: datetime) -> State:
    """Return a link's state at ``now``; ``disabled`` by the setting ``share_links``."""
    # The order matters: a revoked link stays revoked, also after its last day.
    if link.revoked_at is not None:
        return "revoked"
    if link.expires_at <= now:
        return "expired"
    return "open" if get_tracking_settings().share_links else "disabled"
