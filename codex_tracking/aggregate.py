"""Hits become counters: one day's sums, bounded, until a push takes them as a batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date as Date
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from zlib import crc32

from django.utils import timezone

from codex_tracking.classify import bot
from codex_tracking.devices import device_of, language_of
from codex_tracking.geo import country_of
from codex_tracking.keys import PATH, TOTAL, field, first
from codex_tracking.metrics import ledger
from codex_tracking.paths import clean, hide_tokens, normalise
from codex_tracking.settings import TrackingSettings
from codex_tracking.sources import Source, campaign_of, source_of
from codex_tracking.types import OTHER, Batch, Client, Hit, Kind, RawHit, Touch
from codex_tracking.visitors import MOST_CLIENTS, client_address, forget_clients, identity, visitor_id

MOST_FIELDS = 50_000
"""Distinct counters that may wait in one process; the rest is added to ``(other)`` of their dimension."""
MOST_SETS = 1_000
"""Distinct sets of counters that may wait to be added one by one."""
MOST_VISITORS = 100_000
"""Visitors that may wait in one process; the rest is dropped and counted."""
BATCH_FIELDS = 500
BATCH_VISITORS = 250
EMBEDDED_FIELDS, EMBEDDED_VISITORS = 30, 6
"""The same for the embedded store, which is slow and works in the event loop: about 3 ms."""
BATCH_BYTES = 90_000
"""Text of one batch's counters, and of its visits, so that both stay below the 256 KB that a batch may have."""
VISIT_GAP = 1800
"""Seconds without a view after which the next one begins a new visit."""
NAMES_PER_TOUCH = 32
"""Pages and events that one touch remembers, for pages' visitors and events' conversions."""
WINDOW = 900
"""Seconds for which day and hour are looked up once; every zone's offset is a multiple of it."""

# Made once: `json.dumps` makes an encoder each time, unless it is the default one.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

DAYS_BACK, DAYS_AHEAD = 8, 1
"""Days around today that are accepted."""

DIRECT = "direct"
"""The channel of views that came from nowhere; only visits are counted by it, not the views within them."""
UNREAD_FORWARDED = field("ledger", "unread_forwarded")
"""Counts views that came through a proxy nobody told us of; a system check looks at it."""
VALUE_LIMIT = 200
PAGE = field(PATH, "")
PAIR_LIMIT, PAIR_BYTES = 700, 2_600
"""Characters of two values in one, as much as the column takes, and bytes, as much as PostgreSQL's index takes."""


class Profile(NamedTuple):
    """What is worked out once for all hits of a client."""

    bot: str | None
    """The name of a bot; None for a person."""
    fields: tuple[str, ...]
    """Counter fields of browser, system, device, language and country."""
    identity: str
    """See ``visitors.identity``."""


class Origin(NamedTuple):
    """What is worked out once for all views that came from one place."""

    source: str
    referrer: str
    counters: tuple[str, ...]
    """Counter fields of a view; none for a direct one."""
    fields: tuple[str, ...]
    """Counter fields of a visit that begins so."""


class Clock:
    """Tells the site's day and hour of a moment, asking the time zone once in a quarter of an hour."""

    def __init__(self) -> None:
        self._begin = 0.0
        self._end = 0.0
        self._now = ("", "")

    def read(self, at: float) -> tuple[str, str]:
        """Return ISO date and hour ("00" to "23") of ``at``, seconds since the epoch, in ``TIME_ZONE``."""
        if not self._begin <= at < self._end:
            local = datetime.fromtimestamp(at, timezone.get_default_timezone())
            self._begin = at - at % WINDOW
            self._end = self._begin + WINDOW
            self._now = (local.date().isoformat(), f"{local.hour:02}")
        return self._now


class DayCounts:
    """What one day has counted and no batch has taken yet."""

    __slots__ = ("counts", "ids", "oldest", "sets", "touches")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.sets: dict[tuple[str, ...], int] = {}
        """Counters that grow together, those of a route or of a browser: one look-up for all of them."""
        self.touches: dict[str, list[Touch]] = {}
        self.ids: set[str] = set()
        """Hashed visitors of batches that Redis lost; their visits were counted."""
        self.oldest = 0

    def __bool__(self) -> bool:
        return bool(self.counts or self.sets or self.touches or self.ids)


class Aggregator:
    """All that this process has counted and not yet pushed.

    Args:
        settings: decide about bots, proxies, country and opt-outs.
        minutes: whether views are counted by minute too, which nobody asks of days long past.
    """

    def __init__(self, settings: TrackingSettings, minutes: bool = True) -> None:
        self.settings = settings
        self.minutes = minutes
        self.days: dict[str, DayCounts] = {}
        self.clock = Clock()
        self.fields = 0
        """Distinct counters waiting, all days together."""
        self.visitors = 0
        self._profiles: dict[Client, Profile] = {}
        """Of the hits since the last push, since addresses are kept no longer than that."""

    def use(self, settings: TrackingSettings) -> None:
        """Go on with these settings; a server reads them once, tests change them."""
        if settings is not self.settings:
            self.settings = settings
            self._profiles.clear()

    def add(self, hit: RawHit) -> Kind:
        """Count one hit in memory, and return its kind; a few microseconds."""
        # One unpacking instead of many attributes, and few calls: most of our time is spent here.
        at, kind, _, path, secrets, route, view, query, referrer, client = hit
        date, hour = self.clock.read(at)
        day = self.days.get(date)
        if day is None:
            day = self.days[date] = DayCounts()
        if not day.oldest or at < day.oldest:
            day.oldest = int(at)
        if kind != "view":
            self._add_other(day, Hit._make(hit))
            return kind
        crawler, traits, visitor = self._profiles.get(client) or self._profile(client)
        if crawler is not None:
            self._count(day, ("excluded:bot", field("bot", clean(crawler, 80))))
            return kind
        second = int(at)
        # Only what tells origins apart is looked up, so that the cache sees few keys.
        if "?" in referrer:
            referrer = referrer.partition("?")[0]
        source, _, counters, fields = origin_of(referrer, campaign_of(query) if "=" in query else "", client.host)
        path, counted = page(path, secrets, source)
        self._count(day, counted)
        if client.forwarded and not self.settings.trusted_proxies:
            self._count(day, (UNREAD_FORWARDED,))
        sets = day.sets
        for together in (place(route, view, hour, second // 60 if self.minutes else None), traits, counters):
            if together in sets:
                sets[together] += 1
            else:
                if len(sets) >= MOST_SETS:
                    self._add_sets(day)
                sets[together] = 1
        if visitor:
            touch = self._touch_of(day, visitor, second)
            if touch is not None:
                touch.views += 1
                if not touch.fields:
                    touch.fields = (first(field("entry", path)), *beginnings(hour, fields, traits))
                if len(touch.paths) < NAMES_PER_TOUCH:
                    touch.paths[path] = None
        return kind

    def _add_other(self, day: DayCounts, hit: Hit) -> None:
        if hit.kind == "error":
            self._error(day, hit)
        elif hit.kind == "event":
            self._event(day, hit)
        else:
            self._count(day, (field("excluded", hit.name),))

    def _profile(self, client: Client) -> Profile:
        profile = self._profiles.get(client)
        if profile is None:
            if len(self._profiles) >= MOST_CLIENTS:
                self._profiles.clear()
            profile = self._profiles[client] = profile_of(client, self.settings)
        return profile

    def _error(self, day: DayCounts, hit: Hit) -> None:
        if self._profile(hit.client).bot is not None:
            self._count(day, ("excluded:status",))
            return
        path = normalise(hit.path, hit.secrets)
        # Mail programs glue a bracket to a reset link, and then no route says which part is the token.
        error = f"{hit.name} {path if hit.route else hide_tokens(path)}"
        referrer = origin_of(hit.referrer.partition("?")[0], "", hit.client.host).referrer
        self._count(day, ("excluded:status", field("error", error)))
        if referrer:
            self._count(day, (pair("error_referrer", error, referrer),))

    def _event(self, day: DayCounts, hit: Hit) -> None:
        name, _, value = hit.name.partition("\t")
        self._count(day, (field("event", name),))
        if value:
            self._count(day, (pair("event_value", name, value),))
        visitor = self._profile(hit.client).identity
        if visitor:
            touch = self._touch_of(day, visitor, int(hit.at))
            if touch is not None and name not in touch.events and len(touch.events) < NAMES_PER_TOUCH:
                touch.events.append(name)

    def _touch_of(self, day: DayCounts, visitor: str, at: int) -> Touch | None:
        touches = day.touches.get(visitor)
        if touches is None:
            if self.visitors >= MOST_VISITORS:
                self._count(day, ("ledger:dropped_visitor",))
                ledger.dropped("visitor")
                return None
            self.visitors += 1
            touches = day.touches[visitor] = [Touch(at, at)]
        touch = touches[-1]
        if at - touch.last > VISIT_GAP:
            touch = Touch(at, at)
            touches.append(touch)
        # Comparisons: they take a third of the time of `max` and `min`.
        if at > touch.last:
            touch.last = at
        elif at < touch.first:
            touch.first = at
        return touch

    def _count(self, day: DayCounts, counters: Iterable[str]) -> None:
        counts = day.counts
        for counter in counters:
            if counter in counts:
                counts[counter] += 1
            elif self.fields < MOST_FIELDS:
                self.fields += 1
                counts[counter] = 1
            else:
                self._begin(counts, counter, 1)

    def _add_sets(self, day: DayCounts) -> None:
        counts = day.counts
        for counters, n in day.sets.items():
            for counter in counters:
                if counter in counts:
                    counts[counter] += n
                else:
                    self._begin(counts, counter, n)
        day.sets.clear()

    def counted(self) -> dict[str, DayCounts]:
        """Return the days by ISO date, with each counter by itself in ``counts``."""
        for day in self.days.values():
            self._add_sets(day)
        return self.days

    def _begin(self, counts: dict[str, int], counter: str, n: int) -> None:
        if self.fields >= MOST_FIELDS:
            dimension = counter.partition(":")[0]
            counter = field(dimension, OTHER)
            self.fields -= counter in counts
        self.fields += 1
        counts[counter] = counts.get(counter, 0) + n

    def note(self, date: str, name: str, n: int = 1) -> None:
        """Add to the day's ledger what was not simply counted."""
        day = self.days.setdefault(date, DayCounts())
        counter = field("ledger", name)
        if counter in day.counts:
            day.counts[counter] += n
        else:
            self._begin(day.counts, counter, n)

    def requeue(self, date: str, ids: Iterable[str]) -> None:
        """Take hashed visitors back whose HyperLogLog was lost; their views and visits are in the database."""
        day = self.days.setdefault(date, DayCounts())
        day.ids.update(islice(ids, max(0, MOST_VISITORS - len(day.ids))))

    def discard(self, date: str) -> int:
        """Give a day up, and return how many views that were."""
        day = self.days.pop(date)
        self.fields -= len(day.counts)
        self.visitors -= len(day.touches)
        return sum(n for counter, n in day.counts.items() if counter.startswith("p:"))

    def oldest(self) -> int:
        """Return when the oldest view that waits here happened, seconds since the epoch; 0 when none waits."""
        return min((day.oldest for day in self.days.values() if day and day.oldest), default=0)

    def cut(self, date: str, stream: str, seq: int, salt: bytes) -> Batch | None:
        """Take what one batch may hold, or None when nothing waits for ``date``.

        Args:
            date: ISO date.
            stream: who sends it.
            seq: its number in the stream.
            salt: what the visitors are hashed with; empty leaves them out, and they wait on.
        """
        day = self.days.get(date)
        if day is None:
            return None
        self._add_sets(day)
        if not (day.counts or ((day.touches or day.ids) and salt)):
            return None
        counts = self._take_counts(day)
        ids, visits = self._take_visitors(day, salt) if salt else ((), "[]")
        batch = Batch(date, stream, seq, day.oldest, counts, ids, visits)
        if not day:
            del self.days[date]
            self._profiles.clear()
            forget_clients()
        return batch

    def _take_counts(self, day: DayCounts) -> dict[str, int]:
        waiting, most = day.counts, EMBEDDED_FIELDS if self.settings.embedded else BATCH_FIELDS
        if len(waiting) <= most and 4 * sum(map(len, waiting)) <= BATCH_BYTES:
            day.counts = {}
            self.fields -= len(waiting)
            return waiting
        taken: dict[str, int] = {}
        size = 0
        for counter in list(islice(waiting, most)):
            size += len(counter) if counter.isascii() else len(counter.encode())
            if size > BATCH_BYTES:
                break
            taken[counter] = waiting.pop(counter)
        self.fields -= len(taken)
        return taken

    def _take_visitors(self, day: DayCounts, salt: bytes) -> tuple[tuple[str, ...], str]:
        """Return hashed visitors and their visits as JSON."""
        most = EMBEDDED_VISITORS if self.settings.embedded else BATCH_VISITORS
        taken = list(some_touches(day, most))
        hashed = {visitor: visitor_id(visitor, salt) for visitor, _ in taken}
        # All at once, and fewer where letters take many bytes: one by one takes three times as long.
        while True:
            visits = compact([as_json(hashed[visitor], touch) for visitor, touch in taken])
            if len(taken) <= 1 or len(visits.encode()) <= BATCH_BYTES:
                break
            taken = taken[: len(taken) // 2]
        ids: list[str] = []
        for visitor, _ in taken:
            touches = day.touches[visitor]
            del touches[0]
            if not touches:
                ids.append(hashed[visitor])
                del day.touches[visitor]
        self.visitors -= len(ids)
        while day.ids and len(ids) < 2 * most:
            ids.append(day.ids.pop())
        return tuple(ids), visits


def some_touches(day: DayCounts, most: int) -> Iterator[tuple[str, Touch]]:
    """Yield touches of so many visitors, or fewer where their text would not fit into a batch; one at least."""
    size = 0
    for visitor in islice(day.touches, most):
        for touch in day.touches[visitor]:
            size += sum(map(len, (*touch.paths, *touch.events, *touch.fields)))
            if size > BATCH_BYTES:
                return
            yield visitor, touch


def profile_of(client: Client, settings: TrackingSettings) -> Profile:
    """Return what is to be known of a client."""
    address = client_address(client.address, client.forwarded, settings.trusted_proxies) if settings.geoip_path else ""
    country = country_of(client.country, address, settings.geoip_path) if client.country or address else ""
    return Profile(
        bot(client.agent, settings),
        technology(client.agent, client.hints, client.language, country),
        identity(client, settings.trusted_proxies),
    )


def pair(dimension: str, one: str, other: str) -> str:
    """Return the counter field of two values; no stored text has the tab between them."""
    text = f"{one}\t{other}"
    if len(text) > PAIR_LIMIT or not text.isascii():
        text = text[:PAIR_LIMIT].encode("utf-8", "ignore")[:PAIR_BYTES].decode("utf-8", "ignore")
    return field(dimension, text)


def as_json(visitor: str, touch: Touch) -> list[object]:
    """Return a touch as the script reads it."""
    paths, events = with_digests(touch.paths), with_digests(touch.events)
    return [visitor, touch.first, touch.last, touch.views, paths, list(touch.fields), events]


def with_digests(names: Iterable[str]) -> list[str]:
    """Return names, each followed by the short digest that a visit's state remembers it by."""
    return [text for name in names for text in (name, f"{crc32(name.encode()):08x}")]


def local_visits(visits: str) -> dict[str, int]:
    """Return the counters of a batch's visits where no Redis can tell: each touch is taken for a visit of its own."""
    counts: dict[str, int] = {}
    for _, begin, end, views, paths, fields, events in json.loads(visits):
        if not views:
            continue
        seen = [field(PATH, path) for path in paths[::2]] + [field("event", name) for name in events[::2]]
        for counter in (field(TOTAL, "visits"), *fields, *map(first, seen)):
            counts[counter] = counts.get(counter, 0) + 1
        if views + len(events) // 2 > 1:
            engaged = field(TOTAL, "engaged")
            counts[engaged] = counts.get(engaged, 0) + 1
        if end > begin:
            seconds = field(TOTAL, "seconds")
            counts[seconds] = counts.get(seconds, 0) + end - begin
    return counts


def site_now() -> datetime:
    """Return the present in ``TIME_ZONE``, whatever time zone a view has activated for its visitor."""
    return datetime.now(timezone.get_default_timezone())


def site_today() -> Date:
    """Return the site's day."""
    return site_now().date()


def accepted_days(today: str) -> tuple[str, ...]:
    """Return the ISO dates that are counted and flushed when it is ``today``, oldest first."""
    middle = datetime.fromisoformat(today).date()
    return tuple((middle + timedelta(offset)).isoformat() for offset in range(-DAYS_BACK, DAYS_AHEAD + 1))


# --- once per distinct value: the caches hold what a few seconds of traffic repeat ---


@lru_cache(maxsize=16_384)
def page(path: str, secrets: tuple[str, ...], source: str) -> tuple[str, tuple[str, ...]]:
    """Return a path as it is stored, and the counter fields of its view."""
    stored = normalise(path, secrets)
    return stored, (PAGE + stored, pair("page_source", stored, source)) if source else (PAGE + stored,)


@lru_cache(maxsize=4096)
def place(route: str, view: str, hour: str, minute: int | None) -> tuple[str, ...]:
    """Return the counter fields of what answered, and when; the minute is one since the epoch."""
    known = (
        field("minute", str(minute)) if minute is not None else "",
        field("route", clean(route, 500)) if route else "",
        field("view", clean(view, VALUE_LIMIT)) if view else "",
    )
    return (field("hour", hour), *filter(None, known))


@lru_cache(maxsize=8192)
def technology(agent: str, hints: tuple[str, str, str], language: str, country: str) -> tuple[str, ...]:
    """Return the counter fields of what the visitor came with."""
    device, tongue = device_of(agent, hints), language_of(language)
    values = (("browser", device.browser), ("os", device.os), ("device", device.device))
    known = [(name, clean(value, 80)) for name, value in (*values, ("language", tongue), ("country", country)) if value]
    return tuple(field(name, value) for name, value in known)


@lru_cache(maxsize=4096)
def origin_of(referrer: str, campaign: str, host: str) -> Origin:
    """Return where a view came from; see ``sources.source_of``."""
    source = source_of(referrer, campaign, host)
    known = tuple(field(name, value) for name, value in zip(Source._fields, source, strict=True) if value)
    return Origin(source.source, source.referrer, () if source.channel == DIRECT else known, known)


@lru_cache(maxsize=4096)
def beginnings(hour: str, origin: tuple[str, ...], client: tuple[str, ...]) -> tuple[str, ...]:
    """Return the counter fields of a visit's beginning, without its entry page."""
    return tuple(first(counter) for counter in (field("hour", hour), *origin, *client))


def warm(settings: TrackingSettings) -> None:
    """Load what the first view of a browser would load: bot patterns and device tables, some 200 ms."""
    bot("Mozilla/5.0 (warm)", settings)
    device_of("Mozilla/5.0 (warm)", ("", "", ""))
