"""Page ids: which answers have one, that nobody else can make one, and what the header costs."""

from __future__ import annotations

import os
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from hashlib import blake2b

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from pytest_django import Settings

from codex_tracking.hits.capture import answered
from codex_tracking.hits.pages.ids import POOL, POOL_SECONDS, keyed_name, mark_page, read_id
from codex_tracking.middleware import record
from codex_tracking.settings import get_tracking_settings
from tests.kit.pipeline import request_for

COUNTED = re.compile(r'v;desc="(c\.[A-Za-z0-9+/]{28})"')
PREFETCHED = re.compile(r'v;desc="(p\.[A-Za-z0-9+/]{28})"')


@pytest.fixture(autouse=True)
def _on(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(page_ids=True)


def header(request: HttpRequest | None = None, response: HttpResponseBase | None = None) -> str | None:
    """Return the header of an answer."""
    response = response or HttpResponse("<p>")
    record(request or request_for(), response, lambda: None)
    return response.headers.get("Server-Timing")


def page_id(letter: re.Pattern[str] = COUNTED, **headers: str) -> str:
    """Return letter and id of a new page."""
    found = letter.fullmatch(header(request_for(**headers)) or "")
    assert found is not None
    return found[1]


def test_it_is_off_by_default(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(page_ids=False)
    assert header() is None


def test_each_counted_page_has_an_id_of_its_own() -> None:
    ids = {page_id() for _ in range(3 * POOL)}
    assert len(ids) == 3 * POOL
    assert len({(found := read_id(text, time.time())) and found.key for text in ids}) == 3 * POOL


def test_threads_share_no_id() -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = [text for part in threads.map(lambda _: [page_id() for _ in range(500)], range(8)) for text in part]
    assert len(set(ids)) == len(ids) == 4_000


def test_an_id_is_of_the_day_and_about_the_second_of_its_page() -> None:
    now = datetime(2026, 11, 4, tzinfo=timezone.get_default_timezone()).timestamp() - 0.1
    for step in (0.0, 0.2, 9.0, 10.1, -500.0):
        response = HttpResponse("<p>")
        hit = answered(request_for(), response, get_tracking_settings())
        assert hit is not None
        mark_page(response, (now + step, *hit[1:]))
        found = read_id(response["Server-Timing"][8:-1], now + step)
        assert found is not None
        assert 0 <= now + step - found.second <= POOL_SECONDS + 1
        assert site_day(found.second) == site_day(now + step)


def site_day(second: float) -> date:
    """Return the day of a second in the site's time zone."""
    return datetime.fromtimestamp(second, timezone.get_default_timezone()).date()


def test_a_prefetched_page_has_an_id_that_says_so() -> None:
    found = read_id(page_id(PREFETCHED, sec_purpose="prefetch;prerender"), time.time())
    assert found is not None
    assert found.mark == "p"


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (request_for(x_requested_with="XMLHttpRequest"), HttpResponse("<p>")),
        (request_for(), HttpResponse("{}", content_type="application/json")),
        (request_for(), HttpResponse("<p>", status=404)),
        (request_for(), HttpResponse(status=302)),
        (request_for("/static/page.html"), HttpResponse("<p>")),
        # A program's own name for what it wants; its answer counts as partial.
        (request_for(accept="*/*"), HttpResponse("<p>")),
    ],
)
def test_other_answers_have_no_header(request_: HttpRequest, response: HttpResponse) -> None:
    assert header(request_, response) is None


def test_a_page_of_staff_says_that_it_has_none() -> None:
    request = request_for()
    request.user = type("User", (), {"pk": 7, "is_authenticated": True, "is_staff": True})()
    assert header(request) == 'v;desc="x"'


def test_an_unchanged_page_has_an_id_and_a_streamed_one_too() -> None:
    assert COUNTED.fullmatch(header(response=HttpResponse(status=304)) or "")
    assert COUNTED.fullmatch(header(response=StreamingHttpResponse([b"<p>"])) or "")


def test_the_projects_own_header_is_kept_and_an_earlier_id_is_not() -> None:
    response = HttpResponse("<p>", headers={"Server-Timing": 'db;dur=5, csv;desc="c", app;dur=9'})
    for _ in range(2):
        text = header(response=response) or ""
        assert text.startswith('db;dur=5, csv;desc="c", app;dur=9, ')
        assert len(COUNTED.findall(text)) == 1


def test_nobody_else_can_make_an_id() -> None:
    text, now = page_id(), time.time()
    assert read_id(text, now) is not None
    data = b64decode(text[2:])
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert read_id(f"c.{b64encode(changed).decode()}", now) is None
    assert read_id(f"p.{text[2:]}", now) is None
    # The rest of a block whose other ids are known.
    others = [page_id() for _ in range(2 * POOL)]
    block = [other for other in others if other[:18] == others[0][:18]]
    assert len(block) > 1
    assert not any(read_id(f"{text[:18]}{other[18:]}", now) for other in others if other[:18] != text[:18])
    assert read_id(f"{block[0][:18]}{block[0][18:24]}{block[1][24:]}", now) is None
    assert read_id(f"c.{b64encode(os.urandom(21)).decode()}", now) is None


@pytest.mark.parametrize("text", ["", "c.", "c." + "A" * 27, "c." + "A" * 29, "x." + "A" * 28, "c." + "é" * 28])
def test_other_texts_are_no_ids(text: str) -> None:
    assert read_id(text, time.time()) is None


def test_another_site_and_another_secret_give_other_ids(
    settings: Settings, tracking_settings: Callable[..., None]
) -> None:
    text, secret, now = page_id(), settings.SECRET_KEY, time.time()
    tracking_settings(key_prefix="another")
    assert read_id(text, now) is None
    tracking_settings(key_prefix=get_tracking_settings().key_prefix)
    tracking_settings(key_prefix="tracking")
    assert read_id(text, now) is not None
    settings.SECRET_KEY = "another-secret"
    assert read_id(text, now) is None
    # A secret that was replaced while a page was open.
    settings.SECRET_KEY_FALLBACKS = [secret]
    assert read_id(text, now) is not None


def test_an_id_of_a_clock_that_is_ahead_is_refused() -> None:
    text = page_id()
    assert read_id(text, time.time() - 30) is not None
    assert read_id(text, time.time() - 300) is None


def test_names_of_a_strangers_choice_are_spread_by_a_key(settings: Settings) -> None:
    chosen = [f"name-{number:05}-ends-the-same" for number in range(500)]
    names = [keyed_name("page", name) for name in chosen]
    assert len(set(names)) == 500
    assert len({name[-2:] for name in names}) > 300
    settings.SECRET_KEY = "another-secret"
    assert not set(names).intersection(keyed_name("page", name) for name in chosen)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_child_gives_away_no_id_of_its_parent() -> None:
    page_id()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, page_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 100).decode()
    assert COUNTED.fullmatch(f'v;desc="{theirs}"')
    assert theirs not in {page_id() for _ in range(POOL)}


def test_the_header_costs_a_few_hashes() -> None:
    response = HttpResponse("<p>")
    hit = answered(request_for(), response, get_tracking_settings())
    assert hit is not None

    def marked() -> None:
        # Each page has a new response, and replacing an earlier id takes longer.
        response.headers._store.pop("server-timing", None)
        mark_page(response, hit)

    # One hash takes 0.6 microseconds of a quiet processor; in turns, since other programs slow down both.
    costs = [(_seconds(marked), _seconds(lambda: blake2b(b"12 bytes or so", key=b"key", digest_size=9).digest()))]
    costs += [(_seconds(marked), _seconds(lambda: blake2b(b"12 bytes or so", key=b"key", digest_size=9).digest()))]
    assert min(mark for mark, _ in costs) < 2.5 * min(one for _, one in costs)


def _seconds(once: Callable[[], object], n: int = 3_000) -> float:
    begin = time.thread_time()
    for _ in range(n):
        once()
    return (time.thread_time() - begin) / n
