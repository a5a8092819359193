"""The facts of a hit found out in the background: its route and its user."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from codex_tracking.hits.capture import FRONT_PAGE, OURS, secrets_of
from codex_tracking.hits.hit import Hit, Later, Member
from codex_tracking.hits.routes import route_of
from codex_tracking.hits.text import hide_tokens
from codex_tracking.settings import TrackingSettings

Key = bytes | str
NOBODY = Member("", False)


def member_key(later: Later) -> Key:
    """Return the key of the member behind a hit; empty when there is nothing to find out.

    Of a session a digest: the cookie itself would open it.
    """
    if later.session:
        return blake2b(later.session.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return later.user


def completed(hit: Hit, members: Mapping[Key, Member], settings: TrackingSettings) -> Hit | None:
    """Return a hit with its route and user, or as one that is excluded; None for an answer of this library.

    Args:
        hit: with ``later``.
        members: by ``member_key``; those that are missing count as anonymous visitors.
        settings: decide about secrets, staff and anonymous visitors.
    """
    later = hit.later
    if later is None:
        return hit
    if later.path_info:
        match = route_of(later.path_info, later.urlconf, settings.secret_names)
        if match is None:
            # No route says which part of the path is secret.
            hit = hit._replace(path=hide_tokens(hit.path))
        elif OURS in match.app_names:
            return None
        else:
            secrets, route = secrets_of(match.kwargs, settings), match.route or FRONT_PAGE
            hit = hit._replace(secrets=secrets, route=route, view=match.view_name)
    hit = hit._replace(later=None)
    # Errors count without a visitor, so that nobody's session has to be known for them.
    if hit.kind == "error":
        return hit
    member = members.get(member_key(later), NOBODY) if later.session or later.user else NOBODY
    user = member.user or later.user or hit.client.user
    if later.judged and member.is_staff and not settings.track_staff:
        return hit._replace(kind="excluded", name="staff")
    if later.judged and not user and not settings.track_anonymous:
        return hit._replace(kind="excluded", name="anonymous")
    # Who opted out stays without identity, logged in or not.
    if user and not hit.client.anonymous:
        hit = hit._replace(client=hit.client._replace(user=user))
    return hit
