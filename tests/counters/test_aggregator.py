"""Hits become counters: which ones, how they are bounded, and what one batch takes."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils import timezone
from pytest_django import Settings

from codex_tracking.counters import day_counts, dimensions, tally
from codex_tracking.counters import profiles as profiles_module
from codex_tracking.counters import views as views_module
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.batch import NO_VISITS, Batch, PackedVisits, Touch
from codex_tracking.counters.day_counts import (
    BATCH_BYTES,
    BATCH_FIELDS,
    BATCH_VISITORS,
    EMBEDDED_FIELDS,
    EMBEDDED_VISITORS,
)
from codex_tracking.counters.days import Clock, accepted_days
from codex_tracking.counters.fields import Counts, counter, first, total
from codex_tracking.counters.visits import encode, local_visits
from codex_tracking.hits.capture import answered
from codex_tracking.hits.hit import Hit, Secrets
from codex_tracking.hits.visitors import visitor_id
from codex_tracking.setting_rules import EMBEDDED
from codex_tracking.settings import TrackingSettings
from tests.kit.pipeline import FIREFOX, GOOGLEBOT, request_for, view

pytestmark = pytest.mark.usefixtures("berlin")

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC).timestamp()
DAY = "2026-03-03"
SALT = b"salt"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140."
REDIS = "redis://127.0.0.1:6379/0"


def counting(hits: Iterable[Hit], **settings: Any) -> Aggregator:
    """Return an aggregator that has counted these hits."""
    aggregator = Aggregator(TrackingSettings(**settings))
    for hit in hits:
        aggregator.add(hit)
    return aggregator


def at(seconds: float, path: str = "/", **changes: Any) -> Hit:
    """Return a view so many seconds after noon."""
    return view(path, at=NOON + seconds, **changes)


def event(name: str, seconds: float = 0.0, **changes: Any) -> Hit:
    """Return an event so many seconds after noon."""
    return at(seconds, **changes)._replace(kind="event", name=name)


def batches(aggregator: Aggregator, day: str = DAY, salt: bytes = SALT) -> list[Batch]:
    """Return all that waits."""
    found: list[Batch] = []
    while batch := aggregator.cut(day, "stream", len(found) + 1, salt):
        found.append(batch)
    return found


def counts(hits: Iterable[Hit], **settings: Any) -> Counts:
    """Return the counters of hits, and those of their visits when each pause of 30 minutes begins a new one."""
    (batch,) = batches(counting(hits, **settings))
    return batch.counts | local_visits(batch.visits)


# --- what is counted ---


def test_a_view_counts_its_path_and_hour() -> None:
    found = counts([at(0, "/a/"), at(1, "/a/"), at(2, "/b/")])
    assert (found[counter("path", "/a/")], found[counter("path", "/b/")]) == (2, 1)
    assert found[counter("hour", "13")] == 3


def test_a_view_counts_browser_system_device_and_language() -> None:
    found = counts([at(0, language="de-DE,de;q=0.9")])
    assert (found[counter("browser", "Firefox")], found[counter("device", "desktop")]) == (1, 1)
    assert found[counter("language", "de")] == 1
    assert [name for name in found if name.startswith("os:")]


def test_a_view_that_came_from_elsewhere_counts_its_source_and_the_page_with_it() -> None:
    found = counts([at(0, "/a/", referrer="https://www.google.com/")])
    assert (found[counter("source", "Google")], found[counter("channel", "search")]) == (1, 1)
    assert found[counter("page_source", "/a/\tGoogle")] == 1


def test_a_view_from_our_own_site_has_no_source() -> None:
    found = counts([at(0, "/a/", referrer="https://site.example/b/")])
    assert not [name for name in found if name.startswith(("source:", "page_source:", "channel:"))]


def test_a_bot_counts_as_excluded_and_by_name_and_is_nobodys_visit() -> None:
    found = counts([at(0, agent=GOOGLEBOT), at(1, agent=GOOGLEBOT)])
    assert found == {counter("excluded", "bot"): 2, counter("bot", "Googlebot"): 2}


def test_bots_are_decided_by_settings() -> None:
    assert counts([at(0)], bot_deny=("Firefox/140",))[counter("excluded", "bot")] == 1
    assert counts([at(0, agent=GOOGLEBOT)], bot_allow=("Googlebot",))[counter("path", "/")] == 1


def test_exclusions_count_by_reason() -> None:
    hits = [at(0)._replace(kind="excluded", name=name) for name in ("prefix", "prefix", "method")]
    assert counts(hits) == {counter("excluded", "prefix"): 2, counter("excluded", "method"): 1}


def test_paths_are_stored_without_secrets() -> None:
    found = counts([at(0, "/reset/MQ/abc-123/", secrets=(("uidb64", "MQ"), ("token", "abc-123")))])
    assert found[counter("path", "/reset/<uidb64>/<token>/")] == 1
    assert not [name for name in found if "abc-123" in name]


@pytest.mark.parametrize(
    ("path", "stored"), [("/a\x00b", "(invalid)"), ("//evil.example/", "/evil.example/"), ("/" + "a" * 3_000, "(long)")]
)
def test_paths_nobody_should_store_still_count(path: str, stored: str) -> None:
    assert counts([at(0, path)])[counter("path", stored)] == 1


def test_user_text_can_never_form_a_header_field() -> None:
    found = counts([at(0, "#g"), at(0, "/#w:x", referrer="https://#n/", route="#s", view="#k")])
    assert not [name for name in found if name.startswith("#")]


# --- visits ---


def test_views_with_pauses_under_half_an_hour_are_one_visit() -> None:
    found = counts([at(0), at(1_800), at(3_600)])
    assert (found[total("visits")], found[total("engaged")], found[total("seconds")]) == (1, 1, 3_600)


def test_a_pause_over_half_an_hour_begins_another_visit() -> None:
    found = counts([at(0), at(1_801)])
    assert found[total("visits")] == 2
    assert total("engaged") not in found
    assert total("seconds") not in found


def test_a_visit_with_one_view_is_a_bounce() -> None:
    found = counts([at(0)])
    assert found[total("visits")] == 1
    assert total("engaged") not in found


def test_an_event_makes_a_visit_of_one_view_engaged() -> None:
    assert counts([at(0), event("signup", 5)])[total("engaged")] == 1


def test_an_event_alone_is_no_visit() -> None:
    found = counts([event("signup")])
    assert found[counter("event", "signup")] == 1
    assert total("visits") not in found


def test_an_event_counts_each_time_and_each_visit_once() -> None:
    found = counts([at(0), event("play", 1), event("play", 2)])
    assert (found[counter("event", "play")], found[first(counter("event", "play"))]) == (2, 1)


def test_an_event_with_a_value_counts_the_value_too() -> None:
    found = counts([event("search", value="shoes")])
    assert (found[counter("event", "search")], found[counter("event_value", "search\tshoes")]) == (1, 1)


def test_the_first_page_of_a_visit_is_its_entry() -> None:
    found = counts([at(0, "/a/"), at(1, "/b/")])
    assert found[first(counter("entry", "/a/"))] == 1
    assert first(counter("entry", "/b/")) not in found


def test_the_source_of_a_visit_is_that_of_its_first_view() -> None:
    google, bing = "https://www.google.com/", "https://www.bing.com/"
    found = counts([at(0, referrer=google), at(1, referrer=bing)])
    assert found[first(counter("source", "Google"))] == 1
    assert first(counter("source", "Bing")) not in found
    assert found[counter("source", "Bing")] == 1


def test_a_visit_from_nowhere_is_direct() -> None:
    assert counts([at(0)])[first(counter("channel", "direct"))] == 1


def test_each_page_counts_a_visitor_once() -> None:
    other = {"address": "192.0.2.9"}
    found = counts([at(0, "/a/"), at(1, "/a/"), at(2, "/b/"), at(3, "/a/", **other)])
    assert (found[first(counter("path", "/a/"))], found[first(counter("path", "/b/"))]) == (2, 1)


def test_views_that_arrive_out_of_order_are_one_visit() -> None:
    found = counts([at(60), at(0)])
    assert (found[total("visits")], found[total("seconds")]) == (1, 60)


def test_an_opted_out_visitor_counts_as_a_view_and_as_nobody() -> None:
    (batch,) = batches(counting([at(0, "/a/", anonymous=True)]))
    assert batch.counts[counter("path", "/a/")] == 1
    assert (batch.ids, batch.visits) == ((), NO_VISITS)


def test_a_user_is_one_visitor_whatever_the_address() -> None:
    (batch,) = batches(counting([at(0, user="7"), at(1, user="7", address="192.0.2.9")]))
    assert len(batch.ids) == 1


def test_a_visitor_is_another_one_under_another_salt() -> None:
    one, other = (batches(counting([at(0)]), salt=salt)[0].ids for salt in (b"one", b"other"))
    assert one != other


# --- day and hour ---


@pytest.mark.parametrize(
    ("moment", "day", "hour"),
    [
        ("2026-03-03T22:59:59+00:00", "2026-03-03", "23"),
        ("2026-03-03T23:00:00+00:00", "2026-03-04", "00"),
        ("2026-03-29T00:59:59+00:00", "2026-03-29", "01"),  # The hour from 2 to 3 does not exist.
        ("2026-03-29T01:00:00+00:00", "2026-03-29", "03"),
        ("2026-10-25T00:30:00+00:00", "2026-10-25", "02"),  # The hour from 2 to 3 exists twice.
        ("2026-10-25T01:30:00+00:00", "2026-10-25", "02"),
    ],
)
def test_the_clock_tells_the_sites_time(moment: str, day: str, hour: str) -> None:
    second = datetime.fromisoformat(moment).timestamp()
    clock = Clock()
    clock.read(second - 1)
    assert clock.read(second) == (day, hour)
    assert Clock().read(second) == (day, hour)


def test_a_clock_that_changes_a_minute_after_midnight_tells_the_right_day(settings: Settings) -> None:
    settings.TIME_ZONE = "America/St_Johns"
    clock = Clock()
    moments = ("2010-11-07T02:30:30", "2010-11-07T02:31:00", "2010-11-07T02:40:00", "2010-11-07T03:30:00")
    read = [clock.read(datetime.fromisoformat(f"{moment}+00:00").timestamp()) for moment in moments]
    assert read == [("2010-11-07", "00"), ("2010-11-06", "23"), ("2010-11-06", "23"), ("2010-11-07", "00")]


def test_the_clock_goes_back_too() -> None:
    clock = Clock()
    assert clock.read(NOON)[1] == "13"
    assert clock.read(NOON - 7_200)[1] == "11"


def test_hits_around_midnight_go_to_two_days() -> None:
    midnight = datetime(2026, 3, 3, 23, tzinfo=UTC).timestamp()
    aggregator = counting([view(at=midnight - 0.001), view(at=midnight)])
    assert {day: batches(aggregator, day)[0].counts[counter("path", "/")] for day in ("2026-03-03", "2026-03-04")} == {
        "2026-03-03": 1,
        "2026-03-04": 1,
    }


def test_eight_days_back_and_one_ahead_are_accepted() -> None:
    days = accepted_days("2026-03-03")
    assert (days[0], days[-1], len(days)) == ("2026-02-23", "2026-03-04", 10)


# --- bounds ---


def test_above_the_bound_fields_become_other_and_sums_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_FIELDS", 30)
    aggregator = counting(at(0, f"/{n}/", anonymous=True) for n in range(100))
    found = [batch.counts for batch in batches(aggregator)]
    paths = {name: n for part in found for name, n in part.items() if name.startswith("p:")}
    assert sum(paths.values()) == 100
    assert paths[counter("path", "(other)")] > 50
    assert sum(map(len, found)) <= 30 + len({"p", "hour", "minute", "browser", "os", "device"})


def test_many_sets_of_counters_lose_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_module, "MOST_SETS", 3)
    (batch,) = batches(counting(at(n, route=f"r{n % 10}/", anonymous=True) for n in range(100)))
    assert {name: n for name, n in batch.counts.items() if name.startswith("route:")} == {
        counter("route", f"r{n}/"): 10 for n in range(10)
    }
    assert batch.counts[counter("browser", "Firefox")] == batch.counts[counter("path", "/")] == 100


def test_two_long_values_fit_into_the_smallest_index_of_the_databases() -> None:
    long = at(0, "/" + "\U0001d4b3" * 499, query="ref=" + "\U0001d4b3" * 199, anonymous=True)
    (batch,) = batches(counting([long]))
    (pair,) = [name.partition(":")[2] for name in batch.counts if name.startswith("page_source:")]
    assert 2_500 < len(pair.encode()) <= 2_600


def test_room_comes_back_when_a_batch_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_FIELDS", 30)
    aggregator = counting(at(0, f"/{n}/", anonymous=True) for n in range(100))
    batches(aggregator)
    aggregator.add(at(0, "/new/", anonymous=True))
    assert batches(aggregator)[0].counts[counter("path", "/new/")] == 1


def test_no_address_is_left_in_memory_when_all_is_pushed() -> None:
    aggregator = counting([at(0, address="192.0.2.77"), event("signup", 1, address="192.0.2.78")])
    assert b"192.0.2.7" in pickle.dumps(aggregator)
    batches(aggregator)
    assert b"192.0.2.7" not in pickle.dumps(aggregator)


def test_no_address_is_left_of_the_visit_log_either() -> None:
    aggregator = counting([at(0, address="192.0.2.77")], visit_log_days=1)
    assert b"192.0.2.7" in pickle.dumps(aggregator)
    batches(aggregator)
    assert b"192.0.2.7" not in pickle.dumps(aggregator)


def test_a_visitor_keeps_its_id_from_push_to_push_until_the_salt_is_another() -> None:
    aggregator, ids = Aggregator(TrackingSettings()), []
    for salt in (b"one", b"one", b"other", b"one"):
        aggregator.add(at(0, user="7"))
        ids += [who for batch in batches(aggregator, salt=salt) for who in batch.ids]
    assert ids == [visitor_id("u\x007", salt) for salt in (b"one", b"one", b"other", b"one")]


def test_the_salt_may_become_another_while_visitors_wait() -> None:
    aggregator = counting([at(0, user="7")])
    batches(aggregator, salt=b"one")
    aggregator.add(at(1, user="7"))
    (batch,) = batches(aggregator, salt=b"other")
    assert batch.ids == (visitor_id("u\x007", b"other"),)


def test_clients_and_visitors_are_remembered_in_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles_module, "MOST_CLIENTS", 3)
    aggregator, found = Aggregator(TrackingSettings()), list[str]()
    for number in (*range(10), *range(10)):
        aggregator.add(at(number, user=str(number)))
        found += [who for batch in batches(aggregator) for who in batch.ids]
        assert len(aggregator._profiles.known) <= 3
        assert len(aggregator._profiles._ids) <= 3
    assert found == [visitor_id(f"u\0{number}", SALT) for number in range(10)] * 2


def test_visitors_above_the_bound_are_dropped_and_counted_and_their_views_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_VISITORS", 3)
    (batch,) = batches(counting(at(0, address=f"192.0.2.{n}") for n in range(10)))
    assert len(batch.ids) == 3
    assert batch.counts[counter("ledger", "dropped_visitor")] == 7
    assert batch.counts[counter("path", "/")] == 10


def test_a_discarded_day_says_how_many_views_it_had() -> None:
    aggregator = counting([at(0), at(1), at(2, agent=GOOGLEBOT)])
    assert aggregator.discard(DAY) == 2
    assert batches(aggregator) == []


# --- batches ---


def test_nothing_waiting_makes_no_batch() -> None:
    assert counting([]).cut(DAY, "stream", 1, SALT) is None


@pytest.mark.parametrize(("url", "most"), [(REDIS, BATCH_FIELDS), (EMBEDDED, EMBEDDED_FIELDS)])
def test_a_batch_holds_at_most_so_many_fields_and_none_is_lost(url: str, most: int) -> None:
    hits = [at(0, f"/{n}/", anonymous=True) for n in range(2 * most)]
    found = batches(counting(hits, redis_url=url))
    assert all(len(batch.counts) <= most for batch in found)
    assert sum(n for batch in found for name, n in batch.counts.items() if name.startswith("p:")) == 2 * most


@pytest.mark.parametrize("letter", ["a", "ü", "\U0001f600"])
def test_a_batch_holds_at_most_so_many_bytes(letter: str) -> None:
    hits = [at(0, f"/{n:04}" + letter * 480, route=letter * 400, address=f"192.0.2.{n}") for n in range(250)]
    found = batches(counting(hits, redis_url=REDIS))
    assert all(sum(len(name.encode()) for name in batch.counts) <= BATCH_BYTES for batch in found)
    assert sum(n for batch in found for name, n in batch.counts.items() if name.startswith("p:")) == 250


def size(batch: Batch) -> int:
    """Return the bytes that a batch sends."""
    texts = (*batch.counts, *map(str, batch.counts.values()), *batch.ids)
    return sum(len(text.encode()) for text in texts) + batch.visits.size


def test_a_batch_of_visitors_who_saw_many_pages_stays_below_256_kilobytes() -> None:
    hits = [at(m, f"/{n}/{m}/" + "ü" * 480, user=str(n)) for n in range(40) for m in range(64)]
    found = batches(counting(hits, redis_url=REDIS))
    assert max(map(size, found)) < 256 * 1024
    assert sum(local_visits(batch.visits).get(total("visits"), 0) for batch in found) == 40
    assert sum(n for batch in found for name, n in batch.counts.items() if name.startswith("p:")) == 40 * 64
    assert len({visitor for batch in found for visitor in batch.ids}) == 40


def test_no_more_text_is_made_at_once_than_a_batch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[PackedVisits] = []

    def note(visits: list[tuple[str, Touch]]) -> PackedVisits:
        made.append(encode(visits))
        return made[-1]

    monkeypatch.setattr(day_counts, "encode", note)
    batches(
        counting([at(m, f"/{n}/{m}/" + "ü" * 480, user=str(n)) for n in range(250) for m in range(32)], redis_url=REDIS)
    )
    assert BATCH_BYTES / 4 < max(visits.size for visits in made) < 3 * BATCH_BYTES


def test_one_visitor_with_many_visits_fits_into_batches_too() -> None:
    hits = [at(-3_600 * hour + m, f"/{hour}/{m}/" + "ü" * 480) for hour in range(8, 0, -1) for m in range(64)]
    found = batches(counting(hits, redis_url=REDIS))
    assert max(map(size, found)) < 256 * 1024
    assert sum(local_visits(batch.visits).get(total("visits"), 0) for batch in found) == 8
    assert {len(batch.ids) for batch in found} <= {0, 1}


@pytest.mark.parametrize(("url", "most"), [(REDIS, BATCH_VISITORS), (EMBEDDED, EMBEDDED_VISITORS)])
def test_a_batch_holds_at_most_so_many_visitors(url: str, most: int) -> None:
    found = batches(counting([at(0, user=str(n)) for n in range(most + 1)], redis_url=url))
    assert [len(batch.ids) for batch in found] == [most, 1]


def test_visitors_wait_for_the_salt_while_counters_go_out() -> None:
    aggregator = counting([at(0)])
    unsalted = batches(aggregator, salt=b"")
    assert [batch.ids for batch in unsalted] == [()]
    assert unsalted[0].counts[counter("path", "/")] == 1
    (salted,) = batches(aggregator)
    assert len(salted.ids) == 1
    assert salted.counts == {}


def test_a_batch_knows_when_its_oldest_hit_happened() -> None:
    (batch,) = batches(counting([at(5), at(0), at(9)]))
    assert batch.oldest == int(NOON)


def test_visitors_that_redis_lost_are_sent_again_without_their_visits() -> None:
    aggregator = counting([])
    aggregator.requeue(DAY, ["one", "other"])
    (batch,) = batches(aggregator)
    assert set(batch.ids) == {"one", "other"}
    assert batch.visits == NO_VISITS


def test_a_note_is_an_entry_of_the_days_ledger() -> None:
    aggregator = counting([])
    for _ in range(2):
        aggregator.note(DAY, "dropped_day", 3)
    assert batches(aggregator)[0].counts == {counter("ledger", "dropped_day"): 6}


def test_the_site_decides_about_the_day_even_where_a_view_activated_another_zone() -> None:
    late = datetime(2026, 3, 3, 23, 30, tzinfo=UTC).timestamp()
    with timezone.override("America/New_York"):
        assert batches(counting([view(at=late)]), "2026-03-04")


def test_each_view_counts_in_its_own_hour_and_minute_in_whatever_order_it_comes() -> None:
    # The first view of each pair is an event's touch that becomes a visit's begin, which asks for an earlier hour.
    hits = [event("opened", -10), at(3700), event("saved", 3700 - 1700), at(3700), at(0), at(3700), at(0)]
    found = counts(hits)
    assert (found[counter("hour", "13")], found[counter("hour", "14")]) == (2, 3)
    minutes = {field: n for field, n in found.items() if field.startswith("minute:")}
    assert sorted(minutes.values()) == [2, 3]


# --- what the caches keep ---


@pytest.mark.parametrize("secrets", [(), (("token", "s3cret" * 20),)])
def test_no_cache_keeps_a_secret_or_a_long_path(secrets: Secrets) -> None:
    before = dimensions._known_page.cache_info().currsize
    path = f"/k/{'s3cret' * 20}/" if secrets else "/" + "a" * 300
    counts([at(0, path, secrets=secrets)])
    assert dimensions._known_page.cache_info().currsize == before


def test_no_cache_keeps_a_long_referrer() -> None:
    before = dimensions._known_origin.cache_info().currsize
    found = counts([at(0, referrer="https://other.example/" + "a" * 600)])
    assert [name for name in found if name.startswith("referrer:other.example/aaa")]
    assert dimensions._known_origin.cache_info().currsize == before


# --- bytes ---


@pytest.mark.parametrize("letter", ["a", "\U0001f600"])
def test_what_waits_takes_a_bounded_number_of_bytes(letter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_BYTES", 1_000_000)
    hits = [at(0, f"/{n}/{m}/" + letter * 480, user=str(n)) for m in range(8) for n in range(800)]
    tracemalloc.start()
    try:
        aggregator = counting(hits)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # Half a megabyte besides is in the caches.
    assert kept < 2_000_000
    assert aggregator.weight < 1_010_000
    found = [batch.counts for batch in batches(aggregator)]
    sums = {name: sum(part.get(name, 0) for part in found) for part in found for name in part}
    assert sum(n for name, n in sums.items() if name.startswith("p:")) == 6_400
    assert sums[counter("path", "(other)")] > 1_000
    assert sums[counter("ledger", "dropped_page")] > 100
    assert sums[counter("ledger", "dropped_visitor")] + sums[counter("ledger", "dropped_page")] > 1_000


def test_the_room_in_bytes_comes_back_when_batches_are_taken() -> None:
    hits = [at(m, f"/{n}/{m}/", user=str(n)) for m in (0, 1, 5_000) for n in range(600)]
    aggregator = counting([*hits, event("signup", 5_001, user="1")])
    assert aggregator.weight > 600_000
    batches(aggregator)
    assert aggregator.weight == 0
    aggregator = counting(hits)
    aggregator.discard(DAY)
    assert aggregator.weight == 0


# --- addresses ---


def test_views_without_an_address_have_no_visitor_and_are_noted() -> None:
    (batch,) = batches(counting([at(n, address="", agent=f"{AGENT}{n}") for n in range(5)]))
    assert (batch.ids, batch.visits) == ((), NO_VISITS)
    assert batch.counts[counter("ledger", "no_address")] == batch.counts[counter("path", "/")] == 5


def test_many_agents_with_a_single_address_are_noted() -> None:
    def noted(hits: Iterable[Hit]) -> int:
        return counting(hits).counted()[DAY].counts.get(counter("ledger", "one_address"), 0)

    agents = [f"{AGENT}{n}" for n in range(40)]
    assert noted(at(n, agent=agent) for n, agent in enumerate(agents)) == 31
    assert not noted(at(n, agent=agent, address=f"192.0.2.{n % 2}") for n, agent in enumerate(agents))
    assert not noted(at(n) for n in range(40))


def test_a_header_that_the_server_has_read_itself_is_not_noted() -> None:
    hits = [at(n, address=f"192.0.2.{n}", forwarded=f"6.6.6.6, 192.0.2.{n}") for n in range(5)]
    assert counter("ledger", "unread_forwarded") not in counts(hits)
    assert counts([at(0, forwarded="192.0.2.77")])[counter("ledger", "unread_forwarded")] == 1


def test_no_address_is_kept_to_tell_whether_there_is_only_one() -> None:
    aggregator = counting([at(0, address="192.0.2.77")])
    batches(aggregator)
    assert b"192.0.2" not in pickle.dumps(aggregator)


# --- hosts ---


@pytest.mark.parametrize(
    ("hosts", "referrer", "source"),
    [
        ([".example.com"], "https://blog.example.com/post", ""),
        ([".example.com"], "https://example.com/", ""),
        (["www.example.com", "shop.example.net"], "https://shop.example.net:8443/", ""),
        (["www.example.com"], "https://WWW.Example.com/", ""),
        (["*"], "https://blog.example.com/post", "blog.example.com"),
        ([".example.com"], "https://badexample.com/", "badexample.com"),
    ],
)
def test_links_from_any_of_the_sites_hosts_are_no_source(
    settings: Settings, hosts: list[str], referrer: str, source: str
) -> None:
    settings.ALLOWED_HOSTS = hosts
    found = counts([at(0, host="site.test", referrer=referrer)])
    assert [name for name in found if name.startswith("source:")] == ([f"source:{source}"] if source else [])


@pytest.mark.parametrize(("agent", "reason"), [(FIREFOX, "partial"), (GOOGLEBOT, "bot")])
def test_a_request_for_anything_is_a_scripts_unless_a_bot_sent_it(agent: str, reason: str) -> None:
    request = request_for(**{"user-agent": agent, "accept": "*/*"})
    hit = answered(request, HttpResponse("<p>"), TrackingSettings())
    assert hit is not None
    found = counts([Hit.of(hit)._replace(at=at(0).at)])
    assert found[counter("excluded", reason)] == 1
    assert counter("path", "/") not in found
