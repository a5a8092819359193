"""The mutation check: without any one of its guards the counting protocol fails the scenario that is there for it.

Not listed: ``generation != stream.generation`` in ``Pusher.check``, since another generation knows none of the stream's
batches; and the first look at the marks in ``selector.read``, which the second one covers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from django.db import IntegrityError
from redis.exceptions import ResponseError

from tests.kit.mutation import Mutant, mutated
from tests.kit.scenarios import play
from tests.pipeline.test_protocol_scenarios import SCENARIOS
from tests.servers import RedisServer
from tests.tables import test_upsert

SECONDS = 20.0
"""A mutant that never comes to an end is noticed too."""

GEN = "if g ~= ARGV[3] then return {'GEN', g, 0, 0, ''} end"
READ_AGAIN = "h, held = c('HMGET', L, unpack(HEADER)), 0\n"

MUTANTS = [
    # --- APPLY ---
    Mutant(
        "a retry must not enter a generation that it begins",
        "store/lua/apply.lua",
        {GEN: READ_AGAIN + "if ARGV[3] == '' or (g ~= ARGV[3] and g ~= ARGV[4]) then return {'GEN', g, 0, 0, ''} end"},
        "a retry does not enter a generation that it would begin",
    ),
    Mutant(
        "a retry must not enter the generation of others",
        "store/lua/apply.lua",
        {GEN: READ_AGAIN + "if ARGV[3] == '' then return {'GEN', g, 0, 0, ''} end"},
        "a retry does not enter the generation of others",
    ),
    Mutant(
        "a batch that was applied is no sign of a rollback",
        "store/lua/apply.lua",
        {"if seq <= last then": "if false then"},
        "a batch that is unheard on its way counts once",
    ),
    Mutant(
        "a batch counts once",
        "store/lua/apply.lua",
        {"if seq <= last then": "if false then", "if seq ~= last + 1 then": "if false then"},
        "a batch that arrives again later counts once",
    ),
    Mutant(
        "a rollback hides a loss",
        "store/lua/apply.lua",
        {"if seq ~= last + 1 then": "if false then"},
        "a rollback is noticed by the next batch",
    ),
    Mutant(
        "a batch in an earlier seal is not held until the next one",
        "store/lua/apply.lua",
        {"(h[4] == '0' and 1 or 0)": "0"},
        "a batch that was flushed before its answer is let go at once",
    ),
    Mutant(
        "a list that is evicted alone is noticed",
        "store/lua/apply.lua",
        {" and entries == ENTRIES * held)": ")"},
        "batches that are evicted are noticed by the next one",
    ),
    Mutant(
        "batches without their header are not taken over",
        "store/lua/apply.lua",
        {"  c('UNLINK', B)\n": ""},
        "a log whose counters are evicted is told once",
    ),
    Mutant(
        "a part of a day is bounded",
        "store/batches.py",
        {"            return other(field)\n": "            pass\n"},
        "a cap holds within one part and sums stay exact",
    ),
    Mutant(
        "a sketch can be merged with the database's",
        "store/lua/apply.lua",
        {"if ARGV[8] == '1' and": "if false and"},
        "visitors before and after a loss are one crowd",
    ),
    Mutant(
        "a stream is known after the seal",
        "store/lua/apply.lua",
        {"if seq == 1 then": "if false then"},
        "no generation ends while flushes and pushes take turns",
    ),
    Mutant(
        "visits are counted once",
        "store/lua/visits.lua",
        {"if (not before or first > before + VISIT_GAP) and views > 0 then": "if views > 0 then"},
        "visits are counted across pushes and flushes",
    ),
    # --- SEAL ---
    Mutant(
        "a seal that waits is not overwritten",
        "store/lua/seal.lua",
        {"if c('EXISTS', S) == 1 then": "if false then"},
        "a seal that waits is not sealed over",
    ),
    Mutant(
        "all streams look new after the seal",
        "store/lua/seal.lua",
        {"for first = 1, size, 2 * FIELDS do": "for first = 1, 0 do"},
        "no generation ends while flushes and pushes take turns",
    ),
    Mutant(
        "each seal names its predecessor",
        "store/lua/seal.lua",
        {"'#p', ARGV[1]": "'#p', h[3]"},
        "no generation ends while flushes and pushes take turns",
    ),
    Mutant(
        "a seal is lost while nothing is live",
        "store/lua/seal.lua",
        {"(tonumber(h[4]) == h[2] - 1) and 'NONE' or 'IDLE'": "'NONE'"},
        "a seal that is lost while nothing is live is noticed",
    ),
    # --- CHUNK, DONE, DROP, RETIRE ---
    Mutant(
        "a flush mixes two seals",
        "store/sealed.py",
        {"if before == after == seal.encode()": "if before and after"},
        "a flush never mixes two seals",
        # The visit log is read after the counters, and its script has the same guard.
        {"visit_log_days": 0},
    ),
    Mutant(
        "a late DONE deletes the next seal",
        "store/lua/done.lua",
        {"if c('HGET', S, '#id') == ARGV[1] then": "if true then"},
        "a late DONE does not delete the next seal",
    ),
    Mutant(
        "a late DONE frees batches that are not durable",
        "store/lua/done.lua",
        {"if number and c('HGET', L, '#p') == ARGV[1] then": "if number then"},
        "a late DONE frees no batch that the database has not",
    ),
    Mutant(
        "a late DROP deletes the next generation",
        "store/lua/drop.lua",
        {"== ARGV[1] then": "then"},
        "a late DROP does not delete the next generation",
    ),
    Mutant(
        "a seal is retired",
        "store/lua/retire.lua",
        {"redis.call('EXISTS', KEYS[2]) == 0 and": ""},
        "a day with a seal is not retired",
    ),
    Mutant(
        "live counters are retired",
        "store/lua/retire.lua",
        {"and (held == '0' or not held)": ""},
        "a day that a batch just reached is not retired",
    ),
    Mutant(
        "a day whose counters were dropped leaves its sketch behind",
        "store/lua/retire.lua",
        {" or not held": ""},
        "a past day whose generation was given up leaves nothing in Redis but its salt",
    ),
    # --- flush ---
    Mutant(
        "a restored snapshot counts settled batches",
        "tables/seals.py",
        {"if generation.closed:": "if False:"},
        "a generation that was settled is not counted when it comes back",
    ),
    Mutant(
        "a flush crashes after its commit",
        "tables/seals.py",
        {"if generation.last == seal.id:": "if False:"},
        "a flush that died after its commit is completed",
    ),
    Mutant(
        "a rollback brings an old seal back",
        "tables/seals.py",
        {" or generation.last != seal.previous:": ":"},
        "a seal that comes back after later ones is not applied",
    ),
    Mutant(
        "a seal is lost before its successor",
        "tables/seals.py",
        {" or generation.last != seal.previous:": ":"},
        "a seal that is lost breaks the chain",
    ),
    Mutant(
        "the database knows which batches it has",
        "tables/seals.py",
        {"generation.acked | sealed.acked": "generation.acked"},
        "batches that a flush brought are not settled again",
    ),
    Mutant(
        "one flush brings all, whatever waited before it",
        "pipeline/flusher.py",
        {'if seal.status == "NEW" and outcome.verdict == "done":': "if True:"},
        "a flush may die before any of its operations",
    ),
    Mutant(
        "a flush that was overtaken drops a sound generation",
        "pipeline/flusher.py",
        {"if not await self.store.standing(day, seal):": "if False:"},
        "a flush that was overtaken drops nothing",
    ),
    Mutant(
        "the chain heals between two looks",
        "pipeline/flusher.py",
        {'Outcome("drop") if last == outcome.last else None': 'Outcome("drop")'},
        "a chain that heals while a flush doubts it is not dropped",
    ),
    Mutant(
        "visitors are read before the counters",
        "pipeline/flusher.py",
        {
            "        uniques = await self.store.uniques(day)\n": "",
            "await partitions.counters(), uniques, blobs": (
                "await partitions.counters(), await self.store.uniques(day), blobs"
            ),
        },
        "a wipe at any operation of a flush loses no visitor of written views",
    ),
    Mutant(
        "a list that is evicted alone while a flush reads it is noticed",
        "pipeline/flusher.py",
        {' or partitions.batches != number(header.get(b"#k")):': ":"},
        "batches that are evicted while a flush reads them are sent again",
    ),
    Mutant(
        "batches are added up once",
        "store/lua/sum.lua",
        {" or (h[3] or '0') ~= ARGV[3] then": " then"},
        "batches that two add up count once",
    ),
    Mutant(
        "batches of another part are not replaced",
        "store/lua/sum.lua",
        {" or h[2] ~= ARGV[2] or": " or"},
        "batches that were sealed before they are added up stay as they are",
    ),
    Mutant(
        "batches that came meanwhile are kept",
        "store/lua/sum.lua",
        {"c('LTRIM', B, ENTRIES * replaced, -1)": "c('UNLINK', B)"},
        "batches that are added up while others come are not lost",
    ),
    Mutant(
        "a read knows when batches were added up",
        "store/parts.py",
        {
            "get(name) for name in MARK)": "get(name) for name in MARK[:2])",
        },
        "a read knows that batches were added up",
    ),
    Mutant(
        "the database's cap drops nothing",
        "tables/day_rows.py",
        {"if row.value not in left), other]": "if row.value not in left)]"},
        "paths above the cap are counted as other",
    ),
    Mutant(
        "a transaction overrides a hand-made row with the sum of its parts",
        "tables/day_rows.py",
        {"rows = [self._override_hand_made(row) for row in rows]": "pass"},
        "a row made by hand is overridden by all batches settled together",
    ),
    # --- settle ---
    Mutant(
        "settling what a flush brought",
        "tables/seals.py",
        {"if batch.seq - batch.span >= acked]": "]"},
        "batches that a flush brought are not settled again",
    ),
    Mutant(
        "settling joined batches of which a flush brought a part",
        "tables/seals.py",
        {"if batch.seq - batch.span >= acked]": "if batch.seq > acked]"},
        "joined batches of which Redis has a part never count twice",
    ),
    Mutant(
        "settling twice",
        "tables/seals.py",
        {"generation.acked[stream] = max(batch.seq for batch in fresh)": "pass"},
        "a settlement whose fate is unknown may be repeated",
    ),
    Mutant(
        "a settled generation is closed",
        "tables/seals.py",
        {"generation.closed = True": "pass"},
        "a generation that was settled is not counted when it comes back",
    ),
    # --- pusher ---
    Mutant(
        "the same bytes are sent again",
        "pipeline/pusher.py",
        {"if not stream.inflight:\n                await": "if True:\n                await"},
        "a batch that is lost on its way counts once",
    ),
    Mutant(
        "a batch is held until its own seal is durable",
        "pipeline/pusher.py",
        {"if seal > durable]": "if seal > durable + 1]"},
        "batches are kept until their own seal is in the database",
    ),
    Mutant(
        "a loss is noticed without traffic",
        "pipeline/pusher.py",
        {"if generation != stream.generation or last < stream.seq:": "if False:"},
        "a loss is noticed without traffic",
    ),
    Mutant(
        "a rollback is noticed without traffic",
        "pipeline/pusher.py",
        {" or last < stream.seq:": ":"},
        "a rollback is noticed without traffic",
    ),
    Mutant(
        "a closed generation may be met again",
        "pipeline/pusher.py",
        {'stream.seq = self._new_id(), "", "", 0': 'stream.seq = stream.id, "", "", 0'},
        "a worker is a stranger when its old generation comes back",
    ),
    Mutant(
        "dead workers' counts are saved before a generation is closed",
        "pipeline/pusher.py",
        {"        await flusher.flush(stream.day)\n        closed": "        closed"},
        "others' counts are saved before a generation is closed",
    ),
    Mutant(
        "a settled generation takes no new batches",
        "pipeline/pusher.py",
        {"await store.drop(stream.day, lost)": "pass"},
        "a settled generation takes no new batches",
    ),
    Mutant(
        "visitors whose sketch was lost are sent again",
        "pipeline/pusher.py",
        {"for batch in batches if requeue else ():": "for batch in ():"},
        "visitors whose sketch was lost are sent again",
    ),
    Mutant(
        "the batch in flight is settled too",
        "pipeline/pusher.py",
        {"        batches += stream.inflight\n": ""},
        "a rollback is noticed by the next batch",
    ),
    Mutant(
        "visits whose answer was lost are kept",
        "counters/visits.py",
        {"else local_visits(batch.visits)": "else {}"},
        "visits of a batch whose answer was lost survive",
    ),
    # --- the end of a worker ---
    Mutant(
        "views arrive while a worker stops",
        "pipeline/drain.py",
        {"while not pusher.idle:": "if not pusher.idle:"},
        "a stopping worker brings what arrives while it stops",
    ),
    Mutant(
        "the last flush may find the chain broken",
        "pipeline/drain.py",
        {"            await pusher.check(store, flusher)\n    except Error": "            pass\n    except Error"},
        "a stopping worker whose flush finds the chain broken settles",
    ),
    Mutant(
        "without Redis the database takes all",
        "pipeline/drain.py",
        {"await pusher.settle_all(flusher)": "pass"},
        "a worker that stops without Redis writes all to the database",
    ),
    Mutant(
        "views arrive while a worker stops without Redis",
        "pipeline/pusher.py",
        {"while not self.idle:": "if not self.idle:"},
        "a worker that stops without Redis brings what arrives while it stops",
    ),
    Mutant(
        "batches cut at the end are numbered after the one in flight",
        "pipeline/pusher.py",
        {"seq = stream.inflight[-1].seq if stream.inflight else stream.seq": "seq = stream.seq"},
        "a worker that stops without Redis knows what Redis took unheard",
    ),
    Mutant(
        "a worker that could not stop never uses a number twice",
        "pipeline/pusher.py",
        {"stream.seq = seq + 1 if batches else seq": "pass"},
        "a worker that could not stop without both stores goes on",
    ),
    Mutant(
        "a worker that could not stop keeps what Redis took unheard",
        "pipeline/pusher.py",
        {"stream.seq = seq + 1 if batches else seq": "stream.seq = seq"},
        "a worker that could not stop keeps what Redis took unheard",
    ),
    Mutant(
        "a worker that could not stop settles without traffic",
        "pipeline/pusher.py",
        {"if not stream.retained:\n                continue": "if not stream.generation:\n                continue"},
        "a worker that could not stop goes on without traffic",
    ),
    # --- the visit log ---
    Mutant(
        "what is left of a lost log is not told",
        "store/lua/apply.lua",
        {"if not log_bytes then c('UNLINK', LOG) end": ""},
        "a log whose counters are evicted is told once",
    ),
    Mutant(
        "the blob of a batch that was applied is not appended",
        "store/lua/apply.lua",
        {
            "if seq <= last then": "if seq <= last then if LOG then "
            "c('HINCRBY', L, '#b', ARGV[23]) c('HSETNX', L, '#bytes', 1) c('RPUSH', LOG, ARGV[22]) end"
        },
        "a batch that arrives again later is told once",
    ),
    Mutant(
        "a damaged log ends the script half-way",
        "store/lua/apply.lua",
        {"if LOG then read(LOG, 'LLEN') end": ""},
        "a log that is damaged takes the next batch",
    ),
    Mutant(
        "the log in Redis is bounded",
        "store/lua/apply.lua",
        {"logged = size <= tonumber(ARGV[24])": "logged = true"},
        "a log in Redis above its bound is counted",
    ),
    Mutant(
        "what the log lacks is counted",
        "store/lua/apply.lua",
        {"put('#log_dropped', text_of((number(c('HGET', L, '#log_dropped')) or 0) + hits))": ""},
        "a log in Redis above its bound is counted",
    ),
    Mutant(
        "the log of a waiting seal is not replaced",
        "store/lua/seal.lua",
        {
            "if c('EXISTS', S) == 1 then": "if c('EXISTS', KEYS[5]) == 1 then c('RENAME', KEYS[5], KEYS[6]) end\n"
            "if c('EXISTS', S) == 1 then"
        },
        "the log of a waiting seal is not replaced",
    ),
    Mutant(
        "a log is never that of another seal",
        "store/sealed.py",
        {"if before == after == seal.encode()": "if before and after"},
        "a log is never that of another seal",
    ),
    Mutant(
        "a log that the database has is deleted",
        "store/lua/done.lua",
        {"c('UNLINK', S, KEYS[3], KEYS[4])": "c('UNLINK', S, KEYS[3])"},
        "the log tells the views that reach the database",
    ),
    Mutant(
        "a log that is evicted alone is told",
        "pipeline/flusher.py",
        {"max(0, told - sum(map(hits_in, blobs)))": "0"},
        "a log that is evicted alone costs no counter and is told (log)",
    ),
    Mutant(
        "a flush writes the log with its counters",
        "tables/seals.py",
        {'write_parts(alias, totals.date, f"{seal.generation}/{seal.id}", sealed.blobs)': "pass"},
        "the log tells the views that reach the database",
    ),
    Mutant(
        "the log of what a flush brought is not settled again",
        "tables/seals.py",
        {"[blob for batch in fresh for blob in batch.log]": "[blob for batch in batches for blob in batch.log]"},
        "batches that a flush brought are not told again when they are settled",
    ),
    Mutant(
        "the log of joined batches is settled",
        "pipeline/retained.py",
        {"log.extend(batch.log)": "pass"},
        "joined batches are told whole",
    ),
    Mutant(
        "the log of joined batches is bounded",
        "pipeline/retained.py",
        {"if sum(map(len, batch.log)) <= room:": "if True:"},
        "joined batches whose log would be too large are counted",
    ),
    Mutant(
        "a batch tells the views that it counts",
        "counters/day_counts.py",
        {" or (not all_logged and is_page(field))": ""},
        "a batch tells the views that it counts",
    ),
    # --- reads ---
    Mutant(
        "a flush comes between the marks and the rows",
        "stats/reading.py",
        {"if tokens and marks(tokens) != before:": "if False:"},
        "a read counts nothing twice when a flush comes before its rows",
    ),
    Mutant(
        "a flush comes between Redis and the marks",
        "stats/reading.py",
        {"if (sealed.id if counted else mark.last) != live.previous:": "if False:"},
        "a read counts nothing twice when a flush follows its look at Redis",
    ),
    Mutant(
        "a read meets an older state of Redis",
        "stats/reading.py",
        {"if (sealed.id if counted else mark.last) != live.previous:": "if False:"},
        "a read does not count an older state of Redis",
    ),
    Mutant(
        "a read meets an older seal",
        "stats/reading.py",
        {"if mark.last == sealed.previous:": "if True:"},
        "a read does not count an older seal",
    ),
    Mutant(
        "a read meets a seal that the rows contain",
        "stats/reading.py",
        {"if mark.last == sealed.previous:": "if True:"},
        "a read counts nothing twice when a flush died after its commit",
    ),
    Mutant(
        "a seal that the rows contain hides nothing live",
        "stats/reading.py",
        {"elif mark.last != sealed.id:": "else:"},
        "a read counts nothing twice when a flush died after its commit",
    ),
    Mutant(
        "what is live follows what is sealed",
        "stats/reading.py",
        {"(sealed.id if counted else mark.last)": "mark.last"},
        "a read adds what is live and what is sealed",
    ),
    Mutant(
        "a read asks for a part again",
        "stats/reading.py",
        {"if (sealed.id if counted": "if live.previous not in (mark.last, sealed.id) and (sealed.id if counted"},
        "a read counts nothing twice whose parts are of two moments",
    ),
    Mutant(
        "a read meets a closed generation",
        "stats/reading.py",
        {"if not mark.closed:\n            # Or": "if True:\n            # Or"},
        "a generation that was settled is not counted when it comes back",
    ),
    Mutant(
        "a read meets a seal of a closed generation",
        "stats/reading.py",
        {"if not mark.closed:\n            if": "if True:\n            if"},
        "a seal of a settled generation is not counted when it comes back",
    ),
]

FOREIGN = "test_a_row_that_no_flush_wrote_takes_the_larger_count_and_becomes_ours"
HAND_MADE = {"views": 3, "expected": 50}
LARGER = "CASE WHEN {table}.own IS NULL THEN {larger}({table}.views, excluded.views) ELSE {views} END"
LOCK = 'if not rows.filter(date=day).update(locks=models.F("locks") + 1):'
WITHOUT_LOCK = Mutant(
    "two flushes apply one seal",
    "models.py",
    {LOCK: "if not rows.filter(date=day).exists():"},
    "test_two_transactions_that_meet_apply_a_seal_once",
)
WITHOUT_LARGER = Mutant(
    "a row made by hand is overridden, not added to", "tables/upsert.py", {LARGER: "{views}"}, FOREIGN, HAND_MADE
)
WITHOUT_OWN = Mutant(
    "a row that a flush wrote is ours",
    "tables/upsert.py",
    {'        own = ", own = 1"': '        own = ""'},
    FOREIGN,
    HAND_MADE,
)
WITHOUT_IF = Mutant(
    "a row made by hand is overridden, not added to",
    "tables/upsert.py",
    {'f"IF(own IS NULL, GREATEST(views, VALUES(views)), {views})"': "views"},
    FOREIGN,
    HAND_MADE,
)
DATABASE_MUTANTS = [
    (WITHOUT_LOCK, "postgres"),
    (WITHOUT_LOCK, "mariadb"),
    (WITHOUT_LARGER, "default"),
    (WITHOUT_LARGER, "postgres"),
    (WITHOUT_OWN, "default"),
    (WITHOUT_OWN, "postgres"),
    (WITHOUT_IF, "mariadb"),
]


pytestmark = pytest.mark.slow

TRIES = 5


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def name(value: Mutant | str) -> str:
    """Return a parameter's name in the test's id."""
    return value if isinstance(value, str) else f"{value.file}: {value.reason}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=name)
async def test_a_missing_guard_is_noticed(mutant: Mutant, redis_server: RedisServer, transactional_db: None) -> None:
    with mutated(mutant), pytest.raises((AssertionError, TimeoutError, ResponseError, IntegrityError)):
        await play_often(mutant, redis_server)


@pytest.mark.parametrize(("mutant", "database"), DATABASE_MUTANTS, indirect=["database"], ids=name)
def test_a_missing_guard_in_the_database_is_noticed(mutant: Mutant, database: str) -> None:
    with mutated(mutant), pytest.raises(AssertionError):
        getattr(test_upsert, mutant.scenario)(database, **mutant.arguments)


async def play_often(mutant: Mutant, redis_server: RedisServer) -> None:
    """Run a scenario a few times: random ids and salts hide some mutants once in a while."""
    async with asyncio.timeout(SECONDS):
        for _ in range(TRIES):
            await play(SCENARIOS[mutant.scenario], redis_server, **mutant.arguments)
