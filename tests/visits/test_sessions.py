"""Visits: where they begin and end, and what belongs to none."""

from __future__ import annotations

import zlib
from datetime import date as Date

import pytest

from codex_tracking.counters.hit_log import BODY, EVENT, HEAD, NO_ORIGIN, VERSION, DamagedLog, join, told
from codex_tracking.visits.packing.hits import UNNAMED, DayHits
from tests.kit.hit_log import Row, encode, pack
from tests.kit.sessions import Visit, visits_in
from tests.kit.visit_log import BLOB, hits_of, visits_of

CLIENT = ("site.example", "", "", "", "", "Firefox", "Linux", "desktop")
DIRECT = ("direct", "", "", "", "", "", "", "")
SEARCH = ("search", "Google", "", "", "", "", "", "")
ANNA, BERT = b"a" * 16, b"b" * 16


def view(second: int, path: str = "/", visitor: bytes = ANNA, origin: tuple[str, ...] = DIRECT) -> Row:
    """Return a view."""
    return second, 0, visitor, told(*CLIENT), told(*origin), told(path, "", "", "")


def event(second: int, name: str = "buy", visitor: bytes = ANNA) -> Row:
    """Return an event."""
    return second, EVENT, visitor, told(*CLIENT), NO_ORIGIN, told("/", "", name, "")


def visits(*blobs: list[Row]) -> list[Visit]:
    """Return the visits of some blobs."""
    day = DayHits()
    day.add(join(map(pack, blobs)))
    return visits_in(day)


def spans(found: list[Visit]) -> list[tuple[int | None, int, int, int]]:
    """Return each visit's visitor, start, end and number of hits."""
    return [(visit.visitor, visit.start, visit.last, len(visit.acts)) for visit in found]


def test_a_visit_ends_after_a_gap_of_more_than_thirty_minutes() -> None:
    assert spans(visits([view(0), view(1_800), view(3_601)])) == [(0, 0, 1_800, 2), (0, 3_601, 3_601, 1)]


def test_an_event_goes_on_with_a_visit_and_begins_none() -> None:
    found = visits([view(0)], [event(1_800)], [event(3_700)], [view(3_600 - 1)])
    assert spans(found) == [(0, 0, 3_599, 3), (None, 3_700, 3_700, 1)]


def test_a_visit_has_the_source_of_the_view_that_was_counted_first() -> None:
    [visit] = visits([view(10, "/b/", origin=SEARCH)], [view(5, "/a/"), view(20, "/c/")])
    assert (visit.origin, visit.entry, visit.start, visit.last) == (SEARCH, "/b/", 10, 20)
    assert [act[0] for act in visit.acts] == ["/a/", "/b/", "/c/"]
    assert visit.seconds == [5, 10, 20]


def test_the_events_of_a_first_views_push_belong_to_its_visit() -> None:
    [visit] = visits([event(9, "a"), event(10, "b"), view(11, "/x/", origin=SEARCH)])
    assert (visit.start, visit.entry, visit.origin) == (9, "/x/", SEARCH)
    assert [act[2] for act in visit.acts] == ["a", "b", ""]
    # In another push nobody knew of the view yet.
    assert spans(visits([event(9)], [view(10)])) == [(None, 9, 9, 1), (0, 10, 10, 1)]
    assert spans(visits([event(0), view(1_801)])) == [(None, 0, 0, 1), (0, 1_801, 1_801, 1)]


def test_visitors_are_numbered_and_those_without_identity_are_alone() -> None:
    found = visits([view(0), view(1, visitor=BERT), view(2, visitor=b""), view(3, visitor=b""), view(4_000)])
    assert [visit.visitor for visit in found] == [0, 1, None, None, 0]
    day = DayHits()
    assert visits_in(day) == []
    day.add(join([pack([view(0), view(1, visitor=BERT)])]))
    assert [visit.visitor for visit in visits_in(day, 7)] == [7, 8]


def test_an_event_without_a_name_is_no_view() -> None:
    [visit] = visits([view(0), event(1, "")])
    assert [act[2] for act in visit.acts] == ["", UNNAMED.decode()]


@pytest.mark.parametrize("seed", range(5))
def test_columns_have_the_visits_of_the_plain_definition(seed: int) -> None:
    hits = hits_of(Date(2026, 3, 30), 2_000, seed)
    blobs = [encode(hits[start : start + BLOB]) for start in range(0, len(hits), BLOB)]
    day, *shares = DayHits(), *(DayHits(share, 3) for share in range(3))
    for some in (day, *shares):
        # A day has many parts.
        some.add(join(blobs[:7]))
        some.add(join(blobs[7:]))
    expected = visits_of(hits)
    for visit in expected:
        visit.late = False
    assert visits_in(day) == expected
    # Each visitor is in one share.
    spans = sorted((visit.start, visit.last, visit.acts) for visit in expected)
    assert sorted((v.start, v.last, v.acts) for some in shares for v in visits_in(some)) == spans
    numbers = [{visit.visitor for visit in visits_in(some)} - {None} for some in (*shares, day)]
    assert sum(map(len, numbers[:-1])) == len(numbers[-1])


@pytest.mark.parametrize("column", range(4))
def test_the_hits_before_a_damaged_blob_are_kept(column: int) -> None:
    sound = pack([view(0)])
    body = bytearray(zlib.decompress(pack([view(5)])[HEAD.size :]))
    # Of a second and a kind, then the indexes of a visitor, a client, an origin and an act.
    body[BODY.size + 2 + column] = 9
    bad = HEAD.pack(VERSION, 1) + zlib.compress(bytes(body))
    for damaged in (bad, sound[:-1]):
        day = DayHits()
        with pytest.raises(DamagedLog):
            day.add(join([sound, sound, damaged, sound]))
        assert spans(visits_in(day)) == [(0, 0, 0, 2)]
