"""Segments: saved by name, applied by a link, and share links that cannot leave theirs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client

from codex_tracking.models import DayTotals, Funnel, PageView, Segment, ShareLink
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.steps import parse_step
from codex_tracking.web.access import links, saved
from codex_tracking.web.access.viewer import COOKIE
from tests.kit.log_parts import day, visit, write

ROOT = "/cabinet/tracking/"
SEGMENTS = ROOT + "segments/"
SHARE = ROOT + "share/"
GOOGLE = Filter("source", "is", ("Google", "Bing"))
ODD = Filter("page", "contains", ("a|b\\c",))

Settings = Callable[..., None]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("visit_log")]


@pytest.fixture
def segment() -> Segment:
    """Return a segment of two filters."""
    return saved.save_segment("Search engines", [GOOGLE, ODD], "boss")


def token(client: Client, address: str = SEGMENTS + "?f=source:is:Google") -> dict[str, str]:
    """Return the CSRF token of a page, as its forms send it."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(address).content.decode())
    assert found is not None
    return {"csrfmiddlewaretoken": found[1]}


def opened(link: ShareLink) -> Client:
    """Return a stranger's client that followed a link."""
    client = Client()
    assert client.get(f"{SHARE}{links.token_of(link)}/").status_code == 302
    return client


# --- what is saved ---


def test_a_segment_keeps_its_filters(segment: Segment) -> None:
    assert saved.filters_of(Segment.objects.get()) == (GOOGLE, ODD)
    assert (segment.name, segment.created_by) == ("Search engines", "boss")


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\u202eb"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name must be"):
        saved.save_segment(name, [GOOGLE])
    assert not Segment.objects.exists()


def test_a_segment_without_filters_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a filter"):
        saved.save_segment("All", [])


def test_a_name_is_given_once(segment: Segment) -> None:
    with pytest.raises(saved.TakenError, match="taken"):
        saved.save_segment(segment.name, [ODD])
    assert saved.filters_of(Segment.objects.get()) == (GOOGLE, ODD)


@pytest.mark.parametrize("filters", [[], ["colour:is:red"], ["nonsense"], [7], {"a": 1}])
def test_a_segment_that_cannot_be_read_is_none(segment: Segment, filters: object) -> None:
    Segment.objects.update(filters=filters)
    with pytest.raises(ValueError, match=r"filter"):
        saved.filters_of(Segment.objects.get())


# --- the page ---


def test_staff_save_the_filters_of_the_address_and_apply_them_by_a_link(strict_staff: Client) -> None:
    address = SEGMENTS + "?period=7d&f=source:is:Google%7CBing&f=country:is_not:DE"
    answer = strict_staff.post(address, {**token(strict_staff), "name": " Searchers "})
    assert (answer.status_code, answer["Location"]) == (302, address)
    row = Segment.objects.get()
    assert (row.name, row.filters, row.created_by) == (
        "Searchers",
        ["source:is:Google|Bing", "country:is_not:DE"],
        "staff",
    )
    page = strict_staff.get(SEGMENTS + "?period=7d").content.decode()
    link = f"{ROOT}?period=7d&amp;f=source%3Ais%3AGoogle%7CBing&amp;f=country%3Ais_not%3ADE"
    assert f'<a href="{link}"><bdi>Searchers</bdi></a>' in page


def test_a_segment_is_saved_with_a_token_alone(strict_staff: Client) -> None:
    assert strict_staff.post(SEGMENTS + "?f=source:is:Google", {"name": "x"}).status_code == 403
    assert not Segment.objects.exists()


def test_a_taken_name_and_missing_filters_are_told(strict_staff: Client, segment: Segment) -> None:
    form = token(strict_staff)
    answer = strict_staff.post(SEGMENTS + "?f=source:is:Google", {**form, "name": segment.name})
    assert answer.status_code == 400
    assert "This name is taken." in answer.content.decode()
    answer = strict_staff.post(SEGMENTS, {**form, "name": "All"})
    assert answer.status_code == 400
    assert "A segment needs one filter at least." in answer.content.decode()
    answer = strict_staff.post(SEGMENTS + "?f=source:is:Google", {**form, "name": "a\nb"})
    assert answer.status_code == 400
    assert "1 to 100 characters" in answer.content.decode()
    assert Segment.objects.count() == 1


def test_a_wrong_filter_is_told_with_what_is_known(strict_staff: Client) -> None:
    answer = strict_staff.get(SEGMENTS + "?f=colour:is:red")
    assert answer.status_code == 400
    assert "colour:is:red" in answer.content.decode()


def test_whoever_saved_a_segment_or_has_the_permission_deletes_it(strict_staff: Client, segment: Segment) -> None:
    mine = saved.save_segment("Mine", [GOOGLE], "staff")
    form = token(strict_staff)
    assert strict_staff.post(SEGMENTS, {**form, "delete": str(segment.pk)}).status_code == 403
    assert strict_staff.post(SEGMENTS, {**form, "delete": str(mine.pk)}).status_code == 302
    assert [each.name for each in Segment.objects.all()] == [segment.name]
    for unknown in (str(mine.pk), "x", "", "9" * 30):
        assert strict_staff.post(SEGMENTS, {**form, "delete": unknown}).status_code == 404
    User.objects.get().user_permissions.add(Permission.objects.get(codename="delete_segment"))
    assert strict_staff.post(SEGMENTS, {**form, "delete": str(segment.pk)}).status_code == 302
    assert not Segment.objects.exists()


@pytest.mark.parametrize(("permission", "status"), [("add_segment", 302), ("add_funnel", 403)])
def test_the_permission_to_add_segments_saves_segments(permission: str, status: int) -> None:
    client, reader = Client(), User.objects.create_user("reader")
    reader.user_permissions.set(Permission.objects.filter(codename__in=["view_pageview", permission]))
    client.force_login(reader)
    assert client.post(SEGMENTS + "?f=source:is:Google", {"name": "x"}).status_code == status


def test_readers_see_segments_and_save_none(segment: Segment) -> None:
    client, reader = Client(), User.objects.create_user("reader")
    reader.user_permissions.add(Permission.objects.get(codename="view_pageview"))
    client.force_login(reader)
    page = client.get(SEGMENTS + "?f=source:is:Google").content.decode()
    assert segment.name in page
    assert 'method="post"' not in page
    assert client.post(SEGMENTS + "?f=source:is:Google", {"name": "x"}).status_code == 403
    assert client.post(SEGMENTS, {"delete": str(segment.pk)}).status_code == 403
    assert Segment.objects.count() == 1


def test_strangers_and_guests_see_no_segments(segment: Segment) -> None:
    assert Client().get(SEGMENTS).status_code == 302
    guest = opened(links.create("Board", 7))
    assert guest.get(SEGMENTS).status_code == 403
    assert guest.post(SEGMENTS, {"delete": str(segment.pk)}).status_code == 403
    assert Segment.objects.count() == 1


# --- links that are restricted to a segment ---


def test_a_link_is_created_for_a_segment(segment: Segment) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("boss"))
    form = token(client, SHARE)
    answer = client.post(SHARE, {**form, "name": "Board", "days": "7", "segment": str(segment.pk)})
    assert answer.status_code == 302
    assert ShareLink.objects.get().segment == segment
    assert f"<dd><bdi>{segment.name}</bdi></dd>" in client.get(SHARE).content.decode()
    for wrong in (str(segment.pk + 1), "x"):
        answer = client.post(SHARE, {**form, "name": "Board", "days": "7", "segment": wrong})
        assert answer.status_code == 400
    assert ShareLink.objects.count() == 1


def test_the_command_creates_a_link_for_a_segment(segment: Segment, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("tracking_share", "Board", segment=segment.name)
    assert ShareLink.objects.get().segment == segment
    with pytest.raises(CommandError, match="Search engines"):
        call_command("tracking_share", "Board", segment="Nobody")
    assert ShareLink.objects.count() == 1
    capsys.readouterr()
    call_command("tracking_share")
    assert "Search engines only" in capsys.readouterr().out


@pytest.mark.parametrize("way", ["function", "row", "rows"])
def test_a_deleted_segment_revokes_its_links(segment: Segment, way: str) -> None:
    link, other = links.create("Board", 7, segment=segment), links.create("All", 7)
    guest = opened(link)
    if way == "function":
        assert saved.delete(Segment, segment.pk)
    elif way == "row":
        segment.delete()
    else:
        Segment.objects.all().delete()
    closed = ShareLink.objects.get(pk=link.pk)
    assert closed.revoked_at is not None
    assert guest.get(ROOT).status_code == 410
    assert guest.get(ROOT + "api/summary/").status_code == 401
    assert guest.get(f"{SHARE}{links.token_of(link)}/").status_code == 410
    assert ShareLink.objects.get(pk=other.pk).revoked_at is None
    assert saved.delete(Segment, segment.pk or 1) is False


def test_a_link_that_was_revoked_before_keeps_its_day(segment: Segment) -> None:
    link = links.create("Board", 7, segment=segment)
    links.revoke(link.pk)
    before = ShareLink.objects.get().revoked_at
    saved.delete(Segment, segment.pk)
    assert ShareLink.objects.get().revoked_at == before


@pytest.mark.parametrize("filters", [[], ["colour:is:red"], 7, ["nonsense"]])
def test_a_segment_that_cannot_be_read_closes_its_links(segment: Segment, filters: object) -> None:
    guest = opened(links.create("Board", 7, segment=segment))
    Segment.objects.update(filters=filters)
    assert guest.get(ROOT + "api/summary/").status_code == 401
    assert guest.get(ROOT).status_code == 302


def test_the_cookie_of_a_restricted_link_is_the_only_way_in(segment: Segment) -> None:
    guest = opened(links.create("Board", 7, segment=segment))
    del guest.cookies[COOKIE]
    assert guest.get(ROOT + "api/summary/").status_code == 401


def test_the_admin_deletes_segments_and_funnels(segment: Segment, admin_client: Client) -> None:
    link = links.create("Board", 7, segment=segment)
    saved.save_funnel("Sign-up", [parse_step("page:/"), parse_step("event:signup")], "boss")
    for model, row in (("segment", segment), ("funnel", Funnel.objects.get())):
        listed = admin_client.get(f"/admin/codex_tracking/{model}/")
        assert row.name in listed.content.decode()
        form = {"action": "delete_saved", "_selected_action": [str(row.pk)]}
        assert admin_client.post(f"/admin/codex_tracking/{model}/", form).status_code == 302
    assert not Segment.objects.exists()
    assert not Funnel.objects.exists()
    assert ShareLink.objects.get(pk=link.pk).revoked_at is not None


# --- the way there ---


def test_the_dashboard_leads_to_the_pages_about_visits(strict_staff: Client, tracking_settings: Settings) -> None:
    PageView.objects.create(path="/", date=day(0), views=5, own=1)
    DayTotals.objects.create(date=day(0), views=5)
    page = strict_staff.get(ROOT + "?period=7d&f=source:is:Google").content.decode()
    for name in ("funnels", "journeys", "segments"):
        assert f'<a href="{ROOT}{name}/?period=7d&amp;f=source:is:Google">' in page
    # There a step is one of visits; here it is one of the chart.
    weekly = strict_staff.get(ROOT + "?period=90d&step=week&metric=visits").content.decode()
    for name in ("funnels", "journeys", "segments"):
        assert f'<a href="{ROOT}{name}/?period=90d&amp;metric=visits">' in weekly
    assert "Save as a segment" in page
    assert "Save as a segment" not in strict_staff.get(ROOT).content.decode()
    guest = opened(links.create("Board", 7)).get(ROOT).content.decode()
    assert f"{ROOT}funnels/?" in guest
    assert f"{ROOT}segments/" not in guest
    tracking_settings(visit_log_days=0)
    assert f"{ROOT}funnels/" not in strict_staff.get(ROOT).content.decode()


# --- changed ---


def test_whoever_saved_a_segment_or_has_the_permission_changes_it(strict_staff: Client, segment: Segment) -> None:
    mine = saved.save_segment("Mine", [GOOGLE], "staff")
    form = token(strict_staff) | {"name": " Renamed "}
    assert strict_staff.post(SEGMENTS, {**form, "change": str(segment.pk)}).status_code == 403
    assert strict_staff.post(SEGMENTS, {**form, "change": str(mine.pk)}).status_code == 302
    mine.refresh_from_db()
    assert (mine.name, saved.filters_of(mine), mine.created_by) == ("Renamed", (GOOGLE,), "staff")
    User.objects.get(username="staff").user_permissions.add(Permission.objects.get(codename="change_segment"))
    address = SEGMENTS + "?f=device:is:phone"
    assert (
        strict_staff.post(address, {**form, "name": "Phones", "change": str(segment.pk), "replace": "1"}).status_code
        == 302
    )
    segment.refresh_from_db()
    assert (segment.name, segment.filters, segment.created_by) == ("Phones", ["device:is:phone"], "boss")


def test_a_form_changes_each_segment_that_may_be_changed(strict_staff: Client, segment: Segment) -> None:
    mine = saved.save_segment("Mine", [GOOGLE], "staff")
    page = strict_staff.get(SEGMENTS).content.decode()
    assert re.findall(r'name="change" value="(\d+)"', page) == [str(mine.pk)]
    assert 'name="replace"' not in page
    assert 'name="replace"' in strict_staff.get(SEGMENTS + "?f=device:is:phone").content.decode()


def test_what_cannot_be_a_segment_changes_none(strict_staff: Client, segment: Segment) -> None:
    mine = saved.save_segment("Mine", [GOOGLE], "staff")
    form = token(strict_staff) | {"change": str(mine.pk)}
    for answer, text in (
        (strict_staff.post(SEGMENTS, {**form, "name": segment.name}), "This name is taken."),
        (strict_staff.post(SEGMENTS, {**form, "name": " "}), "1 to 100 characters"),
        (strict_staff.post(SEGMENTS, {**form, "name": "Mine", "replace": "1"}), "A segment needs one filter at least."),
    ):
        assert answer.status_code == 400
        assert text in answer.content.decode()
    mine.refresh_from_db()
    assert (mine.name, saved.filters_of(mine)) == ("Mine", (GOOGLE,))
    assert strict_staff.post(SEGMENTS, {**form, "name": "x", "change": "99999"}).status_code == 404
    assert not saved.change_segment(Segment(pk=99999, name="gone"), "x")


def test_a_link_shows_the_visits_of_the_new_filters(segment: Segment) -> None:
    write(visit(1, "/searched/", date=day(1)), visit(2, "/elsewhere/", date=day(1), source="Elsewhere"), date=day(1))
    assert saved.change_segment(segment, "One", [GOOGLE])
    guest = opened(links.create("Partner", days=7, segment=segment))
    before = guest.get(ROOT).content.decode()
    assert saved.change_segment(segment, "Other", [Filter("source", "is", ("Elsewhere",))])
    after = guest.get(ROOT).content.decode()
    assert ["/searched/" in before, "/elsewhere/" in before] == [True, False]
    assert ["/searched/" in after, "/elsewhere/" in after] == [False, True]


# --- the API ---


def test_the_api_lists_segments_and_funnels_for_staff_alone(strict_staff: Client, segment: Segment) -> None:
    steps = [parse_step(r"page:/a\|b/|route:<slug>"), parse_step("event:signup")]
    saved.save_funnel("Sign-up", steps, "boss")
    assert strict_staff.get(ROOT + "api/segments/").json() == {
        "segments": [{"name": "Search engines", "filters": [str(GOOGLE), str(ODD)], "created_by": "boss"}]
    }
    assert strict_staff.get(ROOT + "api/funnels/").json() == {
        "funnels": [{"name": "Sign-up", "steps": [*map(str, steps)], "created_by": "boss"}]
    }
    for link in (links.create("Board", 7), links.create("Partner", 7, segment=segment)):
        for path in ("segments", "funnels"):
            assert opened(link).get(f"{ROOT}api/{path}/").status_code == 403
