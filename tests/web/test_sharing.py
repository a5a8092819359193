"""Share links and the public counter: what strangers see, for how long, and what they never see."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings as DjangoSettings

from codex_tracking.models import Breakdown, PageView, ShareLink
from codex_tracking.web.access import links
from codex_tracking.web.access.viewer import COOKIE, INTERNAL
from codex_tracking.web.api import counter
from tests.conftest import Sites
from tests.kit.pipeline import today

ROOT = "/cabinet/tracking/"
SHARE = ROOT + "share/"

pytestmark = pytest.mark.django_db(transaction=True)

Settings = Callable[..., None]


@pytest.fixture(autouse=True)
def _forgotten_counts() -> None:
    counter.remembered.clear()


@pytest.fixture
def link() -> ShareLink:
    """Return a link that is open."""
    return links.create("Board of the club", 7, "boss")


@pytest.fixture
def boss(client: Client) -> Client:
    """Return a client that somebody who may share is logged in with; it checks CSRF tokens as browsers meet them."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("boss"))
    return client


def address(link: ShareLink) -> str:
    """Return the address that a link opens."""
    return f"{SHARE}{links.token_of(link)}/"


def opened(link: ShareLink) -> Client:
    """Return a stranger's client that followed a link."""
    client = Client()
    assert client.get(address(link)).status_code == 302
    return client


def form(client: Client) -> dict[str, str]:
    """Return the CSRF token of the page of links, as its forms send it."""
    page = client.get(SHARE).content.decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None
    return {"csrfmiddlewaretoken": found[1]}


def status(client: Client, path: str = "api/summary/") -> int:
    """Return the status of an address below the dashboard."""
    return client.get(ROOT + path).status_code


# --- what a link opens ---


def test_a_link_opens_the_dashboard_and_its_address_is_not_kept(link: ShareLink) -> None:
    client = Client()
    response = client.get(address(link))
    assert response.status_code == 302
    assert response["Location"] == ROOT
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert response["Cache-Control"] == "private, no-store"
    cookie = response.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", ROOT)
    assert 6 * 86_400 < int(cookie["max-age"]) <= 7 * 86_400
    page = client.get(ROOT)
    assert page.status_code == 200
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["X-Robots-Tag"] == "noindex, nofollow"
    assert links.token_of(link) not in page.content.decode()
    assert "boss" not in page.content.decode()


def test_the_cookie_is_for_https_where_the_site_is(link: ShareLink) -> None:
    response = Client().get(address(link), secure=True)
    assert response.cookies[COOKIE]["secure"] is True


def test_a_guest_reads_figures_and_nothing_of_the_inside(link: ShareLink) -> None:
    for name in INTERNAL:
        Breakdown.objects.create(date=today(), dimension=name, value="secret", views=1)
    client = opened(link)
    for path in ("api/summary/", "api/series/", "api/breakdown/path/", "api/page/?path=/", "api/live/"):
        response = client.get(ROOT + path)
        assert response.status_code == 200
        assert response["Referrer-Policy"] == "no-referrer"
    assert status(client, "api/status/") == 403
    known = client.get(ROOT + "api/dimensions/").json()
    assert not INTERNAL & {*known["tables"], *(one["name"] for one in known["dimensions"])}
    for name in INTERNAL:
        assert status(client, f"api/breakdown/{name}/") == 404
        assert status(client, f"api/export/{name}.csv") == 404


@pytest.mark.parametrize(
    "path", ["", "health/", "details/error/", "details/path/", "fragment/errors/", "fragment/pages/"]
)
def test_no_page_shows_a_guest_the_inside(link: ShareLink, path: str) -> None:
    for name in INTERNAL:
        Breakdown.objects.create(date=today(), dimension=name, value="value-of-the-inside", views=5)
    response = opened(link).get(ROOT + path)
    assert "value-of-the-inside" not in response.content.decode()
    if response.status_code == 200:
        assert response["X-Robots-Tag"] == "noindex, nofollow"


def test_a_guest_makes_no_links(link: ShareLink) -> None:
    client = opened(link)
    assert client.get(SHARE).status_code == 403
    assert client.post(SHARE, {"name": "me", "days": "5"}).status_code == 403
    assert client.post(f"{SHARE}{link.pk}/revoke/").status_code == 403
    assert ShareLink.objects.count() == 1
    assert ShareLink.objects.get().revoked_at is None


def test_a_link_ends_when_it_expires(link: ShareLink) -> None:
    client = opened(link)
    assert status(client) == 200
    ShareLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert status(client) == 401
    assert client.get(address(link)).status_code == 410


def test_a_link_ends_when_it_is_revoked(link: ShareLink) -> None:
    client = opened(link)
    assert links.revoke(link.pk) is True
    assert status(client) == 401
    response = client.get(address(link))
    assert response.status_code == 410
    assert response["Referrer-Policy"] == "no-referrer"
    assert links.revoke(link.pk) is False


def test_the_setting_closes_all_links(link: ShareLink, tracking_settings: Settings) -> None:
    client = opened(link)
    tracking_settings(share_links=False)
    assert status(client) == 401
    assert client.get(address(link)).status_code == 410


def test_a_new_secret_key_closes_all_links(link: ShareLink, settings: DjangoSettings) -> None:
    client = opened(link)
    settings.SECRET_KEY = "another-key-that-is-long-enough-for-django-0123456789"
    assert status(client) == 401
    settings.SECRET_KEY_FALLBACKS = ["only-for-the-tests-of-codex-tracking-0123456789"]
    assert status(client) == 200


@pytest.mark.parametrize("change", ["key", "cut", "other", "empty", "long", "nul", "plain"])
def test_a_forged_link_is_not_even_looked_up(link: ShareLink, change: str) -> None:
    token = links.token_of(link)
    forged = {
        "key": ("0" if token[0] != "0" else "1") + token[1:],
        "cut": token[:-1],
        "other": f"{link.key}:{'A' * 43}",
        "empty": ":",
        "long": token + "x" * 5000,
        "nul": token + "\0",
        "plain": link.key,
    }[change]
    with CaptureQueriesContext(connection) as asked:
        assert links.find(forged) is None
    assert len(asked) == 0
    client = Client()
    client.cookies[COOKIE] = forged.replace("\0", "")
    if change != "nul":
        assert status(client) == 401


def test_staff_stay_staff_behind_a_link(link: ShareLink) -> None:
    client = opened(link)
    client.force_login(User.objects.create(username="staff", is_staff=True))
    assert status(client, "api/status/") == 200


# --- what a closed link says ---


def test_closed_links_say_what_happened_and_what_to_do(link: ShareLink, tracking_settings: Settings) -> None:
    guest = opened(link)
    shared = guest.get(ROOT).content.decode()
    assert "Shared with you by link, read only, until" in shared

    def told() -> list[tuple[int, str]]:
        """Return status and text of the link, and of the dashboard for the holder of its cookie."""
        answers = [Client().get(address(link)), guest.get(ROOT), guest.get(ROOT + "fragment/chart/")]
        return [(answer.status_code, answer.content.decode()) for answer in answers]

    ShareLink.objects.update(expires_at=timezone.now() - timedelta(days=1))
    for status_code, text in told():
        assert status_code == 410
        assert "has expired" in text
        assert "It was valid until" in text
        assert "Ask the person who sent it" in text
    links.revoke(link.pk)
    for status_code, text in told():
        assert status_code == 410
        assert "was revoked" in text
        assert "has expired" not in text
    ShareLink.objects.update(expires_at=timezone.now() + timedelta(days=1), revoked_at=None)
    tracking_settings(share_links=False)
    assert [(status_code, "are disabled" in text) for status_code, text in told()] == [(410, True)] * 3
    unknown = Client().get(f"{SHARE}nonsense/")
    assert unknown.status_code == 404
    assert "This share link does not exist" in unknown.content.decode()


def test_revoking_asks_first(boss: Client, link: ShareLink) -> None:
    page = boss.get(SHARE).content.decode()
    form = page[page.index("<details") : page.index("</details>")]
    assert "<summary" in form
    assert "This cannot be undone." in form
    assert f'action="{SHARE}{link.pk}/revoke/"' in form


def test_refused_users_and_unknown_addresses_get_a_page(tracking_settings: Settings) -> None:
    token = "a-token-of-the-settings-0123456789"
    tracking_settings(api_tokens=[token])
    user = Client()
    user.force_login(User.objects.create(username="someone"))
    by_token = Client(headers={"authorization": f"Bearer {token}"})
    for client, path, status_code, text in (
        (user, "", 403, "Ask an administrator"),
        (user, "share/", 403, "Ask an administrator"),
        (by_token, "", 403, "API tokens do not open this page"),
        (by_token, "health/", 403, "API tokens do not open this page"),
        (user, "nonsense/", 404, "Go to the dashboard"),
        (user, "api/nonsense/", 404, '"error": "Unknown address."'),
        (user, "api/breakdown/path/nonsense/", 404, '"error": "Unknown address."'),
    ):
        response = client.get(ROOT + path)
        assert response.status_code == status_code, path
        assert text in response.content.decode(), path
        assert response["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("path", ["health", "api/summary", "details/path"])
def test_a_missing_slash_is_appended(path: str, settings: DjangoSettings) -> None:
    response = Client().get(f"{ROOT}{path}?period=7d")
    assert (response.status_code, response["Location"]) == (301, f"{ROOT}{path}/?period=7d")
    settings.APPEND_SLASH = False
    assert Client().get(ROOT + path).status_code == 404


@pytest.mark.urls("tests.site.rooted")
def test_a_dashboard_at_the_root_leaves_other_addresses_to_the_project() -> None:
    assert Client().get("/health/").status_code == 302
    assert Client().get("/other/").status_code == 200
    assert Client().get("/api/orders/").status_code == 200


# --- making and revoking ---


def test_links_are_made_and_revoked_by_forms(boss: Client) -> None:
    response = boss.post(SHARE, form(boss) | {"name": " Board <b> ", "days": "5"})
    assert response.status_code == 302
    link = ShareLink.objects.get()
    assert (link.name, link.created_by, link.revoked_at) == ("Board <b>", "boss", None)
    assert timedelta(days=4.9) < link.expires_at - timezone.now() <= timedelta(days=5)
    page = boss.get(SHARE)
    assert "Board &lt;b&gt;" in page.content.decode()
    assert f"http://testserver{address(link)}" in page.content.decode()
    assert page["Cache-Control"] == "private, no-store"
    assert "default-src 'self'" in page["Content-Security-Policy"]
    assert boss.post(f"{SHARE}{link.pk}/revoke/", form(boss)).status_code == 302
    assert status(Client(), f"share/{links.token_of(link)}/") == 410
    assert address(link) not in boss.get(SHARE).content.decode()


def test_without_a_csrf_token_nothing_changes(boss: Client, link: ShareLink) -> None:
    assert boss.post(SHARE, {"name": "x", "days": "5"}).status_code == 403
    assert boss.post(f"{SHARE}{link.pk}/revoke/").status_code == 403
    assert ShareLink.objects.get().revoked_at is None


def test_csrf_is_checked_without_the_projects_middleware(
    boss: Client, link: ShareLink, settings: DjangoSettings
) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "csrf" not in name]
    assert boss.post(f"{SHARE}{link.pk}/revoke/").status_code == 403
    assert ShareLink.objects.get().revoked_at is None


def test_no_get_changes_anything(boss: Client, link: ShareLink) -> None:
    def rows() -> list[Any]:
        return [list(model.objects.values()) for model in (ShareLink, PageView, Breakdown)]

    before = rows()
    assert boss.get(f"{SHARE}{link.pk}/revoke/").status_code == 405
    for path in ("", "?name=x&days=5", f"{links.token_of(link)}/"):
        boss.get(SHARE + path)
    assert rows() == before


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("", "5"),
        ("x" * 101, "5"),
        ("a\0b", "5"),
        ("\u202ex", "5"),
        ("x", "0"),
        ("x", "367"),
        ("x", "-1"),
        ("x", "five"),
    ],
)
def test_bad_links_are_not_made(boss: Client, name: str, days: str) -> None:
    assert boss.post(SHARE, form(boss) | {"name": name, "days": days}).status_code == 400
    assert ShareLink.objects.count() == 0


@pytest.mark.parametrize(
    ("permissions", "made", "revoked"),
    [([], 403, 403), (["add_sharelink"], 302, 403), (["change_sharelink"], 403, 302)],
)
def test_sharing_takes_permissions_of_its_own(link: ShareLink, permissions: list[str], made: int, revoked: int) -> None:
    client = Client()
    staff = User.objects.create(username="staff", is_staff=True)
    staff.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    client.force_login(staff)
    assert client.post(SHARE, {"name": "x", "days": "5"}).status_code == made
    assert client.post(f"{SHARE}{link.pk}/revoke/").status_code == revoked


def test_visitors_are_sent_to_the_login_page(link: ShareLink) -> None:
    for response in (Client().get(SHARE), Client().post(f"{SHARE}{link.pk}/revoke/")):
        assert response.status_code == 302
        assert response["Location"].startswith("/login/?next=")


def test_an_api_token_makes_no_links(tracking_settings: Settings) -> None:
    token = "a-token-of-the-settings-0123456789"
    tracking_settings(api_tokens=[token])
    response = Client().post(SHARE, {"name": "x", "days": "5"}, headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 403
    assert ShareLink.objects.count() == 0


def test_the_admin_shows_and_revokes_links_and_makes_none(boss: Client, link: ShareLink) -> None:
    boss.handler.enforce_csrf_checks = False
    listed = "/admin/codex_tracking/sharelink/"
    assert "Board of the club" in boss.get(listed).content.decode()
    assert boss.get(listed + "add/").status_code == 403
    boss.post(listed, {"action": "revoke", "_selected_action": [str(link.pk)]})
    link.refresh_from_db()
    assert link.revoked_at is not None


def test_the_command_makes_lists_and_revokes(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("tracking_share", "Board", "--days=3", "--site=https://example.com/")
    url = capsys.readouterr().out.strip()
    assert url.startswith("https://example.com/cabinet/tracking/share/")
    assert Client().get(url.removeprefix("https://example.com")).status_code == 302
    call_command("tracking_share")
    assert "Board  valid until" in capsys.readouterr().out
    call_command("tracking_share", f"--revoke={ShareLink.objects.get().pk}")
    capsys.readouterr()
    call_command("tracking_share")
    assert "Board  revoked" in capsys.readouterr().out
    with pytest.raises(CommandError, match="No valid link"):
        call_command("tracking_share", "--revoke=99999")
    with pytest.raises(CommandError, match="days must be 1 to 366"):
        call_command("tracking_share", "x", "--days=0")
    for site in ("example.com", "ftp://example.com", "https://", "https://example.com/x/"):
        with pytest.raises(CommandError, match="--site must be such as"):
            call_command("tracking_share", "x", f"--site={site}")


@pytest.mark.parametrize("aware", [True, False])
def test_the_command_says_in_utc_until_when_a_link_is_valid(
    settings: DjangoSettings, capsys: pytest.CaptureFixture[str], aware: bool
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = aware, "Asia/Tokyo"
    links.create("Board", 3, "ann")
    expected = datetime.now(UTC) + timedelta(days=3)
    call_command("tracking_share")
    shown = re.search(r"valid until (.*) UTC", capsys.readouterr().out)
    assert shown is not None
    assert abs(datetime.fromisoformat(f"{shown[1]}+00:00") - expected) < timedelta(minutes=2)


def test_nothing_in_the_database_makes_a_link(link: ShareLink) -> None:
    row = ShareLink.objects.values().get()
    assert links.token_of(link) not in map(str, row.values())


@pytest.mark.parametrize("database", ["default", "postgres", "mariadb"], indirect=True)
async def test_links_work_on_every_database(database: str, async_client: AsyncClient) -> None:
    from asgiref.sync import sync_to_async

    link = await sync_to_async(links.create)("Board")
    assert link._state.db == database
    await async_client.get(address(link))
    assert (await async_client.get(ROOT + "api/summary/")).status_code == 200


# --- the public counter ---


def test_without_the_setting_there_is_no_counter() -> None:
    assert status(Client(), "counter.svg?path=/") == 404
    assert status(Client(), "counter.json?path=/") == 404


def test_the_counter_tells_one_number_and_no_more(tracking_settings: Settings) -> None:
    tracking_settings(public_counter=True)
    for back in (0, 1):
        date = timezone.localdate() - timedelta(days=back)
        PageView.objects.create(path="/x/", date=date, views=1000, visitors=7, own=1)
    response = Client().get(ROOT + "counter.json?path=/x/")
    assert response.json() == {"path": "/x/", "views": 2000}
    assert response["Cache-Control"] == "public, max-age=60"
    assert response["Access-Control-Allow-Origin"] == "*"
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")
    picture = Client().get(ROOT + "counter.svg?path=/x/")
    assert picture["Content-Type"] == "image/svg+xml"
    assert picture["Content-Security-Policy"] == "default-src 'none'"
    root = ElementTree.fromstring(picture.content)
    assert [text.strip() for text in root.itertext() if text.strip()] == ["2,000 views", "2,000 views"]


@pytest.mark.parametrize(
    "query", ["", "?path=", "?path=x", "?path=/" + "a" * 500, "?path=/%00", "?path=/&path=/b/", "?path=/&x=1"]
)
@pytest.mark.parametrize("name", ["counter.svg", "counter.json"])
def test_the_counter_takes_one_path(tracking_settings: Settings, name: str, query: str) -> None:
    tracking_settings(public_counter=True)
    response = Client().get(ROOT + name + query)
    assert response.status_code == 400
    assert b"path" in response.content


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img onerror=alert(1)>', "]]>", "&amp;"])
def test_the_counter_repeats_no_markup(tracking_settings: Settings, text: str) -> None:
    tracking_settings(public_counter=True)
    PageView.objects.create(path="/" + text, date=today(), views=1, own=1)
    picture = Client().get(ROOT + "counter.svg", {"path": "/" + text})
    assert ElementTree.fromstring(picture.content).findtext("{*}title") == "1 view"
    assert text.encode() not in picture.content
    answer = Client().get(ROOT + "counter.json", {"path": "/" + text})
    assert answer["Content-Type"] == "application/json"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer.json() == {"path": "/" + text, "views": 1}


def test_only_the_pages_that_the_project_names_have_a_counter(tracking_settings: Settings) -> None:
    tracking_settings(public_counter=True, public_counter_prefixes=["/blog/"])
    assert status(Client(), "counter.json?path=/blog/a/") == 200
    assert status(Client(), "counter.json?path=/cabinet/") == 404


def test_a_page_is_asked_for_once_a_minute_and_few_are_remembered(
    tracking_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking_settings(public_counter=True)
    monkeypatch.setattr(counter.remembered, "most", 3)
    client = Client()

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(ROOT + f"counter.json?path={path}").status_code == 200
        return len(asked)

    assert [queries("/a/"), queries("/a/")] == [1, 0]
    assert [queries(f"/{n}/") for n in range(3)] == [1, 1, 1]
    assert queries("/a/") == 1
    assert len(counter.remembered) == 3


class SlowPath(str):
    """A path during whose look-up other threads may run, as they may without the GIL."""

    def __hash__(self) -> int:
        time.sleep(0)
        return super().__hash__()


def test_threads_that_share_the_remembered_counts_do_not_fail() -> None:
    remembered = counter.Remembered(1)

    def fetch_often(path: str) -> None:
        for views in range(500):
            remembered.put("default", path, views)
            assert remembered.get("default", path) in (None, views)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(fetch_often, SlowPath(f"/{n}/")) for n in range(4)]:
            done.result()
    assert len(remembered) == 1


def test_a_counter_over_http_costs_the_visitor_nothing(app_server: Sites) -> None:
    site = app_server(tracking={"public_counter": True})
    answer = site.get(ROOT + "counter.json?path=/", accept="*/*", sec_fetch_dest="image")
    assert json.loads(answer.body) == {"path": "/", "views": 0}
    assert "set-cookie" not in answer.headers
    assert site.get(ROOT + "counter.svg?path=/", method="POST").status in (403, 405)
