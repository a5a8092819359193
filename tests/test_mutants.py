"""The mutation check: without any one of its guards the counting protocol fails the scenario that is there for it.

Not listed: ``generation != link.generation`` in ``Pusher.check``, since another generation knows none of the stream's
batches; and the first look at the marks in ``selector.read``, which the second one covers.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests import test_protocol_scenarios as scenarios
from tests import test_upsert
from tests.mutation import Mutant, mutated
from tests.servers import RedisServer
from tests.simulation import World

SECONDS = 20.0
"""A mutant that never comes to an end is noticed too."""

GEN = "if g ~= ARGV[3] then return {'GEN', g, 0, 0} end"
READ_AGAIN = "h = c('HMGET', L, '#g', '#n', '#f', '#k', '#w:' .. ARGV[1])\n"

MUTANTS = [
    # --- APPLY ---
    Mutant(
        "a retry must not enter a generation that it begins",
        "lua/apply.lua",
        {GEN: READ_AGAIN + "if ARGV[3] == '' or (g ~= ARGV[3] and g ~= ARGV[4]) then return {'GEN', g, 0, 0} end"},
        "test_a_retry_does_not_enter_a_generation_that_it_would_begin",
    ),
    Mutant(
        "a retry must not enter the generation of others",
        "lua/apply.lua",
        {GEN: READ_AGAIN + "if ARGV[3] == '' then return {'GEN', g, 0, 0} end"},
        "test_a_retry_does_not_enter_the_generation_of_others",
    ),
    Mutant(
        "a batch that was applied is no sign of a rollback",
        "lua/apply.lua",
        {"if seq <= last then": "if false then"},
        "test_a_batch_whose_request_or_answer_is_lost_counts_once",
        {"fault": "unheard"},
    ),
    Mutant(
        "a batch counts once",
        "lua/apply.lua",
        {"if seq <= last then": "if false then", "if seq ~= last + 1 then": "if false then"},
        "test_a_batch_that_arrives_again_later_counts_once",
    ),
    Mutant(
        "a rollback hides a loss",
        "lua/apply.lua",
        {"if seq ~= last + 1 then": "if false then"},
        "test_a_rollback_is_noticed_by_the_next_batch",
    ),
    Mutant(
        "a batch in an earlier seal is not held until the next one",
        "lua/apply.lua",
        {"(h[4] == '0' and 1 or 0)": "0"},
        "test_a_batch_that_was_flushed_before_its_answer_is_let_go_at_once",
    ),
    Mutant(
        "visitors without counters are flushed too",
        "lua/apply.lua",
        {"if held == 0 then held = 1 end": ""},
        "test_visitors_whose_sketch_was_lost_are_sent_again",
    ),
    Mutant(
        "a part of a day is bounded",
        "lua/apply.lua",
        {"f = dimension .. ':(other)'": ""},
        "test_a_cap_holds_within_one_part_and_sums_stay_exact",
    ),
    Mutant(
        "what a cap refuses is not dropped",
        "lua/apply.lua",
        {"then f = dimension .. ':(other)' end": "then return end"},
        "test_a_cap_holds_within_one_part_and_sums_stay_exact",
    ),
    Mutant(
        "a sketch can be merged with the database's",
        "lua/apply.lua",
        {"if ARGV[10] == '1' and": "if false and"},
        "test_visitors_before_and_after_a_loss_are_one_crowd",
    ),
    Mutant(
        "a stream is known after the seal",
        "lua/apply.lua",
        {"if seq == 1 then": "if false then"},
        "test_no_generation_ends_while_flushes_and_pushes_take_turns",
    ),
    Mutant(
        "visits are counted once",
        "lua/apply.lua",
        {"if (not before or first > before + VISIT_GAP) and views > 0 then": "if views > 0 then"},
        "test_visits_are_counted_across_pushes_and_flushes",
    ),
    # --- SEAL ---
    Mutant(
        "a seal that waits is not overwritten",
        "lua/seal.lua",
        {"if c('EXISTS', S) == 1 then": "if false then"},
        "test_a_seal_that_waits_is_not_sealed_over",
    ),
    Mutant(
        "all streams look new after the seal",
        "lua/seal.lua",
        {"c('HSET', L, '#w:' .. stream, c('HGET', S, '#w:' .. stream))": ""},
        "test_no_generation_ends_while_flushes_and_pushes_take_turns",
    ),
    Mutant(
        "each seal names its predecessor",
        "lua/seal.lua",
        {"'#p', ARGV[1]": "'#p', h[3]"},
        "test_no_generation_ends_while_flushes_and_pushes_take_turns",
    ),
    Mutant(
        "a seal is lost while nothing is live",
        "lua/seal.lua",
        {"(tonumber(h[4]) == h[2] - 1) and 'NONE' or 'IDLE'": "'NONE'"},
        "test_a_seal_that_is_lost_while_nothing_is_live_is_noticed",
    ),
    # --- CHUNK, DONE, DROP, RETIRE ---
    Mutant(
        "a scan mixes two seals",
        "lua/chunk.lua",
        {"~= ARGV[1] then return false": "== '' then return false"},
        "test_a_scan_never_mixes_two_seals",
    ),
    Mutant(
        "a late DONE deletes the next seal",
        "lua/done.lua",
        {"if c('HGET', S, '#id') == ARGV[1] then": "if true then"},
        "test_a_late_done_does_not_delete_the_next_seal",
    ),
    Mutant(
        "a late DONE frees batches that are not durable",
        "lua/done.lua",
        {"if c('HGET', L, '#p') == ARGV[1] then": "if true then"},
        "test_a_late_done_frees_no_batch_that_the_database_has_not",
    ),
    Mutant(
        "a late DROP deletes the next generation",
        "lua/drop.lua",
        {"== ARGV[1] then": "then"},
        "test_a_late_drop_does_not_delete_the_next_generation",
    ),
    Mutant(
        "a seal is retired",
        "lua/retire.lua",
        {"redis.call('EXISTS', KEYS[2]) == 0 and": ""},
        "test_a_day_with_a_seal_is_not_retired",
    ),
    Mutant(
        "live counters are retired",
        "lua/retire.lua",
        {"and (held == '0' or not held)": ""},
        "test_a_day_that_a_batch_just_reached_is_not_retired",
    ),
    Mutant(
        "a day whose counters were dropped leaves its sketch behind",
        "lua/retire.lua",
        {" or not held": ""},
        "test_a_past_day_whose_generation_was_given_up_leaves_nothing_in_redis_but_its_salt",
    ),
    # --- flush ---
    Mutant(
        "a restored snapshot counts settled batches",
        "flush.py",
        {"if generation.closed:": "if False:"},
        "test_a_generation_that_was_settled_is_not_counted_when_it_comes_back",
    ),
    Mutant(
        "a flush crashes after its commit",
        "flush.py",
        {"if generation.last == seal.id:": "if False:"},
        "test_a_flush_that_died_after_its_commit_is_completed",
    ),
    Mutant(
        "a rollback brings an old seal back",
        "flush.py",
        {" or generation.last != seal.previous:": ":"},
        "test_a_seal_that_comes_back_after_later_ones_is_not_applied",
    ),
    Mutant(
        "a seal is lost before its successor",
        "flush.py",
        {" or generation.last != seal.previous:": ":"},
        "test_a_seal_that_is_lost_breaks_the_chain",
    ),
    Mutant(
        "the database knows which batches it has",
        "flush.py",
        {"generation.acked | sealed.acked": "generation.acked"},
        "test_batches_that_a_flush_brought_are_not_settled_again",
    ),
    Mutant(
        "one flush brings all, whatever waited before it",
        "flush.py",
        {'if seal.status == "NEW" and outcome.verdict == "done":': "if True:"},
        "test_a_flush_may_die_before_any_of_its_operations",
    ),
    Mutant(
        "a flush that was overtaken drops a sound generation",
        "flush.py",
        {"if not await self.manager.standing(day, seal):": "if False:"},
        "test_a_flush_that_was_overtaken_drops_nothing",
    ),
    Mutant(
        "the chain heals between two looks",
        "flush.py",
        {'Outcome("drop") if last == outcome.last else None': 'Outcome("drop")'},
        "test_a_chain_that_heals_while_a_flush_doubts_it_is_not_dropped",
    ),
    Mutant(
        "visitors are read before the counters",
        "flush.py",
        {
            "        uniques = await self.manager.uniques(day)\n": "",
            "return Sealed(acked, piles.counters, uniques)": (
                "return Sealed(acked, piles.counters, await self.manager.uniques(day))"
            ),
        },
        "test_a_wipe_at_any_operation_of_a_flush_loses_no_visitor_of_written_views",
    ),
    Mutant(
        "a scan goes on in another process of Redis",
        "flush.py",
        {"if await piles.distinct() != size:": "if False:"},
        "test_a_scan_that_goes_on_in_a_restarted_redis_begins_anew",
    ),
    Mutant(
        "a counter that a scan hands out twice",
        "flush.py",
        {"hash(rest) % number if": "len(piles) if"},
        "test_a_counter_that_redis_hands_out_twice_counts_once",
    ),
    Mutant(
        "the database's cap drops nothing",
        "flush.py",
        {"other[0] += views": "pass"},
        "test_paths_above_the_cap_are_counted_as_other",
    ),
    Mutant(
        "what a transaction adds to a foreign row in pieces competes as one",
        "flush.py",
        {"rows = [self._compete(row) for row in rows]": "pass"},
        "test_a_row_made_by_hand_is_overridden_by_all_batches_settled_together",
    ),
    # --- settle ---
    Mutant(
        "settling what a flush brought",
        "flush.py",
        {"if batch.seq - batch.span >= acked]": "]"},
        "test_batches_that_a_flush_brought_are_not_settled_again",
    ),
    Mutant(
        "settling joined batches of which a flush brought a part",
        "flush.py",
        {"if batch.seq - batch.span >= acked]": "if batch.seq > acked]"},
        "test_joined_batches_of_which_redis_has_a_part_never_count_twice",
    ),
    Mutant(
        "settling twice",
        "flush.py",
        {"generation.acked[stream] = max(batch.seq for batch in fresh)": "pass"},
        "test_a_settlement_whose_fate_is_unknown_may_be_repeated",
    ),
    Mutant(
        "a settled generation is closed",
        "flush.py",
        {"generation.closed = True": "pass"},
        "test_a_generation_that_was_settled_is_not_counted_when_it_comes_back",
    ),
    # --- pusher ---
    Mutant(
        "the same bytes are sent again",
        "pusher.py",
        {"if link.inflight is None:\n                link.inflight =": "if True:\n                link.inflight ="},
        "test_a_batch_whose_request_or_answer_is_lost_counts_once",
        {"fault": "lost"},
    ),
    Mutant(
        "a batch is held until its own seal is durable",
        "pusher.py",
        {"if seal > durable]": "if seal > durable + 1]"},
        "test_batches_are_kept_until_their_own_seal_is_in_the_database",
    ),
    Mutant(
        "a loss is noticed without traffic",
        "pusher.py",
        {"if generation != link.generation or last < link.seq:": "if False:"},
        "test_a_loss_is_noticed_without_traffic",
    ),
    Mutant(
        "a rollback is noticed without traffic",
        "pusher.py",
        {" or last < link.seq:": ":"},
        "test_a_rollback_is_noticed_without_traffic",
    ),
    Mutant(
        "a closed generation may be met again",
        "pusher.py",
        {'link.seq = self._new_stream(), "", 0': 'link.seq = link.stream, "", 0'},
        "test_a_worker_that_meets_its_old_generation_again_is_a_stranger_there",
    ),
    Mutant(
        "dead workers' counts are saved before a generation is closed",
        "pusher.py",
        {"        await flusher.flush(link.day)\n        await self.settle": "        await self.settle"},
        "test_others_counts_are_saved_before_a_generation_is_closed",
    ),
    Mutant(
        "a settled generation takes no new batches",
        "pusher.py",
        {"await flusher.manager.drop(link.day, lost)": "pass"},
        "test_a_settled_generation_takes_no_new_batches",
    ),
    Mutant(
        "visitors whose sketch was lost are sent again",
        "pusher.py",
        {"for batch in batches if requeue else ():": "for batch in ():"},
        "test_visitors_whose_sketch_was_lost_are_sent_again",
    ),
    Mutant(
        "the batch in flight is settled too",
        "pusher.py",
        {"            batches.append(link.inflight)\n": "            pass\n"},
        "test_a_rollback_is_noticed_by_the_next_batch",
    ),
    Mutant(
        "visits whose answer was lost are kept",
        "pusher.py",
        {"else local_visits(batch.visits)": "else {}"},
        "test_visits_of_a_batch_whose_answer_was_lost_survive",
    ),
    # --- the end of a worker ---
    Mutant(
        "views arrive while a worker stops",
        "runner.py",
        {"while not pusher.idle:": "if not pusher.idle:"},
        "test_a_stopping_worker_brings_what_arrives_while_it_stops",
    ),
    Mutant(
        "the last flush may find the chain broken",
        "runner.py",
        {"                await pusher.check(flusher)\n        except": "                pass\n        except"},
        "test_a_stopping_worker_whose_flush_finds_the_chain_broken_settles",
    ),
    Mutant(
        "without Redis the database takes all",
        "runner.py",
        {"await pusher.settle_all(flusher)": "pass"},
        "test_a_worker_that_stops_without_redis_writes_all_to_the_database",
    ),
    Mutant(
        "views arrive while a worker stops without Redis",
        "pusher.py",
        {"while not self.idle:": "if not self.idle:"},
        "test_a_worker_that_stops_without_redis_brings_what_arrives_while_it_stops",
    ),
    Mutant(
        "batches cut at the end are numbered after the one in flight",
        "pusher.py",
        {"seq = link.inflight.seq if link.inflight else link.seq": "seq = link.seq"},
        "test_a_worker_that_stops_without_redis_knows_what_redis_took_unheard",
    ),
    Mutant(
        "a worker that could not stop never uses a number twice",
        "pusher.py",
        {"link.seq = seq + 1 if batches else seq": "pass"},
        "test_a_worker_that_could_not_stop_without_both_stores_goes_on",
        {"joined": True},
    ),
    Mutant(
        "a worker that could not stop keeps what Redis took unheard",
        "pusher.py",
        {"link.seq = seq + 1 if batches else seq": "link.seq = seq"},
        "test_a_worker_that_could_not_stop_keeps_what_redis_took_unheard",
    ),
    Mutant(
        "a worker that could not stop settles without traffic",
        "pusher.py",
        {"if not link.retained:\n                continue": "if not link.generation:\n                continue"},
        "test_a_worker_that_could_not_stop_goes_on_without_traffic",
    ),
    # --- reads ---
    Mutant(
        "a flush comes between the marks and the rows",
        "selector.py",
        {"if tokens and marks(tokens) != before:": "if False:"},
        "test_a_read_counts_nothing_twice_when_a_flush_comes_before_its_rows",
    ),
    Mutant(
        "a flush comes between Redis and the marks",
        "selector.py",
        {"if mark.last != live.previous and not follows:": "if False:"},
        "test_a_read_counts_nothing_twice_when_a_flush_follows_its_look_at_redis",
    ),
    Mutant(
        "a read meets an older state of Redis",
        "selector.py",
        {"if mark.last != live.previous and not follows:": "if False:"},
        "test_a_read_does_not_count_an_older_state_of_redis",
    ),
    Mutant(
        "a read meets an older seal",
        "selector.py",
        {"if mark.last == sealed.previous:": "if True:"},
        "test_a_read_does_not_count_an_older_seal",
    ),
    Mutant(
        "a read meets a seal that the rows contain",
        "selector.py",
        {"if mark.last == sealed.previous:": "if True:"},
        "test_a_read_counts_nothing_twice_when_a_flush_died_after_its_commit",
    ),
    Mutant(
        "a seal that the rows contain hides nothing live",
        "selector.py",
        {"elif mark.last != sealed.id:": "else:"},
        "test_a_read_counts_nothing_twice_when_a_flush_died_after_its_commit",
    ),
    Mutant(
        "what is live follows what is sealed",
        "selector.py",
        {"if mark.last != live.previous and not follows:": "if mark.last != live.previous:"},
        "test_a_read_adds_what_is_live_and_what_is_sealed",
    ),
    Mutant(
        "a read meets a closed generation",
        "selector.py",
        {"if not mark.closed:\n            follows": "if True:\n            follows"},
        "test_a_generation_that_was_settled_is_not_counted_when_it_comes_back",
    ),
    Mutant(
        "a read meets a seal of a closed generation",
        "selector.py",
        {"if not mark.closed:\n            if": "if True:\n            if"},
        "test_a_seal_of_a_settled_generation_is_not_counted_when_it_comes_back",
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
    "a row made by hand is overridden, not added to", "upsert.py", {LARGER: "{views}"}, FOREIGN, HAND_MADE
)
WITHOUT_OWN = Mutant(
    "a row that a flush wrote is ours",
    "upsert.py",
    {'        own = ", own = 1"': '        own = ""'},
    FOREIGN,
    HAND_MADE,
)
WITHOUT_IF = Mutant(
    "a row made by hand is overridden, not added to",
    "upsert.py",
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


TRIES = 5


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def name(value: Mutant | str) -> str:
    """Return what a parameter is called."""
    return value if isinstance(value, str) else f"{value.file}: {value.reason}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=name)
async def test_a_missing_guard_is_noticed(mutant: Mutant, redis_server: RedisServer, transactional_db: None) -> None:
    with mutated(mutant), pytest.raises((AssertionError, TimeoutError)):
        await play_often(mutant, redis_server)


@pytest.mark.parametrize(("mutant", "database"), DATABASE_MUTANTS, indirect=["database"], ids=name)
def test_a_missing_guard_in_the_database_is_noticed(mutant: Mutant, database: str) -> None:
    with mutated(mutant), pytest.raises(AssertionError):
        getattr(test_upsert, mutant.scenario)(database, **mutant.arguments)


async def play_often(mutant: Mutant, redis_server: RedisServer) -> None:
    """Run a mutant's scenario a few times: random ids and salts hide some mutants once in a while."""
    async with asyncio.timeout(SECONDS):
        for _ in range(TRIES):
            await play(mutant.scenario, redis_server, mutant.arguments)


async def play(name: str, redis_server: RedisServer, arguments: dict[str, Any]) -> None:
    """Run a scenario outside pytest."""
    scenario = getattr(scenarios, name)
    fixtures: dict[str, Any] = {"redis_server": redis_server, "transactional_db": None}
    wanted = inspect.signature(scenario).parameters
    if "world" not in wanted:
        await scenario(**fixtures)
        return
    async with World(redis_server.url) as world:
        await scenario(**{"world": world, **arguments}, **{name: fixtures[name] for name in wanted if name in fixtures})
