"""A database with a read replica: what reads asks the replica, what writes or locks asks the primary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from codex_tracking.models import DayTotals, PageView
from codex_tracking.store.loops import blocking
from codex_tracking.sync import TrackingSelector, flush_page_views, tracking_status
from codex_tracking.web.access import links
from tests.kit.pipeline import Process, views
from tests.kit.routers import PinnedRouter
from tests.servers import PostgresServer

PRIMARY, REPLICA = "postgres", "default"
"""The replica copies nothing here, so that a figure tells which of the two was asked."""

pytestmark = pytest.mark.django_db(transaction=True, databases=[PRIMARY, REPLICA])


@pytest.fixture(autouse=True)
def router(postgres: PostgresServer) -> Iterator[None]:
    """Send reads to the replica and everything else to the primary."""
    PinnedRouter.alias, PinnedRouter.replica = PRIMARY, REPLICA
    yield
    PinnedRouter.alias, PinnedRouter.replica = "default", ""


@blocking
async def push(path: str, n: int) -> None:
    """Put views into the live counters."""
    await Process().push(*views(path, n))


@contextmanager
def no_query_of_ours(alias: str, but: Callable[[str], bool] = lambda sql: False) -> Iterator[None]:
    """Fail when one of our tables is asked in a database, but for some statements."""

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        assert "codex_tracking_" not in sql or but(sql), f"{alias} was asked: {sql}"
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(look):
        yield


def is_read(sql: str) -> bool:
    """Say whether a statement takes no lock and changes nothing."""
    return sql.strip(" (\n").upper().startswith("SELECT") and "FOR UPDATE" not in sql.upper()


def test_a_flush_and_its_locks_ask_the_primary_alone() -> None:
    push("/a/", 3)
    with no_query_of_ours(REPLICA):
        assert flush_page_views() == 1

    assert PageView.objects.using(PRIMARY).get().views == 3
    assert not PageView.objects.using(REPLICA).exists()


def test_figures_come_from_the_replica_and_ask_the_primary_nothing() -> None:
    for alias, path, n in ((REPLICA, "/r/", 7), (PRIMARY, "/p/", 90)):
        PageView.objects.using(alias).create(path=path, date=timezone.localdate(), views=n, own=1)
        DayTotals.objects.using(alias).create(date=timezone.localdate(), views=n)
    push("/r/", 2)

    with no_query_of_ours(PRIMARY):
        assert TrackingSelector.daily_counts() == {"/r/": 9}
        assert TrackingSelector.total_views() == 9
        assert tracking_status().database_reachable


def test_a_replica_that_lags_tells_too_little_and_never_too_much() -> None:
    push("/a/", 3)
    flush_page_views()
    push("/a/", 2)

    # The replica has not heard of the flush that the two follow.
    assert TrackingSelector.daily_counts() == {}


def test_the_dashboard_and_the_api_only_read_the_replica(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(push_interval=3_600, flush_interval=3_600)
    DayTotals.objects.using(REPLICA).create(date=timezone.localdate(), views=7)
    client = Client()
    client.force_login(User.objects.create(username="staff", is_staff=True))

    with no_query_of_ours(PRIMARY), no_query_of_ours(REPLICA, but=is_read):
        assert client.get("/cabinet/tracking/").status_code == 200
        summary = client.get("/cabinet/tracking/api/summary/?period=today").json()
        assert summary["summary"]["views"] == 7


def test_whatever_else_writes_asks_the_primary() -> None:
    for alias in (PRIMARY, REPLICA):
        PageView.objects.using(alias).create(path="/old/", date="2020-01-01", views=7, own=1)
        DayTotals.objects.using(alias).create(date="2020-01-01", views=7)

    with no_query_of_ours(REPLICA, but=is_read):
        call_command("prune_tracking", days=30, no_input=True, verbosity=0)
        link = links.create("The board", 7, "")
        links.revoke(link.pk)

    assert PageView.objects.using(REPLICA).get().path == "/old/"
    assert PageView.objects.using(PRIMARY).get().path != "/old/"


def test_a_share_link_that_was_just_revoked_is_looked_up_where_that_was_written() -> None:
    link = links.create("The board", 7, "")

    with no_query_of_ours(REPLICA):
        found = links.find(links.token_of(link))
    assert found == link
