"""The aggregator: counts hits per day until a push takes them."""

from __future__ import annotations

from codex_tracking.counters.batch import NAMES_PER_TOUCH, Batch, weight_of
from codex_tracking.counters.claims import VIEWS, confirmed, refused
from codex_tracking.counters.day_counts import DayCounts
from codex_tracking.counters.dimensions import (
    Profile,
    fields_of_error,
    logged_route,
    page,
)
from codex_tracking.counters.fields import counter, pair, value_of
from codex_tracking.counters.hit_log import EVENT, MEMBER, NO_ACT, NO_ORIGIN, READING, told
from codex_tracking.counters.measures import counters_of_reading, counters_of_timings, counters_of_widths
from codex_tracking.counters.views import ViewTally
from codex_tracking.hits.hit import Hit, Kind, Member, RawHit
from codex_tracking.hits.late import Key, completed, member_key
from codex_tracking.hits.pages.measures import Measures, read_measures
from codex_tracking.hits.text import clean
from codex_tracking.settings import TrackingSettings

EXCLUDED_BOT = counter("excluded", "bot")
EXCLUDED_STATUS = counter("excluded", "status")


class Aggregator(ViewTally):
    """All that this process has counted and not yet pushed.

    Args:
        settings: decide about bots, proxies, country and opt-outs.
        minutes: whether views are counted by minute too; for days long past nobody asks for minutes.
    """

    def __init__(self, settings: TrackingSettings, minutes: bool = True) -> None:
        super().__init__(settings, minutes)
        self.members: dict[Key, Member] = {}
        """The users of sessions that the pipeline has read."""

    def add(self, hit: RawHit) -> Kind:
        """Count one hit in memory, and return its kind; a few microseconds."""
        if hit[11] is not None:
            found = self._completed(Hit.of(hit))
            if found is None:
                return "excluded"
            hit = found
        # A raw hit has no names for its fields; see ``RawHit``. Most of the time that a view costs is spent here.
        at, kind, name, _, _, _, _, _, _, _, client, _ = hit
        day, hour = self._day_at(at)
        if kind != "view":
            self._add_other(day, hour, Hit.of(hit))
            return kind
        profile = self._profiles.of(client)
        if profile.bot is not None:
            self._count(day, (EXCLUDED_BOT, counter("bot", clean(profile.bot, 80))))
        elif name:
            self._count(day, (counter("excluded", name),))
        else:
            self._add_view(day, hour, hit, profile)
        return kind

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
                self._log(day, touch, hit.client, (int(hit.at), READING, profile.logged, NO_ORIGIN, NO_ACT, ()))
        for field, n in counters_of_reading(page(hit.path, hit.secrets, hit.route, "").path, measures):
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
            path = page(hit.path, hit.secrets, hit.route, "").path if hit.path else ""
            act = told(path, logged_route(hit.route), name, hit.value)
            self._log(day, touch, hit.client, (int(hit.at), kind, profile.logged, NO_ORIGIN, act, ()))

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
        return batch
