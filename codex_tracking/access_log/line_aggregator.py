"""The aggregator of lines: the same counters as of requests, with everything that lines share worked out once."""

from __future__ import annotations

from codex_tracking.counters.aggregator import EXCLUDED_BOT, Aggregator
from codex_tracking.counters.dimensions import CACHED_LENGTH, Origin, page, place
from codex_tracking.counters.fields import Counter, counter
from codex_tracking.hits.hit import Client, RawHit
from codex_tracking.hits.text import clean
from codex_tracking.settings import TrackingSettings

MOST_ORIGINS = 16_384
SOURCES_OF_A_PAGE = 16


class Page:
    """The facts that all views of one page share.

    Args:
        hit: one of the views.
    """

    __slots__ = ("_hit", "_hour", "_pages", "_place", "route")

    def __init__(self, hit: RawHit) -> None:
        self._hit = hit
        self.route = hit[6]
        self._pages: dict[str, tuple[str, tuple[Counter, ...]]] = {}
        self._hour = ""
        self._place: tuple[Counter, ...] = ()

    def stored(self, source: str) -> tuple[str, tuple[Counter, ...]]:
        """Return the stored path and the counters of a view that came from a source; see ``dimensions.page``."""
        found = self._pages.get(source)
        if found is None:
            # A page may have as many sources as strangers like to name.
            if len(self._pages) >= SOURCES_OF_A_PAGE:
                self._pages.clear()
            found = self._pages[source] = page(*self._hit[4:7], source)
        return found

    def place(self, hour: str) -> tuple[Counter, ...]:
        """Return the counters of route, view and hour; see ``dimensions.place``."""
        # Lines are in the order of time, so the last hour is the one that is asked for next.
        if hour != self._hour:
            self._hour, self._place = hour, place(*self._hit[6:8], hour, None)
        return self._place


class LineAggregator(Aggregator):
    """All that a piece of a log has counted.

    Args:
        settings: decide about bots, proxies, country and opt-outs.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        # Minutes are for live figures; nobody asks for those of a log.
        super().__init__(settings, minutes=False)
        self._origins: dict[tuple[str, str, str], Origin] = {}
        """Referrer, query string and host of the site -> origin."""

    def add_view(self, at: float, date: str, hour: str, page: Page, query: str, referrer: str, client: Client) -> None:
        """Count one view of a page as ``add`` does, but for its minute.

        Args:
            at: seconds since the epoch.
            date: its ISO date.
            hour: its hour.
            page: its path and route.
            query: its query string.
            referrer: as sent; so is the query.
            client: its visitor's.
        """
        day = self._day(date, at)
        profile = self._profiles[client]
        if profile.bot is not None:
            self._count(day, (EXCLUDED_BOT, counter("bot", clean(profile.bot, 80))))
            return
        key = (referrer, query, client[0])
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origin(query, referrer, client[0])
            if len(referrer) + len(query) <= 2 * CACHED_LENGTH:
                if len(self._origins) >= MOST_ORIGINS:
                    self._origins.clear()
                self._origins[key] = origin
        counted = page.stored(origin[0][1])
        self._count_view(day, hour, int(at), profile, origin, counted, page.place(hour))
        if profile.logged is not None:
            self._log_view(day, int(at), client, profile, origin, counted[0], page.route)
