"""All of our addresses at once, as strangers, guests and staff: nothing is changed by reading, told or led astray.

What single pages do is tested beside them; this walks the URLconf, so that a new address cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from pytest_django import Settings

from codex_tracking.models import Breakdown, DayTotals, PageView, ShareLink
from codex_tracking.store.loops import blocking, get_store
from codex_tracking.testing import BROWSER
from codex_tracking.web.access import links
from codex_tracking.web.api import counter
from tests.kit.pipeline import Process, today, view

ROOT = "/cabinet/tracking/"
TOKEN = "a-token-of-the-settings-0123456789"
SCRIPT = "<script>alert(1)</script>"
PUBLIC = ("counter.svg", "counter.json")
"""Addresses that everybody may read if ``public_counter`` is on."""

Change = Callable[..., None]

ARGUMENTS: dict[str, Any] = {
    "token": "no-such-token",
    "primary_key": 1,
    "dimension": "path",
    "part": "chart",
    "table": "path",
    "format": "csv",
}
"""Something for each parameter of our addresses."""


def names_and_arguments(patterns: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each of our addresses by its name, with an argument for each of its parameters."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names_and_arguments(pattern.url_patterns)
        elif pattern.name is not None:
            assert isinstance(pattern, URLPattern)
            wanted = [*pattern.pattern.converters, *pattern.pattern.regex.groupindex]
            yield str(pattern.name), {name: ARGUMENTS[name] for name in wanted}


def addresses() -> list[str]:
    """Return all of our addresses as the test site mounts them."""
    from django.urls import reverse

    patterns: list[Any] = get_resolver("tests.site.urls").url_patterns
    ours = next(one for one in patterns if getattr(one, "app_name", "") == "codex_tracking")
    found = {
        reverse(f"codex_tracking:{name}", kwargs=kwargs) for name, kwargs in names_and_arguments(ours.url_patterns)
    }
    return sorted(found)


ADDRESSES = [
    ROOT + part
    for part in (
        "",
        "page/",
        "details/path/",
        "fragment/chart/",
        "funnels/",
        "journeys/",
        "segments/",
        "health/",
        "share/",
        "share/1/revoke/",
        "share/no-such-token/",
        *PUBLIC,
        *(
            f"api/{name}"
            for name in (
                "summary/",
                "series/",
                "breakdown/path/",
                "values/path/",
                "vitals/",
                "page/",
                "funnel/",
                "funnels/",
                "journey/",
                "segments/",
                "live/",
                "dimensions/",
                "status/",
            )
        ),
        "api/export/path.csv",
        "api/openapi.json",
    )
]


def test_no_address_of_ours_is_left_out_here() -> None:
    assert sorted(ADDRESSES) == addresses()


def everything() -> list[Any]:
    """Return all rows of all of our tables, and of users."""
    models: list[Any] = [*apps.get_app_config("codex_tracking").get_models(), User]
    return [list(model._base_manager.order_by("pk").values()) for model in models]


@blocking
async def in_store() -> Any:
    """Return what the live counters hold."""
    return await get_store().read([today()])


@blocking
async def push() -> None:
    """Put views of a hostile path into the live counters."""
    await Process().push(view(f"/live/{SCRIPT}"))


@pytest.fixture
def link() -> ShareLink:
    """Return an open share link, beside rows whose every text is markup, in the database and in the store."""
    day = timezone.localdate()
    PageView.objects.create(path=f"/{SCRIPT}", date=day, views=7, own=1)
    DayTotals.objects.create(date=day, views=7)
    for dimension in (
        "referrer",
        "source",
        "utm_campaign",
        "browser",
        "os",
        "country",
        "language",
        "route",
        "event",
        "bot",
    ):
        Breakdown.objects.create(date=day, dimension=dimension, value=SCRIPT, views=7, visits=7)
    Breakdown.objects.create(date=day, dimension="error", value=f"404 /{SCRIPT}", views=7)
    push()
    return links.create(SCRIPT, 7, SCRIPT)


@pytest.fixture
def everybody(link: ShareLink, tracking_settings: Change) -> dict[str, Client]:
    """Return clients of a stranger, a user, the holder of a link, an API token's, staff and a superuser."""
    counter.remembered.clear()
    # Their requests stay in memory: only what our addresses do is looked at.
    tracking_settings(api_tokens=[TOKEN], public_counter=True, push_interval=3_600, flush_interval=3_600)
    clients = {"stranger": Client(), "token": Client(headers={"authorization": f"Bearer {TOKEN}"}), "link": Client()}
    assert clients["link"].get(f"{ROOT}share/{links.token_of(link)}/").status_code == 302
    for name, fields in {
        "user": {},
        "staff": {"is_staff": True},
        "superuser": {"is_superuser": True, "is_staff": True},
    }.items():
        clients[name] = Client(enforce_csrf_checks=True)
        clients[name].force_login(User.objects.create(username=name, **fields))
    return clients


def body(answer: Any) -> str:
    """Return an answer's text, also of a stream."""
    if isinstance(answer, StreamingHttpResponse):
        return b"".join(answer).decode()
    return str(answer.content.decode())


@pytest.mark.django_db(transaction=True)
def test_reading_changes_nothing_and_no_other_method_is_taken_without_a_token(everybody: dict[str, Client]) -> None:
    before = everything(), in_store()
    for address in ADDRESSES:
        for name, client in everybody.items():
            for query in ("", f"?path=/{SCRIPT}&name=x&days=5&period=30d&delete=1&_method=DELETE"):
                answer = client.get(address + query, headers=BROWSER)
                body(answer)
                assert answer.status_code < 500, address
            assert client.head(address).status_code < 500
            for method in ("post", "put", "patch", "delete", "trace"):
                status = getattr(client, method)(address).status_code
                assert status in (302, 400, 401, 403, 404, 405), (name, method, address)
        assert (everything(), in_store()) == before, address


@pytest.mark.django_db(transaction=True)
def test_strangers_and_users_without_a_permission_see_no_figure(everybody: dict[str, Client]) -> None:
    for address in ADDRESSES:
        for name in ("stranger", "user"):
            answer = everybody[name].get(f"{address}?path=/")
            if address.removeprefix(ROOT) in PUBLIC:
                assert answer.status_code == 200
            else:
                assert answer.status_code in (302, 401, 403, 404, 405), (name, address)
                assert SCRIPT not in body(answer)


@pytest.mark.django_db(transaction=True)
def test_every_answer_says_what_caches_and_browsers_may_do(everybody: dict[str, Client]) -> None:
    before = everything(), in_store()
    for address in ADDRESSES:
        for name, client in everybody.items():
            answer = client.get(f"{address}?path=/")
            body(answer)
            assert_guarded(answer, (address, name))
    assert (everything(), in_store()) == before


def assert_guarded(answer: Any, what: tuple[str, str]) -> None:
    """Require the headers that keep an answer where it belongs."""
    headers, address = answer.headers, what[0]
    assert headers["X-Content-Type-Options"] == "nosniff", what
    if address.removeprefix(ROOT) in PUBLIC:
        assert headers["Cache-Control"] == "public, max-age=60"
        assert not answer.cookies
        return
    assert headers.get("Cache-Control") == "private, no-store", what
    if headers["Content-Type"].startswith("text/html") and answer.status_code == 200:
        assert "default-src 'self'" in headers["Content-Security-Policy"], what
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
        assert headers["Referrer-Policy"] in ("same-origin", "no-referrer")


@pytest.mark.django_db(transaction=True)
def test_no_text_of_a_stranger_becomes_markup_and_no_secret_is_told(
    everybody: dict[str, Client], link: ShareLink
) -> None:
    for address in ADDRESSES:
        for name, client in everybody.items():
            answer = client.get(f"{address}?path=/{SCRIPT}&q={SCRIPT}&sort={SCRIPT}&period={SCRIPT}")
            text = body(answer)
            if answer.headers["Content-Type"].startswith(("text/html", "image/svg+xml")):
                assert SCRIPT not in text, (name, address)
                assert "javascript:" not in text
            assert TOKEN not in text
            assert link.key not in text or (name, address) == ("superuser", f"{ROOT}share/")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", ["pageview", "breakdown", "daytotals", "sharelink"])
def test_the_admin_shows_texts_of_strangers_as_text(everybody: dict[str, Client], model: str) -> None:
    client = everybody["superuser"]
    first = apps.get_model("codex_tracking", model)._base_manager.order_by("pk").first()
    assert first is not None
    for address in (f"/admin/codex_tracking/{model}/?q={SCRIPT}", f"/admin/codex_tracking/{model}/{first.pk}/change/"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert SCRIPT not in body(answer)


# --- where it leads ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "query",
    ["?next=https://evil.example/", "?next=//evil.example/", "?a=%0d%0aLocation:%20//evil.example/", "?%5c%5cevil"],
)
def test_the_way_to_the_login_and_back_stays_on_this_site(query: str) -> None:
    boss = User.objects.create_superuser("boss", password="secret")
    client = Client()
    answer = client.get(ROOT + query)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"/login/?next={ROOT}")
    back = client.post(answer.headers["Location"], {"username": boss.username, "password": "secret"})
    assert back.status_code == 302
    assert back.headers["Location"].startswith(ROOT)


@pytest.mark.django_db(transaction=True)
def test_a_forged_host_is_refused_where_the_project_names_its_own(
    everybody: dict[str, Client], settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["site.example"]
    for address in ADDRESSES:
        for client in everybody.values():
            answer = client.get(address, headers={"host": "evil.example"})
            assert answer.status_code == 400, address
            assert answer.headers.get("Location", "") == ""
            assert "evil.example" not in body(answer)


@pytest.mark.django_db(transaction=True)
def test_a_link_is_made_for_the_host_that_the_project_believes(
    everybody: dict[str, Client], settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["site.example"]
    page = body(
        everybody["superuser"].get(
            f"{ROOT}share/", headers={"host": "site.example", "x-forwarded-host": "evil.example"}
        )
    )
    assert "http://site.example/cabinet/tracking/share/" in page
    assert "evil.example" not in page
