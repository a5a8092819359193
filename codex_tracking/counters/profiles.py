"""The clients of a day as this process remembers them: their profiles, and their visitors' hashed ids."""

from __future__ import annotations

from collections.abc import Mapping

from codex_tracking.counters.addresses import Addresses
from codex_tracking.counters.dimensions import Profile, profile_of
from codex_tracking.hits.hit import Client, RawClient
from codex_tracking.hits.visitors import identity, visitor_digests, visitor_ids
from codex_tracking.settings import TrackingSettings

MOST_CLIENTS = 8_192
"""Clients, and visitors, that are remembered; some 5 MB."""


class Profiles:
    """The profile of each client, worked out once a day.

    A client is remembered by its hash, whose key is this process's own: its address stays no longer than its hits.

    Args:
        settings: decide about bots, proxies, country and opt-outs.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        self.addresses = Addresses()
        self.known: dict[int, Profile] = {}
        """Hash of a client -> its profile."""
        self._settings = settings
        self._salt = b""
        self._ids: dict[int, str] = {}
        """Number of a visitor -> its id, hashed with ``_salt``."""

    def of(self, raw: RawClient) -> Profile:
        """Return the profile of a client."""
        key = hash(raw)
        profile = self.known.get(key)
        if profile is None:
            if len(self.known) >= MOST_CLIENTS:
                self.known.clear()
            client = Client._make(raw)
            profile = self.known[key] = profile_of(client, self._settings)
            # Without identity there is no address either, which another note counts.
            if profile.bot is None and profile.visitor and not client.user:
                self.addresses.note(profile.address, client.agent)
        return profile

    def identity(self, client: RawClient) -> str:
        """Return the identity of a client in clear text; see ``visitors.identity``."""
        settings = self._settings
        return identity(client, settings.trusted_proxies, settings.client_ip_header)

    def ids(self, visitors: Mapping[int, RawClient], salt: bytes) -> dict[int, str]:
        """Return the hashed ids of these visitors, and of others.

        Args:
            visitors: their numbers, each with a client of theirs.
            salt: of the day.
        """
        if salt != self._salt:
            # Another day: what was known of the last one's clients and visitors is no longer needed.
            self.use(self._settings)
            self._salt = salt
        known = self._ids
        if len(known) + len(visitors) > MOST_CLIENTS:
            known.clear()
        unknown = {number: self.identity(client) for number, client in visitors.items() if number not in known}
        hashed = visitor_ids(visitor_digests(unknown.values(), salt))
        known.update((number, hashed[text]) for number, text in unknown.items())
        return known

    def use(self, settings: TrackingSettings) -> None:
        """Forget all clients and visitors, and continue with these settings."""
        self._settings = settings
        self.known.clear()
        self._ids.clear()
