"""Page views can be corrected in Django's admin, and the days' totals follow."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import reverse

from codex_tracking.admin import PageViewAdmin, list_dashboard
from codex_tracking.models import Breakdown, DayTotals, PageView

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)

pytestmark = pytest.mark.django_db(transaction=True)


def flushed(path: str, day: date, views: int) -> PageView:
    """Store a row as a flush does."""
    row = PageView.objects.create(path=path, date=day, views=views, own=views)
    DayTotals.objects.recount({day})
    return row


def total(day: date) -> int:
    """Return a day's total."""
    return DayTotals.objects.get(date=day).views


def test_the_list_of_page_views_is_as_promised() -> None:
    shown = admin.site.get_model_admin(PageView)
    assert isinstance(shown, PageViewAdmin)
    assert shown.list_display == ("date", "path", "views")
    assert shown.list_filter == ("date",)
    assert shown.search_fields == ("path",)
    assert shown.ordering == ("-date", "-views", "path")
    assert shown.show_full_result_count is False


def test_page_views_are_found_by_path(admin_client: Client) -> None:
    flushed("/here/", MONDAY, 3)
    flushed("/there/", MONDAY, 4)
    page = admin_client.get(reverse("admin:codex_tracking_pageview_changelist"), {"q": "ther"}).content.decode()
    assert "/there/" in page
    assert "/here/" not in page


def test_a_changed_row_changes_the_totals_of_both_its_days(admin_client: Client) -> None:
    row = flushed("/", MONDAY, 5)
    flushed("/other/", MONDAY, 2)
    form = {"date": TUESDAY.isoformat(), "path": "/", "views": "9"}
    answer = admin_client.post(reverse("admin:codex_tracking_pageview_change", args=[row.pk]), form)
    assert answer.status_code == 302
    assert (total(MONDAY), total(TUESDAY)) == (2, 9)


def test_a_deleted_row_leaves_the_total(admin_client: Client) -> None:
    row = flushed("/", MONDAY, 5)
    flushed("/other/", MONDAY, 2)
    admin_client.post(reverse("admin:codex_tracking_pageview_delete", args=[row.pk]), {"post": "yes"})
    assert total(MONDAY) == 2


def test_rows_deleted_together_leave_the_totals(admin_client: Client) -> None:
    rows = [flushed("/", MONDAY, 5), flushed("/", TUESDAY, 7)]
    flushed("/other/", TUESDAY, 2)
    form = {"action": "delete_selected", "_selected_action": [row.pk for row in rows], "post": "yes"}
    admin_client.post(reverse("admin:codex_tracking_pageview_changelist"), form)
    assert (total(MONDAY), total(TUESDAY)) == (0, 2)


@pytest.mark.parametrize("model", ["daytotals", "breakdown"])
def test_totals_and_breakdowns_are_only_shown(admin_client: Client, model: str) -> None:
    flushed("/", MONDAY, 5)
    row = Breakdown.objects.create(date=MONDAY, dimension="browser", value="Firefox", views=3)
    key = MONDAY.isoformat() if model == "daytotals" else row.pk
    assert admin_client.get(reverse(f"admin:codex_tracking_{model}_changelist")).status_code == 200
    assert admin_client.get(reverse(f"admin:codex_tracking_{model}_add")).status_code == 403
    page = admin_client.get(reverse(f"admin:codex_tracking_{model}_change", args=[key])).content.decode()
    assert 'name="_save"' not in page
    assert "deletelink" not in page


def test_the_index_links_to_the_dashboard(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert 'href="/cabinet/tracking/"' in page
    assert "Analytics" in page


def test_the_index_of_a_user_without_access_has_no_link(client: Client, rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    request.user = User.objects.create(username="someone")
    assert "/cabinet/tracking/" not in str(admin.site.get_app_list(request))


@pytest.mark.parametrize("before", [True, False])
def test_a_list_of_apps_that_the_project_makes_stays_the_projects(
    client: Client, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    usual = admin.AdminSite.get_app_list

    # As before Django 4.1, which added an argument; projects replace the method of the class, or derive from it.
    def get_app_list(self: admin.AdminSite, request: HttpRequest) -> list[dict[str, Any]]:
        return [*reversed(usual(self, request)), {"name": "Elsewhere", "app_url": "/elsewhere/", "models": []}]

    site: Any = type("Site", (admin.AdminSite,), {"get_app_list": get_app_list} if before else {})()
    site._registry = admin.site._registry
    list_dashboard(site)
    if not before:
        monkeypatch.setattr(admin.AdminSite, "get_app_list", get_app_list)
    request = RequestFactory().get("/admin/")
    request.user = User.objects.create_superuser("boss")
    names = [app["name"] for app in site.each_context(request)["available_apps"]]
    assert names == [*sorted(names[:-1], reverse=True), "Elsewhere"]
    ours = next(app["models"] for app in site.get_app_list(request) if app["name"] == "Page views")
    assert ours[0]["admin_url"] == "/cabinet/tracking/"
    assert ours[0].keys() == ours[1].keys()
