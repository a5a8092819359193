"""Project-wide switches of Django: one site has all of them on, another has no app of django.contrib."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from typing import Any

import django
import pytest

from tests.conftest import Sites
from tests.servers import Response, Site
from tests.site import settings as test_site

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TOKEN = "a-token-of-the-settings-0123456789"
ROOT = "/en/cabinet/tracking/"
TRACKING = {"api_tokens": [TOKEN], "public_counter": True}

SWITCHED_ON = [
    "codex_tracking.middleware.PageTrackingMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]
CSP = {"default-src": ["'none'"]}

PRIVATE = (
    "",
    "page/?path=/",
    "details/path/",
    "details/nonsense/",
    "fragment/chart/",
    "fragment/nonsense/",
    "health/",
    "share/",
    "share/1/revoke/",
    "share/nonsense/",
    "api/summary/",
    "api/breakdown/path/",
    "api/breakdown/nonsense/",
    "api/status/",
    "api/export/path.csv",
    "api/openapi.json",
)
PUBLIC = ("counter.svg?path=/", "counter.json?path=/")


def switched_on(server: str, app_server: Sites) -> tuple[Site, dict[str, Any]]:
    """Start a site with every switch on; return it with the headers of a staff member."""
    middleware = list(SWITCHED_ON)
    settings: dict[str, Any] = {
        "ROOT_URLCONF": "tests.site.languages",
        "MIDDLEWARE": middleware,
        "SESSION_SAVE_EVERY_REQUEST": True,
        "X_FRAME_OPTIONS": "DENY",
        "SECURE_REFERRER_POLICY": "unsafe-url",
        "CACHE_MIDDLEWARE_SECONDS": 600,
    }
    if django.VERSION >= (6, 0):
        middleware.insert(2, "django.middleware.csp.ContentSecurityPolicyMiddleware")
        settings["SECURE_CSP"] = CSP
    site = app_server(server=server, tracking=TRACKING, settings=settings, start=False)
    entry = site.database | {"ATOMIC_REQUESTS": True}
    site.env["TEST_DATABASE"] = json.dumps(entry)
    key = site.manage("shell", "-v0", "-c", MAKE_STAFF).stdout.split()[-1]
    site.start()
    return site, {"cookie": f"sessionid={key}"}


MAKE_STAFF = """
from django.contrib.auth import SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user = User.objects.create_superuser("staff")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(session.session_key)
"""


def lower(answer: Response) -> dict[str, str]:
    """Return an answer's headers with names in lower case, as ASGI servers send them."""
    return {name.lower(): value for name, value in answer.headers.items()}


def raw(site: Site, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and the body as it was sent."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.request("GET", path, headers={"accept-encoding": "gzip"} | headers)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


@pytest.fixture(scope="module", params=["uvicorn", "wsgi"])
def switched_site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, dict[str, Any]]]:
    """Yield a site with every switch on, and the headers of a staff member."""
    sites = Sites(tmp_path_factory.mktemp("switches"))
    yield switched_on(request.param, sites)
    sites.close()


def test_a_site_with_every_switch_on(switched_site: tuple[Site, dict[str, Any]]) -> None:
    site, staff = switched_site
    clients: dict[str, dict[str, Any]] = {
        "stranger": {},
        "staff": staff,
        "token": {"authorization": f"Bearer {TOKEN}"},
        "wrong token": {"authorization": "Bearer wrong"},
    }
    statuses: dict[tuple[str, str], int] = {}
    for path in PRIVATE:
        # Staff first: what a cache kept of theirs would be served to the stranger.
        for name in ("staff", "token", "wrong token", "stranger"):
            answer = site.get(ROOT + path, **clients[name])
            headers = lower(answer)
            statuses[path, name] = answer.status
            what = (path, name, answer.status)
            assert answer.status < 500, what
            assert headers["cache-control"] == "private, no-store", what
            assert headers["x-content-type-options"] == "nosniff", what
            assert "Cookie" in headers["vary"], what
            assert "etag" not in headers, what
            if headers["content-type"].startswith("text/html") and not path.startswith("api/"):
                assert headers["x-frame-options"] == "SAMEORIGIN", what
                assert headers["content-security-policy"].startswith("default-src 'self'"), what
    assert statuses["", "staff"] == statuses["api/summary/", "staff"] == statuses["api/summary/", "token"] == 200
    assert statuses["", "token"] == statuses["health/", "token"] == statuses["fragment/chart/", "token"] == 403
    assert statuses["", "stranger"] == 302
    assert statuses["api/summary/", "stranger"] == statuses["api/summary/", "wrong token"] == 401
    assert statuses["api/export/path.csv", "token"] == 200
    assert statuses["details/nonsense/", "staff"] == statuses["share/nonsense/", "stranger"] == 404
    assert statuses["share/1/revoke/", "staff"] == 405
    # A wrong method, not a missing CSRF token, is what is wrong.
    assert site.get(ROOT + "api/summary/", method="POST", **staff).status == 405
    assert site.get(ROOT, method="POST", **staff).status == 405
    refused = site.get(ROOT + "share/", method="POST", **staff)
    assert (refused.status, lower(refused)["cache-control"]) == (403, "private, no-store")


def test_claims_are_taken_with_every_switch_on(switched_site: tuple[Site, dict[str, Any]]) -> None:
    site, _ = switched_site
    assert site.get("/seen/", method="POST").status == 204
    assert site.get("/seen/").status == 204


def test_exports_counters_and_links_with_every_switch_on(switched_site: tuple[Site, dict[str, Any]]) -> None:
    site, staff = switched_site
    status, headers, body = raw(site, ROOT + "api/export/days.csv", authorization=f"Bearer {TOKEN}")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(body).startswith(b'"day","views"')
    for path in PUBLIC:
        _, headers, _ = raw(site, ROOT + path, **staff)
        # Each answer carries the cookie of the one who asked, so no shared cache may keep it.
        assert "set-cookie" in headers
        assert headers["cache-control"] == "private, max-age=60"
        status, headers, _ = raw(site, ROOT + path)
        assert (status, headers["cache-control"]) == (200, "public, max-age=60")
        assert "set-cookie" not in headers
        assert "x-frame-options" not in headers
        etag = headers["etag"]
        status, headers, body = raw(site, ROOT + path, **{"if-none-match": etag})
        assert (status, body) == (304, b"")
    status, headers, _ = raw(site, ROOT + "counter.json")
    assert (status, headers["cache-control"]) == (400, "no-store")
    link = site.manage("tracking_share", "Board").stdout.strip()
    assert link.startswith(ROOT)
    opened = site.get(link)
    assert (opened.status, lower(opened)["location"]) == (302, ROOT)
    cookie = lower(opened)["set-cookie"].partition(";")[0]
    assert site.get(ROOT, cookie=cookie).status == 200
    assert site.get(ROOT + "health/", cookie=cookie).status == 403


BARE: dict[str, Any] = {
    "INSTALLED_APPS": ["codex_tracking"],
    "MIDDLEWARE": ["codex_tracking.middleware.PageTrackingMiddleware", "django.middleware.common.CommonMiddleware"],
    "ROOT_URLCONF": "tests.site.bare",
    "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
}
BARE_ROOT = "/cabinet/tracking/"


def test_a_site_without_apps_of_django_contrib(app_server: Sites) -> None:
    site = app_server(tracking=TRACKING, settings=BARE)
    done = site.manage("check")
    assert "codex_tracking.W020" in done.stderr
    assert "django.contrib.auth" in done.stderr
    assert "codex_tracking.W021" in done.stderr
    token: dict[str, Any] = {"authorization": f"Bearer {TOKEN}"}
    for path in PRIVATE:
        for headers in ({}, token):
            answer = site.get(BARE_ROOT + path, **headers)
            assert answer.status < 500, (path, site.log_tail())
            assert lower(answer).get("cache-control") == "private, no-store", (path, answer)
    assert site.get(BARE_ROOT + "api/summary/").status == 401
    assert site.get(BARE_ROOT + "api/summary/", **token).status == 200
    assert site.get(BARE_ROOT + "api/export/days.csv", **token).status == 200
    assert site.get(BARE_ROOT + "counter.json?path=/").status == 200
    refused = site.get(BARE_ROOT)
    assert refused.status == 403
    assert "no login" in refused.body
    opened = site.get(site.manage("tracking_share", "Board").stdout.strip())
    cookie = lower(opened)["set-cookie"].partition(";")[0]
    assert site.get(BARE_ROOT, cookie=cookie).status == 200
    site.get("/")
    site.flush()


@pytest.mark.parametrize("missing", ["sessions", "auth", "contenttypes", "messages", "staticfiles", "admin"])
def test_check_runs_without_one_app(missing: str, app_server: Sites) -> None:
    """Django refuses auth without content types; without any other app the check must end by itself."""
    gone = {f"django.contrib.{missing}"}
    if missing in ("auth", "contenttypes", "sessions", "messages"):
        gone.add("django.contrib.admin")
    if missing == "contenttypes":
        gone.add("django.contrib.auth")
    settings: dict[str, Any] = {
        "INSTALLED_APPS": [name for name in test_site.INSTALLED_APPS if name not in gone],
        "MIDDLEWARE": [name for name in test_site.MIDDLEWARE if not any(name.startswith(app + ".") for app in gone)],
        "ROOT_URLCONF": "tests.site.bare",
    }
    if "django.contrib.admin" in gone:
        settings["TEMPLATES"] = BARE["TEMPLATES"]
    if missing == "sessions":
        settings["MIDDLEWARE"] = BARE["MIDDLEWARE"]
    site = app_server(settings=settings, start=False)
    done = site.manage("check")
    warned = [number for number in ("W020", "W021") if number in done.stderr]
    assert warned == {"sessions": ["W020"], "auth": ["W020"], "contenttypes": ["W020"], "staticfiles": ["W021"]}.get(
        missing, []
    )
