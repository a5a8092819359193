"""The tally of page views: their counters, their origins, and their visitors' visits."""

from __future__ import annotations

from codex_tracking.counters.addresses import ONE_ADDRESS
from codex_tracking.counters.batch import MOST_LOGGED, NAMES_PER_TOUCH, Touch, weight_of
from codex_tracking.counters.day_counts import MOST_SETS, DayCounts
from codex_tracking.counters.dimensions import (
    CACHED_LENGTH,
    Origin,
    Profile,
    hour_begins,
    origin_of,
    page,
    place,
)
from codex_tracking.counters.fields import Counter, counter
from codex_tracking.counters.hit_log import MEMBER, VIEW
from codex_tracking.counters.ledger import ledger
from codex_tracking.counters.profiles import Profiles
from codex_tracking.counters.tally import Tally
from codex_tracking.counters.waiting_log import WaitingHit, WaitingLog
from codex_tracking.hits.hit import RawClient, RawHit
from codex_tracking.hits.sources import campaign_of
from codex_tracking.settings import TrackingSettings

LOG_DROPPED = counter("ledger", "log_dropped")
MOST_ORIGINS = 4_096


class ViewTally(Tally):
    """The counters and visits of page views.

    Args:
        settings: decide about bots, proxies, country and opt-outs.
        minutes: whether views are counted by minute too; for days long past nobody asks for minutes.
    """

    def __init__(self, settings: TrackingSettings, minutes: bool = True) -> None:
        super().__init__()
        self.settings = settings
        self.minutes = minutes
        self._profiles = Profiles(settings)
        self._plain_origins: dict[tuple[str, str], Origin] = {}
        """Referrer and host of the site -> origin of views without a campaign."""

    def use(self, settings: TrackingSettings) -> None:
        """Continue with these settings; a server reads them once, tests change them."""
        if settings is not self.settings:
            self.settings = settings
            self._profiles.use(settings)
            self._plain_origins.clear()

    def _day_at(self, at: float) -> tuple[DayCounts, str]:
        """Return the day and the hour of a hit."""
        date, hour = self.clock.read(at)
        # Not by `or`: the truth of a day takes longer than its look-up.
        day = self.days.get(date)
        if day is None:
            day = self._day(date)
        if not day.oldest or at < day.oldest:
            day.oldest = int(at)
        return day, hour

    def _add_view(self, day: DayCounts, hour: str, hit: RawHit, profile: Profile, named: str = "") -> None:
        at, _, _, _, path, secrets, route, view, query, referrer, client, _ = hit
        second = int(at)
        origin = self._origin(query, referrer, client[0])
        # A route that a client names is one of the list alone: the site's own says which part of a path is secret.
        at_place = place(named or route, view, hour, second // 60 if self.minutes else None)
        path, counted, act = page(path, secrets, route, origin[0][1])
        touch = self._count_view(day, hour, second, client, profile, origin, path, counted, at_place)
        if profile.logged is not None:
            kind = MEMBER if client[7] else VIEW
            self._log(day, touch, client, (second, kind, profile.logged, origin[3], act, counted))

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
        self._count(day, counted)
        if notes:
            self._count(day, notes)
        if self._profiles.addresses.single:
            self._count(day, (ONE_ADDRESS,))
        sets = day.sets
        if len(sets) >= MOST_SETS:
            self._add_sets(day)
        sets[at_place] += 1
        sets[traits.counters] += 1
        sets[origin.counters] += 1
        if not visitor:
            return None
        # The first view names the source of the visit, should the script find that one begins here.
        touches = day.touches.get(visitor)
        if touches is None:
            begins = (hour_begins(hour), origin.begins, traits.begins)
            # By position: named arguments make a dictionary first, for each visitor.
            touch = Touch(second, second, 1, begins, (path,), second, client)
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

    def _log(self, day: DayCounts, touch: Touch | None, client: RawClient, hit: WaitingHit) -> None:
        """Keep a hit for the visit log, with its touch if it has one."""
        log = day.log
        if log is None:
            log = day.log = WaitingLog()
        weight = log.weigh(hit)
        if not weight:
            self._count(day, (LOG_DROPPED,))
            ledger.dropped("log")
        elif touch is None:
            log.alone.append((hit, self._profiles.identity(client)))
        else:
            touch.hits += (hit,)
            touch.logged += weight
