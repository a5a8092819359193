"""The visit log's share of a hit, the batch that takes it, and the bound on what waits."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from codex_tracking.counters import waiting_log
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.batch import Batch
from codex_tracking.counters.day_counts import BATCH_FIELDS, BATCH_VISITORS
from codex_tracking.counters.fields import counter, values_of, views_of
from codex_tracking.counters.hit_log import EVENT, VIEW
from codex_tracking.hits.hit import Client, Hit
from codex_tracking.setting_rules import EMBEDDED
from codex_tracking.settings import TrackingSettings
from tests.counters.test_aggregator import DAY, NOON, at, batches, counting, event
from tests.hits.test_countries import write_database
from tests.kit.hit_log import LoggedHit, decode
from tests.kit.pipeline import FIREFOX, GOOGLEBOT

pytestmark = pytest.mark.usefixtures("berlin")

REDIS = "redis://127.0.0.1:6379/0"


def logging(hits: Iterable[Hit], **settings: Any) -> Aggregator:
    """Return an aggregator with a visit log that has counted these hits."""
    return counting(hits, **{"redis_url": REDIS, "visit_log_days": 90, **settings})


def told(*hits: Hit, **settings: Any) -> list[LoggedHit]:
    """Return what hits tell the log."""
    return [hit for batch in batches(logging(hits, **settings)) for hit in hits_of(batch)]


def hits_of(batch: Batch) -> list[LoggedHit]:
    return [hit for blob in batch.log for hit in decode(blob)]


# --- what is told ---


def test_a_view_tells_all_that_is_counted_of_it() -> None:
    client = {"host": "WWW.Site.example:8000", "language": "de-AT", "country": "AT", "user": "7"}
    campaign = "utm_source=letter&utm_medium=email&utm_campaign=may&utm_term=t&utm_content=c"
    [hit] = told(at(3, "/a/", route="<slug>/", referrer="https://www.google.com/x?q=1", query=campaign, **client))
    assert hit[1:] == (
        *(int(NOON) + 3, VIEW, "site.example", "AT", "", "", "de", "Firefox", "Linux", "desktop"),
        *("email", "letter", "google.com/x", "letter", "email", "may", "t", "c", True, "/a/", "<slug>/", "", ""),
    )


def test_the_visitor_is_the_days_hash() -> None:
    [batch] = batches(logging([at(0), at(1), at(2, user="7")]))
    assert {hit.visitor for hit in hits_of(batch)} == {urlsafe_b64decode(visitor + "==") for visitor in batch.ids}


def test_all_visitors_are_told() -> None:
    [batch] = batches(logging([at(n, address=f"192.0.2.{n % 10}") for n in range(30)]))
    assert {hit.visitor for hit in hits_of(batch)} == {urlsafe_b64decode(visitor + "==") for visitor in batch.ids}
    assert len(batch.ids) == 10


@pytest.mark.parametrize("changes", [{"anonymous": True}, {"address": ""}])
def test_a_view_without_identity_is_told_without_visitor(changes: dict[str, Any]) -> None:
    [hit] = told(at(0, "/a/", **changes))
    assert (hit.path, hit.visitor, hit.member) == ("/a/", b"", False)


def test_an_event_is_told_with_its_page_and_without_a_source() -> None:
    [hit] = told(event("signup", 1, path="/a/", route="a/", value="pro", referrer="https://google.com/", user="7"))
    assert (hit.kind, hit.event, hit.value, hit.path, hit.route, hit.member) == (
        EVENT,
        "signup",
        "pro",
        "/a/",
        "a/",
        True,
    )
    assert (hit.channel, hit.source, hit.referrer) == ("", "", "")
    assert len(hit.visitor) == 16


def test_an_event_of_a_task_is_told_without_a_page() -> None:
    [hit] = told(event("paid", path="", address="", host=""))
    assert (hit.event, hit.path, hit.host, hit.visitor) == ("paid", "", "", b"")


@pytest.mark.parametrize(
    "hit",
    [
        at(0, agent=GOOGLEBOT),
        at(0, name="staff"),
        at(0, kind="excluded", name="status"),
        at(0, kind="error", name="404"),
    ],
)
def test_what_is_no_view_is_not_told(hit: Hit) -> None:
    assert told(hit) == []


def test_no_secret_is_told() -> None:
    views = [
        at(0, "/reset/s3cret-s3cret/", secrets=(("token", "s3cret-s3cret"),)),
        event("reset", path="/r/s3cret-s3cret/"),
    ]
    views[1] = views[1]._replace(secrets=(("token", "s3cret-s3cret"),))
    assert [hit.path for hit in told(*views)] == ["/reset/<token>/", "/r/<token>/"]


def test_region_and_city_are_those_of_the_country(tmp_path: Path) -> None:
    pytest.importorskip("maxminddb")
    place = {
        "country": {"iso_code": "GB"},
        "subdivisions": [{"names": {"en": "England", "de": "Anglia"}}, {"names": {"en": "Oxfordshire"}}],
        "city": {"names": {"en": "Oxford"}},
    }
    networks: dict[str, Any] = {
        "203.0.113.0/25": place,
        "203.0.113.128/25": {"country": {"iso_code": "GB"}, "subdivisions": "x", "city": 1},
    }
    cities = write_database(tmp_path / "cities.mmdb", networks)
    hits = [at(0, address="203.0.113.1"), at(0, address="203.0.113.1", country="FR")]
    hits += [at(0, address="203.0.113.1", country="T1"), at(0, address="203.0.113.200")]
    found = [(hit.country, hit.region, hit.city) for hit in told(*hits, geoip_path=cities)]
    assert found == [("GB", "England", "Oxford"), ("FR", "", ""), ("", "", ""), ("GB", "", "")]


def test_without_a_log_nothing_is_kept() -> None:
    aggregator = counting([at(0), event("signup")], redis_url=REDIS)
    assert aggregator.days[DAY].log is None
    assert [batch.log for batch in batches(aggregator)] == [()]


# --- which batch ---


@pytest.mark.parametrize("url", [REDIS, EMBEDDED])
def test_a_batch_tells_the_views_that_it_counts(url: str) -> None:
    hits = [at(n, f"/{n * n % 700}/{'x' * (n % 90)}", user=str(n % 900), query=f"utm_term={n}") for n in range(2_000)]
    found = batches(logging([*hits, *(event("e", n, value=str(n)) for n in range(700))], redis_url=url))
    for batch in found:
        views = Counter(hit.path for hit in hits_of(batch) if hit.kind == VIEW)
        assert views == values_of("path", batch.counts)
    assert sum(views_of(batch.counts) for batch in found) == 2_000
    assert sum(len(hits_of(batch)) for batch in found) == 2_700
    assert all(len(batch.log) <= 1 for batch in found)


def test_the_sources_of_pages_need_no_batches_of_their_own() -> None:
    views = [at(n, f"/{n}/", referrer="https://other.example/", user=str(n)) for n in range(10 * BATCH_VISITORS)]
    found = batches(logging(views))
    assert len(found) == 11
    assert all(len(values_of("page_source", batch.counts)) == BATCH_VISITORS for batch in found[:10])


def test_views_counted_as_other_are_told_with_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tracking.counters.tally.MOST_FIELDS", 20)
    found = batches(logging([at(n, f"/{n}/") for n in range(5 * BATCH_FIELDS)]))
    sizes = [len(hits_of(batch)) for batch in found]
    assert [views_of(batch.counts) for batch in found] == sizes
    # What only names `(other)` fills no batch by itself, so few batches tell all.
    assert (sum(sizes), len(sizes)) == (5 * BATCH_FIELDS, 6)


def test_events_that_wait_alone_are_taken() -> None:
    """All of their counters fit into the first batch."""
    found = batches(logging([event("e", n, address="") for n in range(4 * BATCH_FIELDS + 20)]))
    assert [len(hits_of(batch)) for batch in found] == [*[BATCH_FIELDS] * 4, 20]


@pytest.mark.parametrize("letter", ["a", "\N{GRINNING FACE}"])
def test_a_blob_is_bounded(letter: str) -> None:
    random = Random(1)

    def text(size: int) -> str:
        return "".join(chr(ord(letter) + random.randrange(26)) for _ in range(size))

    hits = [at(n, f"/{text(480)}", referrer=f"https://other.example/{text(480)}") for n in range(400)]
    found = batches(logging(hits))
    assert sum(len(hits_of(batch)) for batch in found) == 400
    assert max(len(blob) for batch in found for blob in batch.log) <= waiting_log.BLOB_BYTES
    assert len(found) > 2


# --- how much ---


def test_hits_above_the_bound_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_log, "MOST_LOG_BYTES", 10_000)
    aggregator = logging([at(n, "/a/") for n in range(100)])
    [batch] = batches(aggregator)
    assert 10 < len(hits_of(batch)) < 20
    assert batch.counts[counter("ledger", "log_dropped")] == 100 - len(hits_of(batch))
    assert views_of(batch.counts) == 100


def test_the_room_comes_back_when_batches_are_taken() -> None:
    aggregator = logging([at(n, f"/{n}/") for n in range(1_200)])
    log = aggregator.days[DAY].log
    assert log is not None
    assert log.weight > 1_200 * waiting_log.HIT_BYTES
    batches(aggregator)
    assert log.weight == 0


def test_a_client_is_worked_out_again_when_the_log_is_switched_on() -> None:
    aggregator = counting([at(0, "/a/")], redis_url=REDIS)
    aggregator.use(TrackingSettings(redis_url=REDIS, visit_log_days=1))
    aggregator.add(at(1, "/b/"))
    assert [hit.path for batch in batches(aggregator) for hit in hits_of(batch)] == ["/b/"]


def test_an_agent_that_names_the_clients_traits_is_not_kept() -> None:
    client = Client("site.example", FIREFOX, ("", "", ""), "", "", "192.0.2.1", "", "", False)
    [batch] = batches(logging([at(0)._replace(client=client)]))
    assert b"Gecko" not in batch.log[0]
    assert "192.0.2.1" not in repr(hits_of(batch))
