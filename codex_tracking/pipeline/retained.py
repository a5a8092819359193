"""Batches that Redis has and the database may not have yet, joined when there are many."""

from __future__ import annotations

from dataclasses import replace
from sys import getsizeof

from codex_tracking.counters.batch import MOST_FIELDS, MOST_VISITORS, NO_VISITS, Batch
from codex_tracking.counters.fields import add_to
from codex_tracking.counters.hit_log import hits_in
from codex_tracking.counters.ledger import ledger
from codex_tracking.counters.visits import visits_of

MOST_BYTES = 16_000_000
"""Memory of the names of one joined batch's counters; what is new beyond it is added to ``(other)``."""
MOST_LOG_BYTES = 16_000_000
"""Bytes of one joined batch's part of the visit log; some million hits. What is beyond it is lost if Redis is."""
MOST_BATCHES = 128
"""Batches of a day that are kept apart; about a minute's. Each push looks at all of them."""


def shorten(retained: list[tuple[int, Batch]]) -> None:
    """Join old batches of one seal while a process holds more than its bounds; sums stay exact.

    Two at a time and no more than necessary: joining all at once would block the event loop.
    """
    fields = sum(len(batch.counts) for _, batch in retained if batch.span == 1)
    visitors = sum(len(batch.ids) for _, batch in retained if batch.span == 1)
    at = 1
    while at < len(retained) and (fields > MOST_FIELDS or visitors > MOST_VISITORS or len(retained) > MOST_BATCHES):
        (seal, before), (next_seal, batch) = retained[at - 1 : at + 1]
        # A batch is released with its own seal.
        if seal != next_seal:
            at += 1
            continue
        for one in (batch, before):
            if one.span == 1:
                fields -= len(one.counts)
                visitors -= len(one.ids)
        retained[at - 1 : at + 1] = [(seal, joined(before, batch))]


def joined(before: Batch, batch: Batch) -> Batch:
    """Return one batch with the counters of both; it reuses the first one's dictionary and set."""
    # A set is copied once and then grows: copying it for each batch would take longer with each.
    ids = before.ids if isinstance(before.ids, set) else set(before.ids)
    fresh = [visitor for visitor in batch.ids if visitor not in ids]
    room = MOST_VISITORS - len(ids)
    ids.update(fresh[:room])
    if len(fresh) > room:
        ledger.dropped("visitor", len(fresh) - room)
    counts = add_to(before.counts, visits_of(before))
    new = add_to(visits_of(batch), batch.counts)
    # Worked out once and carried on: a look at 20,000 names for each further batch held the event loop for 6 ms.
    size = before.size or sum(map(getsizeof, counts))
    more = sum(getsizeof(field) for field in new if field not in counts)
    # Long names fill the memory before there are many of them.
    fits = size + more <= MOST_BYTES
    most = MOST_FIELDS if fits else max(1, len(counts))
    log: list[bytes] = before.log if isinstance(before.log, list) else list(before.log)
    room = MOST_LOG_BYTES - sum(map(len, log))
    unlogged = before.unlogged + batch.unlogged
    if sum(map(len, batch.log)) <= room:
        log.extend(batch.log)
    else:
        unlogged += sum(map(hits_in, batch.log))
    return replace(
        batch,
        counts=add_to(counts, new, most),
        visits=NO_VISITS,
        grown=b"",
        ids=ids,
        span=before.span + batch.span,
        log=log,
        unlogged=unlogged,
        views=before.views + batch.views,
        size=size + more if fits else size,
    )
