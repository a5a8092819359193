"""The aggregator: counts hits per day until a push takes them."""

from __future__ import annotations

from typing import Any

from codex_tracking.counters.addresses import ONE_ADDRESS
from codex_tracking.counters.batch import NAMES_PER_TOUCH, Batch, Touch, weight_of
from codex_tracking.counters.claims import VIEWS, confirmed, refused
from codex_tracking.counters.day_counts import MOST_SETS, CounterSet, DayCounts
from codex_tracking.counters.dimensions import (
    CACHED_LENGTH,
    Origin,
    Profile,
    fields_of_error,
    hour_begins,
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
from codex_tracking.hits.hit import Hit, Kind, Member, RawHit
from codex_tracking.hits.late import Key, completed, member_key
from codex_tracking.hits.pages.measures import Measures, read_measures
from codex_tracking.hits.sources import campaign_of
from codex_tracking.hits.text import clean
from codex_tracking.hits.visitors import forget_clients
from codex_tracking.settings import TrackingSettings

EXCLUDED_BOT = counter("excluded", "bot")
EXCLUDED_STATUS = counter("excluded", "status")
LOG_DROPPED = counter("ledger", "log_dropped")
MOST_ORIGINS = 4_096


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
        self._plain_origins: dict[tuple[str, str], Origin] = {}
        """Referrer and host of the site -> origin of views without a campaign."""

    def use(self, settings: TrackingSettings) -> None:
        """Continue with these settings; a server reads them once, tests change them."""
        if settings is not self.settings:
            self.settings = settings
            self._profiles.use(settings)
            self._plain_origins.clear()

    def add(self, hit: RawHit) -> Kind:
        """Count one hit in memory, and return its kind; a few microseconds."""
        if hit[11] is not None:
            found = self._completed(Hit._make(hit))
            if found is None:
                return "excluded"
            hit = found
        # A raw hit has no names for its fields; see ``RawHit``. Most of the time that a view costs is spent here.
        at, kind, name, _, _, _, _, _, _, _, client, _ = hit
        date, hour = self.clock.read(at)
        day = self._day(date, at)
        if kind != "view":
            self._add_other(day, hour, Hit._make(hit))
            return kind
        profile = self._profiles[client]
        if profile.bot is not None:
            self._count(day, (EXCLUDED_BOT, counter("bot", clean(profile.bot, 80))))
        elif name:
            self._count(day, (counter("excluded", name),))
        else:
            self._add_view(day, hour, hit, profile)
        return kind

    def _add_view(self, day: DayCounts, hour: str, hit: RawHit, profile: Profile, named: str = "") -> None:
        at, _, _, _, path, secrets, route, view, query, referrer, client, _ = hit
        origin = self._origin(query, referrer, client.host)
        # A route that a client names is one of the list alone: the site's own says which part of a path is secret.
        found = place(named or route, view, hour, int(at) // 60 if self.minutes else None)
        counted = page(path, secrets, route, origin[0][1])
        touch = self._count_view(day, hour, int(at), profile, origin, counted, found)
        if profile.logged is not None:
            kind = MEMBER if client.user else VIEW
            act = told_view(counted[0], logged_route(route))
            self._log(day, touch, int(at), kind, profile.identity, profile.logged, origin[3], act, counted[1][0])

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
        profile: Profile,
        origin: Origin,
        page: tuple[str, tuple[Counter, ...]],
        at_place: tuple[Counter, ...],
    ) -> Touch | None:
        _, traits, visitor, notes, _, _ = profile
        path, counted = page
        self._count(day, counted)
        if notes:
            self._count(day, notes)
        if self._profiles.addresses.single:
            self._count(day, (ONE_ADDRESS,))
        sets = day.sets
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
            return self._new_touch(day, visitor, Touch(second, second, 1, begins, (path,), second))
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
        profile = self._profiles[hit.client]
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
        if profile.identity and measures.seconds:
            touch = self._touch(day, profile.identity, int(hit.at))
            if profile.logged is not None:
                identity, logged = profile.identity, profile.logged
                self._log(day, touch, int(hit.at), READING, identity, logged, NO_ORIGIN, NO_ACT)
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
        elif self._profiles[hit.client].bot is not None:
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
        profile = self._profiles[hit.client]
        visitor, touch = profile.identity, None
        if visitor:
            touch = self._touch(day, visitor, int(hit.at))
            if touch is not None and name not in touch.events and len(touch.events) < NAMES_PER_TOUCH:
                touch.events += (name,)
                self._weigh(day, weight_of(name), touch)
        if profile.logged is not None:
            kind = EVENT | (MEMBER if hit.client.user else 0)
            # An event from a task has no page.
            path = page(hit.path, hit.secrets, hit.route, "")[0] if hit.path else ""
            act = told(path, logged_route(hit.route), name, hit.value)
            self._log(day, touch, int(hit.at), kind, visitor, profile.logged, NO_ORIGIN, act)

    def _log(self, day: DayCounts, touch: Touch | None, *hit: Any) -> None:
        """Keep a hit for the visit log; see ``WaitingLog.put``."""
        log = day.log
        if log is None:
            log = day.log = WaitingLog()
        weight = log.put(log.alone if touch is None else touch.hits, *hit)
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
        taken = day.take(salt, embedded)
        self.fields -= waiting[0] - len(day.counts)
        self.visitors -= waiting[1] - len(day.touches)
        self.weight -= waiting[2] - day.weight
        batch = Batch(date, stream, seq, day.oldest, taken.counts, taken.ids, taken.others, taken.visits, log=taken.log)
        if not day:
            del self.days[date]
            # No hit waits, so none needs its client any more; addresses are not kept for longer.
            self._profiles.clear()
            forget_clients()
        return batch
