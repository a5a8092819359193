"""The aggregator: counts hits per day until a push takes them."""

from __future__ import annotations

from typing import Any

from codex_tracking.counters.addresses import ONE_ADDRESS
from codex_tracking.counters.batch import MOST_LOGGED, NAMES_PER_TOUCH, Batch, Touch, weight_of
from codex_tracking.counters.claims import VIEWS, confirmed, refused
from codex_tracking.counters.day_counts import MOST_SETS, CounterSet, DayCounts
from codex_tracking.counters.dimensions import (
    CACHED_LENGTH,
    CACHED_PATH,
    Origin,
    Profile,
    fields_of_error,
    hour_begins,
    known_page,
    logged_route,
    origin_of,
    page,
    place,
)
from codex_tracking.counters.fields import Counter, counter, pair, value_of
from codex_tracking.counters.hit_log import EVENT, MEMBER, NO_ACT, NO_ORIGIN, READING, VIEW, told, told_view
from codex_tracking.counters.ledger import ledger
from codex_tracking.counters.measures import counters_of_reading, counters_of_timings, counters_of_widths
from codex_tracking.counters.profiles import Profiles
from codex_tracking.counters.tally import Tally
from codex_tracking.counters.waiting_log import WaitingLog
from codex_tracking.hits.hit import Hit, Kind, Member, RawClient, RawHit
from codex_tracking.hits.late import Key, completed, member_key
from codex_tracking.hits.pages.measures import Measures, read_measures
from codex_tracking.hits.routes import takes_anything
from codex_tracking.hits.sources import campaign_of
from codex_tracking.hits.text import clean
from codex_tracking.settings import TrackingSettings

EXCLUDED_BOT = counter("excluded", "bot")
EXCLUDED_STATUS = counter("excluded", "status")
LOG_DROPPED = counter("ledger", "log_dropped")
MOST_ORIGINS = MOST_PLACES = 4_096


class Aggregator(Tally):
    """All that this process has counted and not yet pushed.

    Args:
        settings: decide about bots, proxies, country and opt-outs.
        minutes: whether views are counted by minute too; for days long past nobody asks for minutes.
    """

    def __init__(self, settings: TrackingSettings, minutes: bool = True) -> None:
        super().__init__()
        self.settings = settings
        self.minutes = minutes
        self.members: dict[Key, Member] = {}
        """The users of sessions that the pipeline has read."""
        self._profiles = Profiles(settings)
        self._identities: dict[int, str] = {}
        """Number of a visitor -> its identity in clear text, for the visit log; until the next push."""
        self._plain_origins: dict[tuple[str, str], Origin] = {}
        """Referrer and host of the site -> origin of views without a campaign."""
        self._places: dict[tuple[str, str, str], tuple[tuple[Counter, ...], bool]] = {}
        """Route that a client names, the site's own and view -> counters in this minute, and whether the own route
        takes anything."""
        self._minute = 0.0

    def use(self, settings: TrackingSettings) -> None:
        """Continue with these settings; a server reads them once, tests change them."""
        if settings is not self.settings:
            self.settings = settings
            self._profiles.use(settings)
            self._plain_origins.clear()

    def add(self, hit: RawHit) -> Kind:
        """Count one hit in memory, and return its kind; a few microseconds."""
        if hit[11] is not None:
            found = self._completed(Hit.of(hit))
            if found is None:
                return "excluded"
            hit = found
        # A raw hit has no names for its fields; see ``RawHit``. Most of the time that a view costs is spent here.
        at, kind, name, _, _, _, _, _, _, _, client, _ = hit
        clock = self.clock
        if not clock.begin <= at < clock.end:
            clock.read(at)
        if clock.begin != self._minute:
            # Their counters name hour and minute.
            self._places.clear()
            self._minute = clock.begin
        date, hour = clock.now
        day = self.days.get(date) or self._day(date)
        if not day.oldest or at < day.oldest:
            day.oldest = int(at)
        if kind != "view":
            self._add_other(day, hour, Hit.of(hit))
            return kind
        profile = self._profiles.known.get(hash(client)) or self._profiles.of(client)
        if profile.bot is not None:
            self._count(day, (EXCLUDED_BOT, counter("bot", clean(profile.bot, 80))))
        elif name:
            self._count(day, (counter("excluded", name),))
        else:
            self._add_view(day, hour, hit, profile)
        return kind

    def _add_view(self, day: DayCounts, hour: str, hit: RawHit, profile: Profile, named: str = "") -> None:
        at, _, _, _, path, secrets, route, view, query, referrer, client, _ = hit
        second = int(at)
        # Most views have no campaign, and their origin is known by referrer and host.
        origin = None if "=" in query else self._plain_origins.get((referrer, client[0]))
        if origin is None:
            origin = self._origin(query, referrer, client[0])
        # A route that a client names is one of the list alone: the site's own says which part of a path is secret.
        found = self._places.get((named, route, view))
        if found is None:
            minute = second // 60 if self.minutes else None
            found = place(named or route, view, hour, minute), takes_anything(route)
            if len(self._places) < MOST_PLACES:
                self._places[named, route, view] = found
        at_place, anything = found
        source = origin[0][1]
        if secrets or anything or len(path) > CACHED_PATH:
            path, counted = page(path, secrets, route, source)
        else:
            path, counted = known_page(path, source)
        touch = self._count_view(day, hour, second, client, profile, origin, path, counted, at_place)
        if profile.logged is not None:
            kind, act = MEMBER if client[7] else VIEW, told_view(path, logged_route(route))
            logged = (profile.logged, origin[3], act, counted[0])
            self._log(day, touch, second, kind, client, profile.visitor, *logged)

    def _origin(self, query: str, referrer: str, host: str) -> Origin:
        # Only what tells origins apart is looked up, so that the caches see few keys.
        if "?" in referrer:
            referrer = referrer.partition("?")[0]
        campaign, settings = campaign_of(query) if "=" in query else "", self.settings
        if campaign:
            return origin_of(referrer, campaign, host, settings.sources, settings.own_hosts)
        # Of most views, without the settings in the key, whose hash takes as long as the rest.
        key = (referrer, host)
        origin = self._plain_origins.get(key)
        if origin is None:
            origin = origin_of(referrer, "", host, settings.sources, settings.own_hosts)
            if len(referrer) <= CACHED_LENGTH:
                if len(self._plain_origins) >= MOST_ORIGINS:
                    self._plain_origins.clear()
                self._plain_origins[key] = origin
        return origin

    def _count_view(
        self,
        day: DayCounts,
        hour: str,
        second: int,
        client: RawClient,
        profile: Profile,
        origin: Origin,
        path: str,
        counted: tuple[Counter, ...],
        at_place: tuple[Counter, ...],
    ) -> Touch | None:
        _, traits, visitor, notes, _, _ = profile
        counts, sets = day.counts, day.sets
        for field in counted:
            if field in counts:
                counts[field] += 1
            else:
                self._begin(day, field, 1)
        if notes:
            self._count(day, notes)
        if self._profiles.addresses.single:
            self._count(day, (ONE_ADDRESS,))
        for together in (at_place, traits.counters, origin.counters):
            known = sets.get(id(together))
            if known is not None:
                known.n += 1
            else:
                if len(sets) >= MOST_SETS:
                    self._add_sets(day)
                sets[id(together)] = CounterSet(together)
        if not visitor:
            return None
        # The first view names the source of the visit, should the script find that one begins here.
        touches = day.touches.get(visitor)
        if touches is None:
            begins = (hour_begins(hour), origin.begins, traits.begins)
            touch = Touch(second, second, 1, begins, (path,), second, client=client)
            return self._new_touch(day, visitor, touch)
        touch = touches[-1]
        if second != touch.last or touch.logged > MOST_LOGGED:
            touch = self._touch_of(day, touches, second)
        touch.views += 1
        if not touch.begins or second < touch.viewed:
            # An event while the view ran may have been in the hour before.
            touch.begins = (hour_begins(self.clock.read(touch.first)[1]), origin.begins, traits.begins)
            others = tuple(one for one in touch.paths if one != path)
            touch.paths = (path, *others[: NAMES_PER_TOUCH - 1])
            touch.viewed = second
            self._weigh(day, weight_of(path), touch)
        elif path not in touch.paths and len(touch.paths) < NAMES_PER_TOUCH:
            self._add_page(day, touch, path)
        return touch

    def _add_claim(self, day: DayCounts, hour: str, hit: Hit) -> None:
        """Count a claim by its outcome; see ``counters/claims.py``."""
        outcome = hit.name
        if outcome.startswith("claim_"):
            self._count(day, (counter("ledger", outcome),))
            return
        profile = self._profiles.of(hit.client)
        if profile.bot is not None:
            self._count(day, (refused("claim_bot"),))
        elif hit.path.startswith(self.settings.skip_prefixes):
            self._count(day, (counter("excluded", "prefix"),))
        # The page of an id has a route; no other path of a stranger's choice gets into the lists.
        elif not hit.route and outcome != "without_id":
            self._count(day, (refused("claim_unrouted"),))
        elif outcome == "event":
            name, _, value = hit.value.partition("\t")
            self._event(day, hit._replace(name=name, value=value))
        elif outcome == "left":
            self._add_reading(day, hit, profile, read_measures(hit.value))
        elif outcome in VIEWS or outcome == "first":
            measures = read_measures(hit.value)
            if outcome in VIEWS:
                self._count(day, VIEWS[outcome])
                self._add_view(day, hour, hit, profile, measures.route if outcome == "moved" else "")
            source = self._origin(hit.query, hit.referrer, hit.client.host).facts[1]
            self._count(day, confirmed(profile.technology.counters, source))
            self._count(day, counters_of_widths(measures))

    def _add_reading(self, day: DayCounts, hit: Hit, profile: Profile, measures: Measures) -> None:
        """Count a browser's measurements of a page until it was hidden."""
        # Extends the visit to the end of its last page, and begins none; a page in the background extends nothing.
        if profile.visitor and measures.seconds:
            touch = self._touch(day, profile.visitor, hit.client, int(hit.at))
            if profile.logged is not None:
                facts = (profile.logged, NO_ORIGIN, NO_ACT)
                self._log(day, touch, int(hit.at), READING, hit.client, profile.visitor, *facts)
        for field, n in counters_of_reading(page(hit.path, hit.secrets, hit.route, "")[0], measures):
            self._add(day, field, n)
        if measures.timings:
            device = value_of("device", profile.technology.counters)
            self._count(day, counters_of_timings(hit.route, device, measures))

    def _add_other(self, day: DayCounts, hour: str, hit: Hit) -> None:
        if hit.kind == "claim":
            self._add_claim(day, hour, hit)
        elif hit.kind == "event":
            self._event(day, hit)
        elif hit.kind == "excluded":
            self._count(day, (counter("excluded", hit.name),))
        # Scanners ask for thousands of pages that never existed; those would fill the list of errors.
        elif self._profiles.of(hit.client).bot is not None:
            self._count(day, (EXCLUDED_STATUS,))
        else:
            self._count(day, (EXCLUDED_STATUS, *fields_of_error(hit, self.settings.own_hosts)))

    def _completed(self, hit: Hit) -> Hit | None:
        """Return a hit with its route and user, if they are known by now; see ``late.completed``."""
        key = member_key(hit.later) if hit.later and hit.kind != "error" else ""
        if key and key not in self.members:
            self.note(self.clock.read(hit.at)[0], "unknown_member")
        found = completed(hit, self.members, self.settings)
        # The server has left out the page itself, and says so.
        return None if found and hit.kind == "claim" and found.kind == "excluded" else found

    def _event(self, day: DayCounts, hit: Hit) -> None:
        name = hit.name
        self._count(day, (counter("event", name),))
        if hit.value:
            self._count(day, (pair("event_value", name, hit.value),))
        # An event continues a visit and begins none, so its touch gets no fields.
        profile, touch = self._profiles.of(hit.client), None
        if profile.visitor:
            touch = self._touch(day, profile.visitor, hit.client, int(hit.at))
            if touch is not None and name not in touch.events and len(touch.events) < NAMES_PER_TOUCH:
                touch.events += (name,)
                self._weigh(day, weight_of(name), touch)
        if profile.logged is not None:
            kind = EVENT | (MEMBER if hit.client.user else 0)
            # An event from a task has no page.
            path = page(hit.path, hit.secrets, hit.route, "")[0] if hit.path else ""
            facts = (profile.logged, NO_ORIGIN, told(path, logged_route(hit.route), name, hit.value))
            self._log(day, touch, int(hit.at), kind, hit.client, profile.visitor, *facts)

    def _log(
        self, day: DayCounts, touch: Touch | None, at: int, kind: int, client: RawClient, visitor: int, *facts: Any
    ) -> None:
        """Keep a hit for the visit log; see ``WaitingLog.put``."""
        log = day.log
        if log is None:
            log = day.log = WaitingLog()
        identity = self._identities.get(visitor)
        if identity is None:
            identity = self._identities[visitor] = self._profiles.identity(client)
        weight = log.put(log.alone if touch is None else touch.hits, at, kind, identity, *facts)
        if not weight:
            self._count(day, (LOG_DROPPED,))
            ledger.dropped("log")
        elif touch is not None:
            touch.logged += weight

    def cut(self, date: str, stream: str, seq: int, salt: bytes) -> Batch | None:
        """Take the next batch of a day; None when nothing waits for it.

        Args:
            date: ISO date.
            stream: the process's stream in Redis.
            seq: its number in the stream.
            salt: the key that visitors are hashed with; with an empty one they are left out and stay.
        """
        day = self.days.get(date)
        if day is None:
            return None
        self._add_sets(day)
        if not (day.counts or ((day.touches or day.ids or day.log) and salt)):
            return None
        waiting = len(day.counts), len(day.touches), day.weight
        embedded = self.settings.embedded
        taken = day.take(self._profiles, salt, embedded)
        self.fields -= waiting[0] - len(day.counts)
        self.visitors -= waiting[1] - len(day.touches)
        self.weight -= waiting[2] - day.weight
        batch = Batch(date, stream, seq, day.oldest, taken.counts, taken.ids, taken.others, taken.visits, log=taken.log)
        if not day:
            del self.days[date]
            # Addresses are not kept for longer than a hit needs them.
            self._identities.clear()
        return batch
