"""The records of claims in Redis."""

from __future__ import annotations

from codex_tracking.store.claims import Question, decide
from codex_tracking.store.keys import day_keys
from codex_tracking.store.loops import close_store, get_store

DAY = "2026-03-03"


async def test_a_page_has_one_record_that_counts_its_claims(store: str) -> None:
    live = get_store()
    # Two pages that share a field, as their last three letters are the same.
    pages = ["one_abc", "two_abc"] * 12
    for number, page in enumerate(pages, 1):
        questions = [Question(page, f"name{number:07}", number == 1)]
        assert await decide(live, DAY, "asker", number, questions) == ["f" if number == 1 else "n"]
    record = await live.client.hget(day_keys("tracking", DAY).claims, "pabc")
    # Twelve claims each: a digit more than at the first nine.
    assert record == b"|one_abc:1 12|two_abc:0 12"
    await close_store()
