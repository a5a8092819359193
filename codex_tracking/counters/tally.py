"""The tally: the bounded counters and visits of each day that no push has taken yet."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from codex_tracking.counters.batch import (
    MOST_BYTES,
    MOST_FIELDS,
    MOST_LOGGED,
    MOST_VISITORS,
    SLOT_BYTES,
    TOUCH_BYTES,
    VISIT_GAP,
    Touch,
    weight_of,
)
from codex_tracking.counters.day_counts import DayCounts
from codex_tracking.counters.days import Clock
from codex_tracking.counters.dimensions import hour_begins
from codex_tracking.counters.fields import Counter, counter, other, views_of
from codex_tracking.counters.ledger import DayNote, ledger
from codex_tracking.hits.hit import RawClient

DROPPED_PAGE = counter("ledger", "dropped_page")
DROPPED_VISITOR = counter("ledger", "dropped_visitor")


class Tally:
    """Days by ISO date, all together within the bounds of ``counters.batch``; beyond them the ledger counts losses."""

    def __init__(self) -> None:
        self.days: dict[str, DayCounts] = {}
        self.clock = Clock()
        self.fields = 0
        """Distinct counters waiting, all days together; so are visitors, and the bytes of both."""
        self.visitors = self.weight = 0

    def _day(self, date: str) -> DayCounts:
        day = self.days.get(date)
        if day is None:
            day = self.days[date] = DayCounts()
        return day

    def _count(self, day: DayCounts, counters: Iterable[Counter]) -> None:
        counts = day.counts
        for field in counters:
            if field in counts:
                counts[field] += 1
            else:
                self._begin(day, field, 1)

    def _begin(self, day: DayCounts, field: Counter, n: int) -> None:
        """Add to a counter that does not wait yet, or to ``(other)`` when too many do."""
        counts = day.counts
        # The ledger has few values, and says what became of the others.
        if (self.fields >= MOST_FIELDS or self.weight >= MOST_BYTES) and not field.startswith("ledger:"):
            field = other(field)
            if field in counts:
                counts[field] += n
                return
        counts[field] = n
        self.fields += 1
        weight = SLOT_BYTES + field.__sizeof__()
        self.weight += weight
        day.weight += weight

    def _add(self, day: DayCounts, field: Counter, n: int) -> None:
        if field in day.counts:
            day.counts[field] += n
        else:
            self._begin(day, field, n)

    def _add_sets(self, day: DayCounts) -> None:
        for together, n in day.sets.items():
            for field in together:
                self._add(day, field, n)
        day.sets.clear()

    def counted(self) -> dict[str, DayCounts]:
        """Return the days by ISO date, with each counter by itself in ``counts``."""
        for day in self.days.values():
            self._add_sets(day)
        return self.days

    def note(self, date: str, name: DayNote, n: int = 1) -> None:
        """Add to one counter of the day's ledger."""
        self._add(self.days.setdefault(date, DayCounts()), counter("ledger", name), n)

    def _new_touch(self, day: DayCounts, visitor: int, touch: Touch) -> Touch | None:
        """Keep the first touch of a visitor, if there is room."""
        if self.visitors >= MOST_VISITORS or self.weight >= MOST_BYTES:
            self._count(day, (DROPPED_VISITOR,))
            ledger.dropped("visitor")
            return None
        self.visitors += 1
        day.touches[visitor] = [touch]
        weight = TOUCH_BYTES
        for path in touch.paths:
            weight += SLOT_BYTES + path.__sizeof__()
        # Not by ``_weigh``: with other visitors for each view this comes with each.
        self.weight += weight
        day.weight += weight
        touch.weight = weight
        return touch

    def _touch(self, day: DayCounts, visitor: int, client: RawClient, second: int) -> Touch | None:
        """Return the touch of a hit that begins no visit, if there is room."""
        touches = day.touches.get(visitor)
        if touches is None:
            return self._new_touch(day, visitor, Touch(second, second, client=client))
        return self._touch_of(day, touches, second)

    def _touch_of(self, day: DayCounts, touches: list[Touch], at: int) -> Touch:
        """Return the touch for a further hit of a visitor at this second."""
        touch = touches[-1]
        if at < touch.last:
            return self._touch_of_late(day, touches, at)
        if at - touch.last > VISIT_GAP or touch.logged > MOST_LOGGED:
            touch = Touch(at, at, client=touch.client)
            touches.append(touch)
            self._weigh(day, TOUCH_BYTES, touch)
        else:
            touch.last = at
        return touch

    def _touch_of_late(self, day: DayCounts, touches: list[Touch], at: int) -> Touch:
        """Return the touch for a hit that comes after later ones, so that no touch has a pause of 30 minutes."""
        place = len(touches)
        for touch in reversed(touches):
            if at - touch.last > VISIT_GAP:
                break
            if touch.first - at <= VISIT_GAP and touch.logged <= MOST_LOGGED:
                touch.late = True
                touch.last = max(touch.last, at)
                if at < touch.first:
                    touch.first = at
                    if touch.begins:
                        touch.begins = (hour_begins(self.clock.read(at)[1]), *touch.begins[1:])
                return touch
            place -= 1
        touch = Touch(at, at, client=touches[0].client)
        touches.insert(place, touch)
        self._weigh(day, TOUCH_BYTES, touch)
        return touch

    def _add_page(self, day: DayCounts, touch: Touch, path: str) -> None:
        if self.weight >= MOST_BYTES:
            self._count(day, (DROPPED_PAGE,))
            ledger.dropped("page")
            return
        touch.paths += (path,)
        self._weigh(day, weight_of(path), touch)

    def _weigh(self, day: DayCounts, weight: int, touch: Touch | None = None) -> None:
        self.weight += weight
        day.weight += weight
        if touch is not None:
            touch.weight += weight

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
