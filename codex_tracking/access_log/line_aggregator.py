"""The aggregator of lines: the same counters as of requests, with everything that lines share worked out once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain

from codex_tracking.access_log.order import Entry
from codex_tracking.access_log.requests import LineRequest
from codex_tracking.access_log.visits import DayVisits, Page, Visitor, keep
from codex_tracking.counters.addresses import ONE_ADDRESS
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.day_counts import DayCounts
from codex_tracking.counters.dimensions import CACHED_LENGTH, Origin, hour_begins, place
from codex_tracking.counters.fields import Counter, Counts, counter
from codex_tracking.counters.hit_log import MEMBER, VIEW
from codex_tracking.hits.capture import LONGEST_REFERRER

SINGLE = (ONE_ADDRESS,)


class LineAggregator(Aggregator):
    """All that a piece of a log has counted.

    Args:
        request: knows what lines ask for, and who.
    """

    def __init__(self, request: LineRequest) -> None:
        # Minutes are for live figures; nobody asks for those of a log.
        super().__init__(request.settings, minutes=False)
        self._request = request
        self._origins: dict[tuple[str, str, str], Origin] = {}
        """Referrer, query string and host of the site -> origin."""

    def count(self, date: str, entries: Iterable[Entry], visits: DayVisits) -> None:
        """Count lines of one day; those that have a reason not to be views are counted by the caller."""
        day, sums, counts = self._day(date), defaultdict[tuple[Counter, ...], int](int), Counts()
        for entry in entries:
            asked, asker = entry[2], entry[3]
            # Without a call for most lines: those of a client that named the host, or of a site that has no other.
            host = asked.host or asker.host
            visitor = (asker.visitors.get(host) if host else None) or self._visitor(entry)
            if asked.page is None:
                if asked.verdict is not None:
                    self.add(self._request.hit(entry, visitor.client))
            elif visitor.bot:
                # A bot has no visit, and its pages are nobody's views.
                sums[visitor.bot] += 1
            else:
                self._count_person(day, entry, asked.page, visitor, visits, sums, counts)
        # Counters that grow together are added up together, and taken apart once a batch instead of once a line.
        apart = ((field, n) for together, n in sums.items() for field in together)
        known = day.counts
        for field, n in chain(counts.items(), apart):
            if field in known:
                known[field] += n
            else:
                self._begin(day, field, n)

    def exclude(self, date: str, reason: str, n: int) -> None:
        """Count lines of one day that have a reason not to be views."""
        self._add(self._day(date), counter("excluded", reason), n)

    def replay(self, entries: Iterable[Entry], visits: DayVisits) -> None:
        """Tell visits of lines counted already, which only continue them."""
        uncounted = Counts()
        for entry in entries:
            page = entry[2].page
            if page is not None:
                visitor = self._visitor(entry)
                if not visitor.bot and visitor.identity:
                    visits.add(visitor, int(entry[0]), page, uncounted)

    def emptied(self) -> None:
        """Forget all counters, and keep clients and origins."""
        self.days.clear()
        self.fields = self.visitors = self.weight = 0

    def _count_person(
        self,
        day: DayCounts,
        entry: Entry,
        page: Page,
        visitor: Visitor,
        visits: DayVisits,
        sums: dict[tuple[Counter, ...], int],
        counts: Counts,
    ) -> None:
        """Count one view of a page by a person, as ``add`` does."""
        at, (_, hour), _, _, _, query, referrer, _ = entry
        technology = visitor.technology
        facts, of_origin, begins, logged = self._origin_of(referrer, query, visitor)
        sums[page.viewed_from.get(facts[1]) or page.from_another(facts[1])] += 1
        sums[place(page.route, page.view, hour, None)] += 1
        sums[technology[0]] += 1
        sums[of_origin] += 1
        if visitor.notes:
            sums[visitor.notes] += 1
        if self._profiles.addresses.single:
            sums[SINGLE] += 1
        second = int(at)
        if visitor.identity and visits.add(visitor, second, page, counts):
            counts[page.entry] = counts.get(page.entry, 0) + 1
            for together in (hour_begins(hour), begins, technology[1]):
                sums[together] += 1
        if visitor.logged is not None:
            kind = MEMBER if visitor.client.user else VIEW
            self._log(day, None, visitor.client, (second, kind, visitor.logged, logged, page.act, ()))

    def _visitor(self, entry: Entry) -> Visitor:
        asked, asker = entry[2], entry[3]
        host = self._request.host(asked, asker, entry[6])
        visitor = asker.visitors.get(host)
        if visitor is None:
            client = self._request.client(asker, host)
            visitor = Visitor(client, self._profiles.of(client), self._profiles.identity(client))
            asker.visitors[host] = visitor
        return visitor

    def _origin_of(self, referrer: str, query: str, visitor: Visitor) -> Origin:
        # Links within the site are half of all, and their paths tell nothing.
        if referrer and referrer.startswith(visitor.own):
            referrer = visitor.own[0]
        host = visitor.client[0]
        key = (referrer, query, host)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origin(query[:LONGEST_REFERRER], referrer[:LONGEST_REFERRER], host)
            # Longer ones hardly ever come again, and would fill the memory with what strangers send.
            if len(referrer) + len(query) <= 2 * CACHED_LENGTH:
                keep(self._origins, key, origin)
        return origin
