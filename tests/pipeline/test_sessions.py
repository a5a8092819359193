"""The users of sessions: found in the background, whatever the view looked at, and without a query in the request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends import signed_cookies
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.buffer import Buffer, get_buffer
from codex_tracking.counters.fields import Counts, counter
from codex_tracking.hits.hit import Later, Member
from codex_tracking.hits.late import member_key
from codex_tracking.pipeline import sessions
from codex_tracking.pipeline.pusher import Pusher
from codex_tracking.pipeline.sessions import Sessions, members_of
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.reading import in_database
from codex_tracking.testing import tracking_in_memory
from tests.kit.pipeline import FIREFOX, GOOGLEBOT, view
from tests.kit.routers import PinnedRouter

BROWSER = {"user-agent": FIREFOX, "accept": "text/html"}
ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _in_memory() -> Iterator[None]:
    with tracking_in_memory():
        yield


async def run(function: Callable[..., Any], *args: Any) -> Any:
    """Run in this thread: the test's transaction is seen here alone."""
    return function(*args)


def counted() -> Counts:
    """Return all counters of this process, with sessions read as the background tasks do."""
    found = members_of(get_buffer().later())
    get_buffer().learn(found)
    return get_buffer().counts()


def visitors() -> int:
    """Return how many visitors wait."""
    return sum(len(day.touches) for day in get_buffer()._aggregator.days.values())


def ann(client: Client, **traits: Any) -> User:
    """Log a user in."""
    user = User.objects.create_user("ann", password="x", **traits)
    client.force_login(user)
    return user


@pytest.mark.parametrize("engine", ENGINES)
def test_staff_is_left_out_where_no_view_looks_at_the_user(
    client: Client, settings: Settings, engine: str, tmp_path: Any
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    ann(client, is_staff=True)
    client.get("/page/1/", headers=BROWSER)
    found = counted()
    assert found[counter("excluded", "staff")] == 1
    assert counter("path", "/page/1/") not in found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_member_is_one_visitor_on_all_pages(client: Client, settings: Settings, engine: str, tmp_path: Any) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    ann(client)
    client.get("/page/1/", headers=BROWSER)
    client.get("/me/", headers=BROWSER)
    client.get("/page/2/", headers=BROWSER, REMOTE_ADDR="192.0.2.9")
    assert counted()[counter("path", "/me/")] == 1
    assert visitors() == 1


def test_members_count_everywhere_without_anonymous_visitors(
    client: Client, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(track_anonymous=False)
    Client().get("/page/1/", headers=BROWSER)
    ann(client)
    for path in ("/page/1/", "/page/1/", "/me/", "/me/"):
        client.get(path, headers=BROWSER)
    found = counted()
    assert (found[counter("path", "/page/1/")], found[counter("path", "/me/")]) == (2, 2)
    assert found[counter("excluded", "anonymous")] == 1


@pytest.mark.parametrize("cookie", ["x", "no-such-session-0123456789", "é", "a" * 5_000, "MQ:1abc:forged"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_made_up_session_is_an_anonymous_visitors(
    client: Client, settings: Settings, engine: str, cookie: str, tmp_path: Any
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    client.cookies["sessionid"] = cookie
    client.get("/page/1/", headers=BROWSER)
    found = counted()
    assert found[counter("path", "/page/1/")] == 1
    assert visitors() == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_made_up_session_that_the_database_refuses_costs_no_other_session(
    client: Client, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for question in ("db_for_read", "db_for_write"):
        monkeypatch.setattr(PinnedRouter, question, lambda *_, **__: database)
    ann(client, is_staff=True)
    # Django reads the escape of a quoted cookie.
    Client().get("/page/1/", headers=BROWSER | {"cookie": 'sessionid="\\000bcdefgh"'})
    client.get("/page/2/", headers=BROWSER)
    found = counted()
    assert (found[counter("path", "/page/1/")], found[counter("excluded", "staff")]) == (1, 1)


class SessionStore(signed_cookies.SessionStore):
    """A project's own engine, which refuses what it did not make."""

    def load(self) -> dict[str, Any]:
        """Return the session's contents."""
        if self.session_key == "made up by hand":
            raise ValueError(self.session_key)
        return super().load()


def test_a_made_up_session_that_an_engine_refuses_costs_no_other_session(client: Client, settings: Settings) -> None:
    settings.SESSION_ENGINE = __name__
    ann(client, is_staff=True)
    Client().get("/page/1/", headers=BROWSER | {"cookie": "sessionid=made up by hand"})
    client.get("/page/2/", headers=BROWSER)
    found = counted()
    assert (found[counter("path", "/page/1/")], found[counter("excluded", "staff")]) == (1, 1)


def test_staff_is_left_out_where_auth_is_installed_by_its_configuration(client: Client, settings: Settings) -> None:
    auth, by_configuration = "django.contrib.auth", "django.contrib.auth.apps.AuthConfig"
    settings.INSTALLED_APPS = [by_configuration if app == auth else app for app in settings.INSTALLED_APPS]
    ann(client, is_staff=True)
    client.get("/page/1/", headers=BROWSER)
    assert counted()[counter("excluded", "staff")] == 1


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "other"}])
def test_a_session_that_django_would_refuse_is_nobodys(client: Client, change: dict[str, Any]) -> None:
    user = ann(client, is_staff=True)
    User.objects.filter(pk=user.pk).update(**change)
    client.get("/page/1/", headers=BROWSER)
    assert counted()[counter("path", "/page/1/")] == 1


def test_a_request_makes_no_query_and_no_vary(client: Client) -> None:
    ann(client, is_staff=True)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        answer = client.get("/page/1/", headers=BROWSER)
    assert not queries.captured_queries
    assert "Cookie" not in answer.headers.get("Vary", "")


def test_many_sessions_take_two_queries(client: Client) -> None:
    laters = []
    for number in range(20):
        browser = Client()
        browser.force_login(User.objects.create(username=str(number)))
        laters.append(Later("", None, "", browser.cookies["sessionid"].value, True))
    with CaptureQueriesContext(connection) as queries:
        found = members_of(laters)
    assert len(queries) == 2
    assert len({member.user for member in found.values()}) == 20


def test_an_opted_out_staff_member_is_left_out_and_an_opted_out_member_has_no_identity(client: Client) -> None:
    user = ann(client)
    client.get("/page/1/", headers=BROWSER | {"sec-gpc": "1"})
    assert counted()[counter("path", "/page/1/")] == 1
    assert visitors() == 0
    User.objects.filter(pk=user.pk).update(is_staff=True)
    get_buffer().forget([member_key(Later("", None, "", client.cookies["sessionid"].value, True))])
    client.get("/page/1/", headers=BROWSER | {"sec-gpc": "1"})
    assert counted()[counter("excluded", "staff")] == 1


def test_a_bot_with_a_session_is_a_bot(client: Client) -> None:
    ann(client)
    client.get("/page/1/", headers=BROWSER | {"user-agent": GOOGLEBOT})
    assert counted()[counter("excluded", "bot")] == 1


# --- once per session, and not for ever ---


def hits(session: str, n: int = 1) -> Buffer:
    """Return a buffer in which hits of one session wait."""
    buffer = Buffer(Aggregator(get_tracking_settings()))
    for _ in range(n):
        buffer.put(view("/page/1/", later=Later("", None, "", session, True)))
    return buffer


async def test_each_session_is_read_once() -> None:
    asked: list[Later] = []

    async def note(function: Callable[..., Any], laters: list[Later]) -> Any:
        asked.extend(laters)
        return {member_key(later): Member("7", False) for later in laters}

    buffer = hits("one", 5)
    pusher = Pusher(buffer)
    await pusher.fold(note)
    buffer.put(view("/page/1/", later=Later("", None, "", "one", True)))
    await pusher.fold(note)
    assert len(asked) == 1
    assert len(buffer._aggregator.days[next(iter(buffer._aggregator.days))].touches) == 1


async def test_a_session_is_read_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr(sessions, "monotonic", lambda: clock)
    buffer = hits("one")
    found = Sessions(buffer)
    times = 0

    async def note(function: Callable[..., Any], laters: list[Later]) -> Any:
        nonlocal times
        times += 1
        return {member_key(later): Member("7", False) for later in laters}

    await found.resolve(note)
    await found.resolve(note)
    clock = sessions.KEPT_SECONDS + 1
    await found.resolve(note)
    assert times == 2


async def test_what_is_remembered_of_sessions_is_bounded_and_opens_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_MEMBERS", 5)

    async def note(function: Callable[..., Any], laters: list[Later]) -> Any:
        return {member_key(later): Member("7", False) for later in laters}

    buffer = Buffer(Aggregator(get_tracking_settings()))
    pusher = Pusher(buffer)
    for number in range(20):
        buffer.put(view(later=Later("", None, "", f"session-{number}", True)))
        await pusher.fold(note)
    assert len(buffer._aggregator.members) <= 6
    assert "session-" not in str(vars(buffer._aggregator)) + str(vars(pusher.sessions))


# --- the database is away ---


@pytest.mark.parametrize("failure", [OperationalError("sessionid=one"), TimeoutError(), RuntimeError("one")])
async def test_a_failure_counts_the_view_as_anonymous_and_notes_it(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(function: Callable[..., Any], *args: Any) -> Any:
        raise failure

    caplog.set_level(logging.DEBUG)
    buffer = hits("one")
    await Pusher(buffer).fold(fail)
    found = buffer.counts()
    assert (found[counter("path", "/page/1/")], found[counter("ledger", "unknown_member")]) == (1, 1)
    assert "one" not in caplog.text.replace("anonymous", "")


async def test_hits_wait_for_a_hanging_database_for_a_bounded_time_and_not_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "WAIT_SECONDS", 0.05)
    asked = 0

    async def hang(function: Callable[..., Any], *args: Any) -> Any:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    buffer = hits("one")
    pusher = Pusher(buffer)
    async with asyncio.timeout(5):
        await pusher.fold(hang)
        buffer.put(view("/page/1/", later=Later("", None, "", "two", True)))
        await pusher.fold(hang)
    assert asked == 1
    assert buffer.counts()[counter("ledger", "unknown_member")] == 2


@pytest.mark.django_db(transaction=True)
async def test_a_fold_reads_sessions_with_the_flushers_thread() -> None:
    buffer = hits("no-such-session")
    await Pusher(buffer).fold(in_database)
    assert counter("ledger", "unknown_member") not in buffer.counts()
