"""Each guard of the counting protocol, shown by the one course of events that it is there for.

``tests/kit/scenarios.py`` explains the steps. ``test_mutants`` takes the guards away one by one and runs these again.
Unless a scenario says otherwise, the database has the whole truth in the end, and no generation was given up.
"""

from __future__ import annotations

import pytest

from codex_tracking.models import DayTotals
from codex_tracking.store import sketch
from tests.kit.scenarios import parse, play
from tests.kit.simulation import TODAY, World, settle_down
from tests.servers import RedisServer

pytestmark = pytest.mark.one_python

SCENARIOS = parse("""
# --- without faults ---
views reach the database once:
    hit /a 3, two hit /a visitor=bob, two hit /b 2 visitor=bob => rows /a=4 /b=2, visitors 2, flush writes=0
no generation ends while flushes and pushes take turns:
    hit /a, push, two hit /a, two push, flush, hit /b, push, two hit /b, two push, flush,
    hit /c, push, two hit /c, two push, flush, hit /d, push, two hit /d, two push, flush
visits are counted across pushes and flushes:
    hit /a, push, flush, hit /a, push, flush, hit /b, push, flush
    => totals visits=1 engaged=1 views=3, visitors 1 /a=1 /b=1
hundreds of workers fit into one seal:
    crowd 300, flush, crowd 300 => rows /a=600

# --- a batch on its way ---
a batch that is [lost|unheard|cut] on its way counts once:
    hit /a 3, push, hit /b, push until=apply, finish [lost|unheard|cut], hit /c
batches sent together that are [lost|unheard|cut] on their way count once:
    bound batch 4, hit_each 12, push until=apply, finish [lost|unheard|cut], hit /c
batches sent together into a generation that is gone count once ([wipe|roll_back]):
    bound batch 4, slow hit /a, slow push, save, slow hit /b, slow push, slow hit_each 12, slow push until=apply,
    [wipe|roll_back], slow finish
    => closed 1
a push may end at any of its operations[| that is lost| that is unheard| that is cut]:
    hit /a, push until=any, [|step lost|step unheard|step cut], crash, wipe,
    hit /b, push until=any, [|step lost|step unheard|step cut], crash, wipe, hit /c => closed any
a batch that arrives again later counts once:
    hit /a, push, hit /b, push, deliver 0 DUP, deliver 1 DUP, rest, deliver 0 DUP
a retry does not enter a generation that it would begin:
    hit /a, push until=apply, finish unheard, flush, wipe => closed 1
a retry does not enter the generation of others:
    hit /a, push until=apply, finish unheard, flush, wipe, two hit /b, two push => closed 1
a late duplicate does not enter another generation:
    hit /a, push, rest, wipe, deliver 0 GEN
a batch that was flushed before its answer is let go at once:
    hit /a, push until=apply, finish unheard, flush, push, idle
a batch refused for want of memory is refused whole:
    hit /a, push, hit_each 20, memory 1, push_refused, flush writes=1, push_refused, memory 0

# --- Redis goes back in time, or loses keys ---
a rollback is noticed by the next batch:
    hit /a, push, save, hit /b, push, roll_back, hit /c => closed 1
a rollback is noticed without traffic:
    hit /a, push, save, hit /b, push, roll_back, check => closed 1
a loss is noticed without traffic:
    hit /a 2, push, wipe, check, rows /a=2 => totals visits=1 engaged=1 visitors=1, closed 1
visits of a batch whose answer was lost survive:
    hit /a 2, push until=apply, finish unheard, push, wipe => totals visits=1 engaged=1, closed 1
batches that a flush brought are not settled again:
    hit /a, push, flush, wipe, check => closed 1
batches are kept until their own seal is in the database:
    hit /a, push, flush, hit /b, push, check, wipe => closed 1
a settlement whose fate is unknown may be repeated:
    hit /a, push, wipe, check until=settle, finish unheard => visitors 1, closed 1
a seal that is lost breaks the chain:
    hit /a, push, flush until=write_seal, crash, hit /b, push, evict sealed => closed 1
a seal that is lost while nothing is live is noticed:
    hit /a, push, flush until=write_seal, crash, evict sealed => closed 1
a seal that comes back after later ones is not applied:
    hit /a, push, flush until=write_seal, save, finish, hit /b, push, flush, roll_back, flush => closed 1
a generation that was settled is not counted when it comes back:
    hit /a, push, save, wipe, check, rows /a=1, roll_back, reads /a=1, flush => closed 1
a seal of a settled generation is not counted when it comes back:
    hit /a, push, flush until=write_seal, crash, save, wipe, check, roll_back, reads /a=1 => closed 1
a worker is a stranger when its old generation comes back:
    hit /a, push, save, hit /b, push, wipe, check, roll_back, hit /c, push => closed 1
others' counts are saved before a generation is closed:
    dead hit /dead, dead push, dead kill, hit /a, push, save, hit /b, push, roll_back, check => closed 1
a settled generation takes no new batches:
    hit /a, push, save, hit /b, push, roll_back, hit /c, push until=settle, roll_back, finish, hit /d, push,
    reads /a=1 /b=1 /c=1 /d=1 => closed 1
visitors whose sketch was lost are sent again:
    hit /a, hit /a visitor=bob, hit /a visitor=cy, push, wipe => visitors 3, closed 1
visitors before and after a loss are one crowd:
    hit /a, hit /a visitor=bob, rest, wipe, hit /a visitor=bob, hit /a visitor=cy, rest, visitors 3 => closed 1
a corrupt sketch in Redis ([garbage|dense|sparse]) is left out and stops nothing:
    hit /a, push, corrupt [garbage|dense|sparse], hit /0 visitor=bob, rest, visitors 1, hit /1 visitor=cy => visitors 2
any key may be evicted ([live|sealed|uniques|visits|present|live and sealed|batches|sealed batches]):
    hit /a, push, flush until=get, crash, hit /b, push,
    evict [live|sealed|uniques|visits|present|live sealed|batches|sealed_batches], hit /c => closed [1|1|0|0|0|1|1|1]
batches that are damaged as a whole are sent again ([batches|sealed_batches]):
    hit /a, push, flush until=get, crash, hit /b, push, damage [batches|sealed_batches], hit /c => closed 1
batches that are evicted are noticed by the next one:
    hit /a, push, evict batches, hit /b, push, closed 1 => closed 1
batches that are evicted while a flush reads them are sent again:
    hit /a, push, flush until=batches, evict sealed_batches, finish => closed 1
batches joined to save memory are settled whole:
    bound retained 17, hit /a, push, hit /b, push, hit /c, push, spans 2 1, wipe => closed 1
joined batches of which Redis has a part never count twice:
    inexact, bound retained 11, hit /a, push, save, hit /b, push, roll_back
    => rows /a=1, ledger dropped_joined=2, closed 1
joined batches keep visits whose answer was lost:
    bound retained 16, hit /a, push until=apply, finish unheard, push, hit /b, push, wipe => totals visits=1, closed 1

# --- flushes that meet, and flushes that die ---
a flush may die before any of its operations:
    hit /a, push, flush until=any, crash, hit /late, push, flush, complete, flush writes=0
a flush may go on after any operation that is [lost|unheard|cut]:
    hit /a, push, flush until=any, finish [lost|unheard|cut], flush, complete
two flushes may meet at any operation of the one and after [0|3|6|9|12|15] of the other:
    hit /a, push, late flush until=any, other flush until=seal, other step n=[0|3|6|9|12|15], hit /b, push,
    late finish, other finish, flush, complete
a wipe at any operation of a flush loses no visitor of written views:
    inexact, dead hit /a, dead push, dead kill, flush until=any, wipe, finish => visitors_as_views
a wipe at any operation of a flush costs living workers nothing:
    hit /a, push, flush until=any, wipe, finish => visitors 1, closed any
a rollback at any operation of a flush costs living workers nothing:
    hit /a, push, save, hit /b, push, flush until=any, roll_back, finish => closed any
a seal that waits is not sealed over:
    hit /a, push, flush until=write_seal, crash, hit /b, push
a flush never mixes two seals:
    hit_each 12 visitor=, push, slow flush until=batches, slow step, slow at batches, evict sealed,
    hit_each 12 100 visitor=, push, flush until=write_seal, crash, slow finish => closed 1
batches that wait for a database that is away are added up:
    bound sums 2, hit /a, push, down flush until=write_seal, hit /a, push, hit /b, push, two hit /b visitor=bob,
    two push, down finish lost, waiting 1, reads /a=2 /b=2, hit /c, push, waiting 2, reads /a=2 /b=2 /c=1
    => totals visits=2
a read knows that batches were added up:
    bound sums 1, hit /a, push, down flush until=write_seal, hit /a, push, hit /b, push, reads /a=2 /b=1,
    down finish lost, hit /c, push, reads /a=2 /b=1 /c=1
batches that are added up while others come are not lost:
    bound sums 1, hit /a, push, down flush until=write_seal, hit /a, push, hit /b, push, down step lost, down reach sum,
    hit /c, push, down fail, waiting 2
batches that two add up count once:
    bound sums 1, hit /a, push, down flush until=write_seal, hit /a, push, hit /b, push, down step lost, down reach sum,
    two flush until=write_seal, two step lost, two reach sum, two fail, hit /c, push, hit /c, push, down fail, waiting 3
batches that were sealed before they are added up stay as they are:
    bound sums 1, hit /a, push, down flush until=write_seal, hit /a, push, hit /b, push, down step lost, down reach sum,
    flush, hit /d, push, hit /e, push, down fail, waiting 2
a flush that died after its commit is completed:
    hit /a, push, flush until=done, crash, dead hit /b, dead push, dead kill
a late DONE does not delete the next seal:
    hit /a, push, late flush until=done, flush, hit /b, push, other flush until=batches, late finish, other finish
a late DONE frees no batch that the database has not:
    hit /a, push, late flush until=done, flush, hit /b, push, flush until=write_seal, crash, evict sealed,
    late step, check, late finish => closed 1
a late DROP does not delete the next generation:
    hit /a, push, flush until=write_seal, crash, evict sealed, late flush until=drop, wipe,
    dead hit /b, dead push, dead kill, late finish => closed 1
a flush that was overtaken drops nothing:
    hit /a, push, slow flush until=write_seal, flush, hit /b, push, flush, dead hit /c, dead push, dead kill,
    slow finish
a chain that heals while a flush doubts it is not dropped:
    hit /a, push, slow flush until=write_seal, evict sealed, dead hit /b, dead push, dead kill,
    doubting flush until=last_seal, slow step, doubting finish, slow finish

# --- the visit log; wherever rows are exact, it tells just the views of the acknowledged batches ---
the log tells the views that reach the database:
    hit /a 3, two hit /a visitor=, two hit /b 2 visitor=bob, push, two push, flush, hit /c, push
    => logged /a=4 /b=2 /c=1
the log of a waiting seal is not replaced:
    hit /a, push, flush until=write_seal, crash, hit /b, push, flush => logged /a=1 /b=1, ledger
a log that is evicted alone costs no counter and is told ([log|sealed_log]):
    hit /a 2, push, flush until=log, crash, hit /b 2, push, evict [log|sealed_log] => ledger log_lost=2
a log that is evicted between two batches keeps the second:
    hit /a, push, evict log, hit /b, push => logged /b=1, ledger log_lost=1
a log that is damaged costs no counter and is told ([log|sealed_log]):
    hit /a 2, push, flush until=log, crash, hit /b 2, push, damage [log|sealed_log] => ledger log_lost=2
a log that is damaged takes the next batch:
    hit /a, push, damage log, hit /b, push => logged /b=1, ledger log_lost=1
what is left of a log whose counters are lost is not told ([log|sealed_log]):
    stale [log|sealed_log], hit /a, push, evict visits => logged /a=1, ledger
a log whose counters are evicted is told once:
    hit /a, push, evict live, two hit /b, two push, flush => logged /a=1 /b=1, closed 1
a log is never that of another seal:
    hit /a, push, slow flush until=log, evict sealed, hit /b, push, flush until=write_seal, crash, slow finish
    => logged /a=1 /b=1, closed 1
a batch that arrives again later is told once:
    hit /a, push, hit /b, push, deliver 0 DUP, deliver 1 DUP => logged /a=1 /b=1, ledger
batches that a flush brought are not told again when they are settled:
    hit /a, push, flush, hit /b, push until=apply, finish unheard, wipe => logged /a=1 /b=1, closed 1
a batch tells the views that it counts:
    bound batch 4, bound together 1, slow hit_each 3 4 visitor=v{}, slow push until=apply, slow step, flush, slow step,
    flush, slow step, flush, slow finish
joined batches are told whole:
    bound retained 17, hit /a, push, hit /b, push, hit /c, push, spans 2 1, wipe => logged /a=1 /b=1 /c=1, closed 1
joined batches whose log would be too large are counted:
    bound retained 17, bound joined_log 100, hit /a, push, hit /b, push, hit /c, push, spans 2 1, wipe
    => logged /a=1 /c=1, ledger log_dropped=1, closed 1
a log in Redis above its bound is counted:
    bound log 300, hit /a, push, hit /b, push, hit_each 4 9, push => logged /a=1 /b=1, ledger log_dropped=36
a log in Redis above its bound is whole when the counters are settled:
    bound log 0, hit /a, push, wipe => logged /a=1, ledger, closed 1

# --- days ---
a past day that is flushed leaves nothing in Redis but its salt:
    hit /a, rest, tomorrow, hit /b, hit /late back=1, rest, flush_pending, flush_pending, complete,
    keys salt day=2026-03-10, hit /later back=1 => closed 1
a past day whose generation was given up leaves nothing in Redis but its salt:
    hit /a back=1, push, redis down, stop, redis up, flush_pending, flush_pending, complete, keys salt => closed 1
a day that a batch just reached is not retired:
    hit /a back=1, rest, slow flush back=1 retire=yes until=retire, hit /b back=1, push, slow finish,
    flush back=1, complete
a day with a seal is not retired:
    hit /a back=1, rest, slow flush back=1 retire=yes until=retire, hit /b back=1, push,
    flush back=1 until=get, crash, slow finish
views of a day that nobody accepts are dropped and counted:
    inexact, hit /a, hit /old 3 back=20 => rows /a=1, ledger dropped_day=3

# --- the end of a worker ---
a stopping worker brings what arrives while it stops:
    hit /a, stop until=write_seal, hit /b, finish, complete
a stopping worker whose flush finds the chain broken settles:
    hit /a, push, flush until=write_seal, crash, evict sealed, hit /b visitor=bob, stop, complete
    => visitors 2, closed 1
a worker that stops without Redis writes all to the database:
    hit /sent, two hit /sent, push, hit /unsent 2, two hit /unsent 2, hit /yesterday back=1,
    two hit /yesterday back=1, redis down, stop, two stop, redis up, flush, complete => closed 4
a worker that stops without Redis brings what arrives while it stops:
    hit /a, redis down, stop until=settle, hit /a, hit /yesterday back=1, finish, complete, redis up => closed 3
a worker that stops without Redis knows what Redis took unheard:
    hit /a, push until=apply, finish unheard, flush, hit /b, redis down, stop, redis up, flush, complete => closed 1
a worker that could not stop without both stores goes on:
    hit /a, push, hit /b, redis down, stop until=settle, finish lost, redis up, hit /c => closed 1
a worker that could not stop goes on in a day that is new to it:
    hit /b, redis down, stop until=settle, finish lost, redis up, hit /c => closed 1
a worker that could not stop goes on without traffic:
    hit /a, redis down, stop until=settle, finish lost, redis up => closed 1
a worker that could not stop keeps what Redis took unheard:
    hit /a, push until=apply, finish unheard, redis down, stop until=settle, finish lost, redis up,
    push, check, wipe => closed 1

# --- reads ---
a read adds what is live and what is sealed:
    hit /a, push, flush, hit /b, push, flush until=write_seal, crash, hit /c, push, reads /a=1 /b=1 /c=1
a read counts nothing twice whose parts are of two moments:
    hit /a, push, seal_after again, reads /a=1, flush
a read counts nothing twice when a flush follows its look at Redis:
    hit /a, push, flush_after read, reads /a=1, hit /a, push, flush_after read, reads /a=2
a read counts nothing twice when a flush died after its commit:
    hit /a, push, flush until=done, crash, hit /a, push, reads /a=2
a read counts nothing twice when a flush comes before its rows:
    hit /a, push, reads_again /a=1
a read does not count an older state of Redis:
    hit /a, push, save, flush, hit /b, push, flush, roll_back, reads /a=1 /b=1 => closed 1
a read does not count an older seal:
    hit /a, push, flush until=write_seal, crash, save, flush, hit /b, push, flush, roll_back, reads /a=1 /b=1
    => closed 1
a read without Redis says what the database has:
    hit /a, push, flush, hit /a, push, redis down, reads /a=1, redis up
a row made by hand is overridden by a larger count:
    inexact, row /small 2, row /large 50, hit /small 5, hit /large 5, push, reads /large=50 /small=5, flush,
    rows /large=50 /small=5, reads /large=50 /small=5, totals views=55, hit /large, push, reads /large=51 /small=5
    => rows /large=51 /small=5
a row made by hand is overridden by all batches settled together:
    inexact, row /large 50, hit /large 5, push, hit /large 5, push, hit /large 5, push, wipe, check
    => rows /large=50, closed 1

# --- caps ---
paths above the cap are counted as other:
    inexact, bound paths 3, hit_each 4, push, two hit_each 5 under=/two/, two push, flush, hit_each 6 under=/new/,
    push
    => adds_up 15 values=4, totals views=15
a cap holds within one part and sums stay exact:
    inexact, bound paths 3, hit_each 10, push, adds_up 10 values=4 => adds_up 10 values=4
a cap of one dimension leaves the others alone:
    bound values 2, hit_each 6 visitor=v{}, push, flush, hit /again => adds_up 7 values=3 dimension=entry
memory above its bound is counted as other:
    inexact, bound memory 8, hit_each 30 visitor= => adds_up 30 values=9
""")


@pytest.mark.parametrize("claim", SCENARIOS)
async def test_scenario(claim: str, redis_server: RedisServer, transactional_db: None) -> None:
    await play(SCENARIOS[claim], redis_server)


async def test_a_corrupt_sketch_in_the_database_is_left_out_and_stops_nothing(
    redis_server: RedisServer, transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with World(redis_server.url) as world:
        DayTotals.objects.create(date=TODAY, sketch=b"garbage", visitors=5)
        worker = world.worker()
        worker.hit("/a")
        await settle_down(world, [worker])
        world.check_complete()
        assert "is refused" in caplog.text
        assert world.visitors() == 5
        worker.hit("/a", "bob")
        await settle_down(world, [worker])
        assert len(DayTotals.objects.get().sketch or b"") == sketch.SKETCH_BYTES
