"""The profiles of the clients since the last push, each worked out once."""

from __future__ import annotations

from codex_tracking.counters.addresses import Addresses
from codex_tracking.counters.dimensions import Profile, profile_of
from codex_tracking.hits.hit import Client
from codex_tracking.hits.visitors import MOST_CLIENTS
from codex_tracking.settings import TrackingSettings


class Profiles(dict[Client, Profile]):
    """Client -> profile; the owner clears it with each push, since addresses are kept no longer than that.

    Args:
        settings: decide about bots, proxies, country and opt-outs.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        super().__init__()
        self.addresses = Addresses()
        self._settings = settings

    # Not a method that looks first: for a client that is known, a dictionary alone takes half the time.
    def __missing__(self, client: Client) -> Profile:
        if len(self) >= MOST_CLIENTS:
            self.clear()
        profile = self[client] = profile_of(client, self._settings)
        # Without identity there is no address either, which another note counts.
        if profile.bot is None and profile.identity and not client.user:
            self.addresses.note(profile.address, client.agent)
        return profile

    def use(self, settings: TrackingSettings) -> None:
        """Forget the profiles made with other settings, and continue with these."""
        self._settings = settings
        self.clear()
