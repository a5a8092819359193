"""The aggregator: counts hits per day until a push takes them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from codex_tracking.counters.addresses import ONE_ADDRESS
from codex_tracking.counters.batch import (
    MOST_BYTES,
    MOST_FIELDS,
    MOST_VISITORS,
    NAMES_PER_TOUCH,
    TOUCH_BYTES,
    VISIT_GAP,
    Batch,
    Touch,
    weight_of,
)
from codex_tracking.counters.day_counts import (
    BATCH_FIELDS,
    BATCH_VISITORS,
    EMBEDDED_FIELDS,
    EMBEDDED_VISITORS,
    MOST_SETS,
    DayCounts,
)
from codex_tracking.counters.days import Clock
from codex_tracking.counters.dimensions import (
    CACHED_LENGTH,
    Origin,
    Page,
    Profile,
    beginnings,
    fields_of_error,
    origin_of,
    page,
    place,
)
from codex_tracking.counters.fields import Counter, counter, first, other, pair, views_of
from codex_tracking.counters.ledger import DayNote, ledger
from codex_tracking.counters.profiles import Profiles
from codex_tracking.hits.hit import Client, Hit, Kind, Member, RawHit
from codex_tracking.hits.late import Key, completed, member_key
from codex_tracking.hits.sources import campaign_of
from codex_tracking.hits.text import clean
from codex_tracking.hits.visitors import forget_clients
from codex_tracking.settings import TrackingSettings

EXCLUDED_BOT = counter("excluded", "bot")
EXCLUDED_STATUS = counter("excluded", "status")
DROPPED_PAGE = counter("ledger", "dropped_page")
MOST_ORIGINS = 16_384
DROPPED_VISITOR = counter("ledger", "dropped_visitor")


class Aggregator:
    """All that this process has counted and not yet pushed.

    Args:
        settings: decide about bots, proxies, country and opt-outs.
        minutes: whether views are counted by minute too; for days long past nobody asks for minutes.
    """

    def __init__(self, settings: TrackingSettings, minutes: bool = True) -> None:
        self.settings = settings
        self.minutes = minutes
        self.days: dict[str, DayCounts] = {}
        self.clock = Clock()
        self.fields = 0
        """Distinct counters waiting, all days together; so are visitors, and the bytes of both."""
        self.visitors = self.weight = 0
        self.members: dict[Key, Member] = {}
        """The users of sessions that the pipeline has read."""
        self._profiles = Profiles(settings)
        self._origins: dict[tuple[str, str, str], Origin] = {}
        """Referrer, query string and host of the site -> origin, for ``add_view``."""

    def use(self, settings: TrackingSettings) -> None:
        """Continue with these settings; a server reads them once, tests change them."""
        if settings is not self.settings:
            self.settings = settings
            self._origins.clear()
            self._profiles.use(settings)

    def add(self, hit: RawHit) -> Kind:
        """Count one hit in memory, and return its kind; a few microseconds."""
        if hit[11] is not None:
            found = self._completed(Hit._make(hit))
            if found is None:
                return "excluded"
            hit = found
        # A raw hit has no names for its fields; see ``RawHit``. Most of the time that a view costs is spent here.
        at, kind, name = hit[:3]
        date, hour = self.clock.read(at)
        day = self._day(date, at)
        if kind != "view":
            self._add_other(day, Hit._make(hit))
            return kind
        profile = self._profiles[hit[10]]
        if profile.bot is not None:
            self._count(day, (EXCLUDED_BOT, counter("bot", clean(profile.bot, 80))))
        elif name:
            self._count(day, (counter("excluded", name),))
        else:
            self._add_view(day, hour, hit, profile)
        return kind

    def _add_view(self, day: DayCounts, hour: str, hit: RawHit, profile: Profile) -> None:
        at, _, _, _, path, secrets, route, view, query, referrer, client, _ = hit
        origin = self._origin(query, referrer, client.host)
        found = place(route, view, hour, int(at) // 60 if self.minutes else None)
        self._count_view(day, hour, int(at), profile, origin, page(path, secrets, route, origin[0]), found)

    def add_view(self, at: float, date: str, hour: str, page: Page, query: str, referrer: str, client: Client) -> None:
        """Count one view of a page as ``add`` does, but for its minute.

        Args:
            at: seconds since the epoch.
            date: its ISO date.
            hour: its hour.
            page: what is known of it.
            query: its query string.
            referrer: as sent; so is the query.
            client: who saw it.
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
        self._count_view(day, hour, int(at), profile, origin, page.stored(origin[0]), page.place(hour))

    def _day(self, date: str, at: float) -> DayCounts:
        day = self.days.get(date)
        if day is None:
            day = self.days[date] = DayCounts()
        if not day.oldest or at < day.oldest:
            day.oldest = int(at)
        return day

    def _origin(self, query: str, referrer: str, host: str) -> Origin:
        # Only what tells origins apart is looked up, so that the cache sees few keys.
        if "?" in referrer:
            referrer = referrer.partition("?")[0]
        campaign, settings = campaign_of(query) if "=" in query else "", self.settings
        return origin_of(referrer, campaign, host, settings.sources, settings.own_hosts)

    def _count_view(
        self,
        day: DayCounts,
        hour: str,
        second: int,
        profile: Profile,
        origin: Origin,
        page: tuple[str, tuple[Counter, ...]],
        at_place: tuple[Counter, ...],
    ) -> None:
        _, traits, visitor, notes, _ = profile
        _, _, counters, fields = origin
        path, counted = page
        self._count(day, counted)
        if notes:
            self._count(day, notes)
        if self._profiles.addresses.single:
            self._count(day, (ONE_ADDRESS,))
        sets = day.sets
        for together in (at_place, traits, counters):
            if together in sets:
                sets[together] += 1
            else:
                if len(sets) >= MOST_SETS:
                    self._add_sets(day)
                sets[together] = 1
        touch = self._touch_of(day, visitor, second) if visitor else None
        if touch is not None:
            touch.views += 1
            # The first view names the source of the visit, should the script find that one begins here.
            if not touch.fields:
                touch.fields = (first(counter("entry", path)), *beginnings(hour, fields, traits))
                self._weigh(day, weight_of(path), touch)
            if path not in touch.paths and len(touch.paths) < NAMES_PER_TOUCH:
                self._add_page(day, touch, path)

    def _add_other(self, day: DayCounts, hit: Hit) -> None:
        if hit.kind == "event":
            self._event(day, hit)
        elif hit.kind == "excluded":
            self._count(day, (counter("excluded", hit.name),))
        # Scanners ask for thousands of pages that never existed; those would fill the list of errors.
        elif self._profiles[hit.client].bot is not None:
            self._count(day, (EXCLUDED_STATUS,))
        else:
            self._count(day, (EXCLUDED_STATUS, *fields_of_error(hit, self.settings.own_hosts)))

    def _completed(self, hit: Hit) -> Hit | None:
        """Return a hit with its route and user, if they are known by now; see ``late.completed``."""
        key = member_key(hit.later) if hit.later and hit.kind != "error" else ""
        if key and key not in self.members:
            self.note(self.clock.read(hit.at)[0], "unknown_member")
        return completed(hit, self.members, self.settings)

    def _event(self, day: DayCounts, hit: Hit) -> None:
        name = hit.name
        self._count(day, (counter("event", name),))
        if hit.value:
            self._count(day, (pair("event_value", name, hit.value),))
        # An event continues a visit and begins none, so its touch gets no fields.
        visitor = self._profiles[hit.client].identity
        if visitor:
            touch = self._touch_of(day, visitor, int(hit.at))
            if touch is not None and name not in touch.events and len(touch.events) < NAMES_PER_TOUCH:
                touch.events.append(name)
                self._weigh(day, weight_of(name), touch)

    def _touch_of(self, day: DayCounts, visitor: str, at: int) -> Touch | None:
        touches = day.touches.get(visitor)
        if touches is None:
            if self.visitors >= MOST_VISITORS or self.weight >= MOST_BYTES:
                self._count(day, (DROPPED_VISITOR,))
                ledger.dropped("visitor")
                return None
            self.visitors += 1
            touches = day.touches[visitor] = [Touch(at, at)]
            self._weigh(day, TOUCH_BYTES + weight_of(visitor), touches[0])
        touch = touches[-1]
        if at - touch.last > VISIT_GAP:
            touch = Touch(at, at)
            touches.append(touch)
            self._weigh(day, TOUCH_BYTES, touch)
        # Comparisons: they take a third of the time of `max` and `min`.
        if at > touch.last:
            touch.last = at
        elif at < touch.first:
            touch.first = at
        return touch

    def _add_page(self, day: DayCounts, touch: Touch, path: str) -> None:
        if self.weight >= MOST_BYTES:
            self._count(day, (DROPPED_PAGE,))
            ledger.dropped("page")
            return
        touch.paths[path] = None
        self._weigh(day, weight_of(path), touch)

    def _weigh(self, day: DayCounts, weight: int, touch: Touch | None = None) -> None:
        self.weight += weight
        day.weight += weight
        if touch is not None:
            touch.weight += weight

    def _count(self, day: DayCounts, counters: Iterable[Counter]) -> None:
        counts = day.counts
        for field in counters:
            if field in counts:
                counts[field] += 1
            else:
                self._begin(day, field, 1)

    def _add_sets(self, day: DayCounts) -> None:
        counts = day.counts
        for counters, n in day.sets.items():
            for field in counters:
                if field in counts:
                    counts[field] += n
                else:
                    self._begin(day, field, n)
        day.sets.clear()

    def counted(self) -> dict[str, DayCounts]:
        """Return the days by ISO date, with each counter by itself in ``counts``."""
        for day in self.days.values():
            self._add_sets(day)
        return self.days

    def _begin(self, day: DayCounts, field: Counter, n: int) -> None:
        counts = day.counts
        # The ledger has few values, and says what became of the others.
        if (self.fields >= MOST_FIELDS or self.weight >= MOST_BYTES) and not field.startswith("ledger:"):
            field = other(field)
        if field in counts:
            counts[field] += n
            return
        self.fields += 1
        self._weigh(day, weight_of(field))
        counts[field] = n

    def note(self, date: str, name: DayNote, n: int = 1) -> None:
        """Add to one counter of the day's ledger."""
        day = self.days.setdefault(date, DayCounts())
        field = counter("ledger", name)
        if field in day.counts:
            day.counts[field] += n
        else:
            self._begin(day, field, n)

    def requeue(self, date: str, ids: Iterable[str]) -> None:
        """Take hashed visitors back after their HyperLogLog was lost; their views and visits are in the database."""
        day = self.days.setdefault(date, DayCounts())
        # Redis may lose the day many times before its visitors are sent.
        day.ids.update(islice(ids, max(0, MOST_VISITORS - len(day.ids))))

    def discard(self, date: str) -> int:
        """Drop a day's counters, and return their views."""
        day = self.days.pop(date)
        self.fields -= len(day.counts)
        self.visitors -= len(day.touches)
        self.weight -= day.weight
        return views_of(day.counts)

    def oldest(self) -> int:
        """Return the time of the oldest view that waits, seconds since the epoch; 0 when none waits."""
        return min((day.oldest for day in self.days.values() if day and day.oldest), default=0)

    def cut(self, date: str, stream: str, seq: int, salt: bytes) -> Batch | None:
        """Take the next batch of a day.

        Args:
            date: ISO date.
            stream: the process's stream in Redis.
            seq: its number in the stream.
            salt: the key that visitors are hashed with; with an empty one they are left out and stay.

        Returns:
            The batch, None when nothing waits for ``date``.
        """
        day = self.days.get(date)
        if day is None:
            return None
        self._add_sets(day)
        if not (day.counts or ((day.touches or day.ids) and salt)):
            return None
        waiting = len(day.counts), len(day.touches), day.weight
        counts = day.take_counts(EMBEDDED_FIELDS if self.settings.embedded else BATCH_FIELDS)
        most = EMBEDDED_VISITORS if self.settings.embedded else BATCH_VISITORS
        ids, visits = day.take_visitors(most, salt) if salt else ((), "[]")
        self.fields -= waiting[0] - len(day.counts)
        self.visitors -= waiting[1] - len(day.touches)
        self.weight -= waiting[2] - day.weight
        batch = Batch(date, stream, seq, day.oldest, counts, ids, visits)
        if not day:
            del self.days[date]
            # No hit waits, so none needs its client any more; addresses are not kept for longer.
            self._profiles.clear()
            forget_clients()
        return batch
