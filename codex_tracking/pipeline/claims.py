"""The decision about claims, before they are counted like hits.

Each claim has a random name, and each page id one first load. Both are remembered in Redis for as long as an id is
valid, and one script (``lua/claim.lua``) looks and remembers at once, so that processes cannot disagree. The answer to
a question may be lost: it is asked again with the same number, and the script repeats the answer that it keeps for each
process. So a claim is decided once; then it is a hit, which rides in the numbered batches and is counted exactly once.

While Redis is away claims wait in memory, and above a bound the ledger counts those that are refused. When Redis loses
the day, a page's next load looks like its first, which adds no view: too few are counted rather than too many.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from django.utils import timezone

from codex_tracking.counters.buffer import Buffer
from codex_tracking.counters.claims import Outcome, WaitingClaim, outcome_of
from codex_tracking.hits.pages.claims import Refusal
from codex_tracking.hits.pages.ids import keyed_name

if TYPE_CHECKING:
    from codex_tracking.store.protocol import Store

MOST_AT_ONCE = 70
"""Claims of one question: about a millisecond of Redis."""
REFUSALS: dict[str, Refusal] = {"d": "claim_repeated", "x": "claim_excess", "o": "claim_excess"}
"""Letters of the script that refuse."""


class Asked(NamedTuple):
    """A question whose answer has not come."""

    day: str
    number: int
    claims: list[WaitingClaim]


class Claims:
    """Asks Redis about the claims that wait, and puts them into the buffer as hits.

    Args:
        buffer: where claims wait, and where hits go.
        asker: names this process; no other has the same.
    """

    def __init__(self, buffer: Buffer, asker: str) -> None:
        self._buffer = buffer
        self._asker = asker
        self._number = 0
        self._asked: list[Asked] = []

    @property
    def idle(self) -> bool:
        """Whether all claims are decided."""
        return not self._asked and not self._buffer.claims

    async def decide(self, store: Store) -> None:
        """Decide about all claims that wait.

        Raises:
            One of ``client.STORE_ERRORS``: Redis is away; nothing is lost, call again later.
        """
        if self.idle:
            return
        from codex_tracking.store.claims import Question, decide

        while self._asked or self._take():
            asked = self._asked[0]
            questions = [
                Question(_key_of(claim), keyed_name(_key_of(claim), claim.name), claim.kind == "load")
                for claim in asked.claims
            ]
            letters = await decide(store, asked.day, self._asker, asked.number, questions)
            del self._asked[0]
            for claim, letter in zip(asked.claims, letters, strict=True):
                self._put(claim, REFUSALS.get(letter) or _outcome_of(claim, letter == "f", asked.day))

    def decide_alone(self) -> None:
        """Decide without Redis, at a stop while it is away: as the browser says, and each load as the first one."""
        while self._asked or self._take():
            asked = self._asked.pop(0)
            for claim in asked.claims:
                self._put(claim, _outcome_of(claim, True, asked.day))

    def _take(self) -> bool:
        """Make questions of the oldest claims, one for each day of their pages; return whether there are any."""
        days: dict[str, list[WaitingClaim]] = {}
        for claim in self._buffer.claims.take(MOST_AT_ONCE):
            days.setdefault(_day_of(claim), []).append(claim)
        for day, claims in days.items():
            self._number += 1
            self._asked.append(Asked(day, self._number, claims))
        return bool(days)

    def _put(self, claim: WaitingClaim, name: str) -> None:
        self._buffer.put(claim.hit._replace(name=name))


def _key_of(claim: WaitingClaim) -> str:
    return claim.page.key if claim.page else ""


def _outcome_of(claim: WaitingClaim, is_first: bool, day: str) -> Outcome:
    return outcome_of(claim.kind, claim.page, is_first, _day_at(claim.hit.at) == day)


def _day_of(claim: WaitingClaim) -> str:
    return _day_at(claim.page.second if claim.page else claim.hit.at)


def _day_at(second: float) -> str:
    return datetime.fromtimestamp(second, timezone.get_default_timezone()).date().isoformat()
