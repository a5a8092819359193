"""Guards of hits: each has a test of its own, and without the guard this test turns red."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest.mock import patch

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import resolve

from codex_tracking.counters import tally
from codex_tracking.counters.addresses import MANY_AGENTS
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.batch import MOST_BYTES
from codex_tracking.counters.fields import Counts, counter
from codex_tracking.hits import bot_list, bots, memo
from codex_tracking.hits.bots import bot
from codex_tracking.hits.capture import answered, hit_of
from codex_tracking.hits.hit import Hit, Later, Member
from codex_tracking.hits.late import completed, member_key
from codex_tracking.hits.memo import Memo
from codex_tracking.hits.rules import LONGEST_COOKIE, session_of
from codex_tracking.hits.sources import source_of
from codex_tracking.hits.visitors import HEADER_LIMIT
from codex_tracking.settings import TrackingSettings, get_tracking_settings
from tests.kit.mutation import Mutant, mutated
from tests.kit.pipeline import FIREFOX, VIEW, request_for, today, view

STAFF, MEMBER, NOBODY = Member("7", True), Member("7", False), Member("", False)
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


def settings_with(**changes: Any) -> TrackingSettings:
    return dataclasses.replace(get_tracking_settings(), **changes)


def asked(path: str = "/page/1/", cookie: str = "sessionid=s3ss1on") -> HttpRequest:
    """Return a request with a cookie, and with its route if there is one."""
    request = RequestFactory().get(path, HTTP_COOKIE=cookie, HTTP_USER_AGENT=FIREFOX, HTTP_ACCEPT="text/html")
    if path.startswith("/page/"):
        request.resolver_match = resolve(path)
    return request


# --- cookies ---


def test_a_cookie_that_no_browser_keeps_is_no_session() -> None:
    for length, known in ((LONGEST_COOKIE, True), (LONGEST_COOKIE + 1, False)):
        request = asked(cookie="sessionid=" + "x" * length)
        assert bool(session_of(request, get_tracking_settings())) is known


def test_a_request_without_a_session_has_no_cookies_parsed() -> None:
    without, other = asked(), asked(cookie="theme=dark; csrftoken=x")
    del without.META["HTTP_COOKIE"]
    for request in (without, other):
        assert session_of(request, get_tracking_settings()) == ""
        assert "COOKIES" not in vars(request)


# --- found out later ---


def later(hit: Hit = VIEW, member: Member | None = None, judged: bool = True, **settings: Any) -> Hit | None:
    """Return a hit of a logged-in user once it is known, or not, who that is."""
    found = Later("", None, "7", "", judged)
    members = {} if member is None else {member_key(found): member}
    return completed(hit._replace(later=found), members, settings_with(**settings))


def test_a_page_of_ours_that_no_view_had_resolved_counts_as_nothing() -> None:
    ours = VIEW._replace(path="/cabinet/tracking/", later=Later("/cabinet/tracking/", None, "", "", True))
    assert completed(ours, {}, get_tracking_settings()) is None


def test_staff_is_left_out_of_what_was_answered_alone() -> None:
    for judged, kind in ((True, "excluded"), (False, "view")):
        hit = later(member=STAFF, judged=judged, track_staff=False)
        assert hit is not None
        assert hit.kind == kind


def test_anonymous_visitors_are_left_out_of_what_was_answered_alone() -> None:
    for judged, kind in ((True, "excluded"), (False, "view")):
        found = Later("", None, "", "s3ss1on", judged)
        hit = completed(VIEW._replace(later=found), {member_key(found): NOBODY}, settings_with(track_anonymous=False))
        assert hit is not None
        assert hit.kind == kind


def test_a_member_who_opted_out_gets_no_name() -> None:
    for anonymous, user in ((True, ""), (False, "7")):
        hit = later(VIEW._replace(client=VIEW.client._replace(anonymous=anonymous)), MEMBER)
        assert hit is not None
        assert hit.client.user == user


def test_an_error_is_nobodys() -> None:
    hit = later(VIEW._replace(kind="error", name="404"), STAFF, judged=True, track_staff=False)
    assert hit is not None
    assert (hit.kind, hit.name, hit.client.user) == ("error", "404", "")


def test_a_member_who_opted_out_is_a_member_while_nobody_knows_the_user() -> None:
    hit = later(VIEW._replace(client=VIEW.client._replace(anonymous=True)), None, track_anonymous=False)
    assert hit is not None
    assert hit.kind == "view"


# --- sources ---


def test_own_hosts_are_told_with_and_without_www() -> None:
    for own in ("www.shop.example", "shop.example"):
        assert source_of("https://www.shop.example/a", "", "app.example", own_hosts=(own,)).referrer == ""


# --- bounds ---


def counts(hits: list[Hit], most_bytes: int = MOST_BYTES) -> Counts:
    """Return the counters of hits when so many bytes may wait."""
    aggregator = Aggregator(get_tracking_settings())
    with patch.object(tally, "MOST_BYTES", most_bytes):
        for hit in hits:
            aggregator.add(hit)
        return aggregator.counted()[today()].counts


def test_counters_above_the_bytes_that_may_wait_are_others() -> None:
    found = counts([view(f"/{n}/", anonymous=True) for n in range(50)], 5_000)
    assert found.get(counter("path", "(other)"), 0) > 10


def test_visitors_above_the_bytes_that_may_wait_are_dropped() -> None:
    found = counts([view("/", user=str(n)) for n in range(50)], 5_000)
    assert found.get(counter("ledger", "dropped_visitor"), 0) > 20


def test_pages_of_a_visit_above_the_bytes_that_may_wait_are_dropped() -> None:
    found = counts([view(f"/{n}/", user="1") for n in range(30)], 5_000)
    assert found.get(counter("ledger", "dropped_page"), 0) > 10


def test_a_memory_of_results_is_bounded() -> None:
    remembers = Memo(str.upper)
    with patch.object(memo, "MOST_BYTES", 5_000):
        for number in range(100):
            remembers(str(number))
            assert remembers.weight <= 5_000


def test_looking_for_bots_ends() -> None:
    lengths = bot_list._bots().lengths
    key = max((key for key in lengths if key.isalpha()), key=lambda key: len(lengths[key]))
    assert bot_list.listed(f"{key}~ googlebot/2.1") == "Googlebot"
    assert bot_list.listed(f"{key}~ " * 300 + "googlebot/2.1") is None


# --- who is seen ---


def test_many_agents_are_noted_with_an_address_alone() -> None:
    agents = [f"{FIREFOX} {number}" for number in range(2 * MANY_AGENTS)]
    name = counter("ledger", "one_address")
    assert counts([view(agent=agent) for agent in agents])[name] > 0
    assert name not in counts([view(agent=agent, address="") for agent in agents])
    assert name not in counts([view(agent=agent, user="7") for agent in agents])


def test_a_signature_is_cut_and_its_lack_says_nothing() -> None:
    hit = Hit.of(hit_of(request_for(**{"signature-agent": "x" * 5_000}), ("", None), get_tracking_settings()))
    assert len(hit.client.signer) == HEADER_LIMIT
    bots.bot_among.cache_clear()
    assert bot(CHROME, get_tracking_settings()) is None
    assert bot(CHROME, get_tracking_settings(), signer='"https://signer.example"') == "signer.example"


# --- sessions ---


def open_questions(user: str, is_staff: bool | None, kind: Any = "view", path: str = "/page/1/") -> Later | None:
    """Return what is to be found out about a request, when so much is known of its user."""
    return Hit.of(hit_of(asked(path), (user, is_staff), get_tracking_settings(), kind)).later


def test_a_session_is_read_later_where_nobody_has_read_it() -> None:
    found = open_questions("", None)
    assert found is not None
    assert found.session == "s3ss1on"
    # Read, and nobody is logged in.
    assert open_questions("", False) is None


def test_a_session_whose_user_is_known_is_not_read_again() -> None:
    found = open_questions("7", None)
    assert found is not None
    assert (found.session, found.user) == ("", "7")


def test_the_session_of_an_error_is_not_read() -> None:
    assert open_questions("", None, "error") is None


def test_a_user_of_whom_all_is_known_is_not_looked_up() -> None:
    assert open_questions("7", False) is None
    found = open_questions("7", False, path="/unresolved/")
    assert found is not None
    assert (found.path_info, found.user) == ("/unresolved/", "")


def test_a_member_may_be_behind_a_session_that_nobody_has_read() -> None:
    settings = settings_with(track_anonymous=False)
    request, read = asked(), asked()
    read.user = type("Nobody", (), {"is_authenticated": False})()
    kinds = [(answered(one, HttpResponse("<p>"), settings) or ("", ""))[1] for one in (request, read)]
    assert kinds == ["view", "excluded"]


# --- without the guard ---


def without(reason: str, module: str, old: str, new: str, test: Any) -> Mutant:
    return Mutant(reason, module, {old: new}, test.__name__)


RULES, LATE, CAPTURE, SOURCES = "hits/rules.py", "hits/late.py", "hits/capture.py", "hits/sources.py"
TALLY, BOTS = "counters/tally.py", "hits/bots.py"
SESSION = 'if is_staff is None and not user and kind != "error" else ""'
MUTANTS = [
    without("longest cookie", RULES, " if len(value) <= LONGEST_COOKIE else", " if value else",
            test_a_cookie_that_no_browser_keeps_is_no_session),
    without("no cookies", RULES, ' or settings.session_cookie not in request.META.get("HTTP_COOKIE", "")', "",
            test_a_request_without_a_session_has_no_cookies_parsed),
    without("our pages", LATE, "elif OURS in match.app_names:", "elif not match:",
            test_a_page_of_ours_that_no_view_had_resolved_counts_as_nothing),
    without("staff", LATE, "later.judged and member.is_staff", "member.is_staff",
            test_staff_is_left_out_of_what_was_answered_alone),
    without("anonymous visitors", LATE, "later.judged and not user", "not user",
            test_anonymous_visitors_are_left_out_of_what_was_answered_alone),
    without("opted out", LATE, "if user and not hit.client.anonymous", "if user",
            test_a_member_who_opted_out_gets_no_name),
    without("errors", LATE, 'if hit.kind == "error":', 'if hit.kind == "none":', test_an_error_is_nobodys),
    without("known user", LATE, "member.user or later.user or", "member.user or",
            test_a_member_who_opted_out_is_a_member_while_nobody_knows_the_user),
    without("without www", SOURCES, "validate_host(host, own_hosts) or ", "",
            test_own_hosts_are_told_with_and_without_www),
    without("with www", SOURCES, 'own_hosts) or validate_host(link[2].strip().lower().rstrip("."), own_hosts)',
            "own_hosts)", test_own_hosts_are_told_with_and_without_www),
    without("bytes of counters", TALLY, "self.fields >= MOST_FIELDS or self.weight >= MOST_BYTES",
            "self.fields >= MOST_FIELDS", test_counters_above_the_bytes_that_may_wait_are_others),
    without("bytes of visitors", TALLY, "self.visitors >= MOST_VISITORS or self.weight >= MOST_BYTES",
            "self.visitors >= MOST_VISITORS", test_visitors_above_the_bytes_that_may_wait_are_dropped),
    without("bytes of pages", TALLY, "        if self.weight >= MOST_BYTES:", "        if self.weight < 0:",
            test_pages_of_a_visit_above_the_bytes_that_may_wait_are_dropped),
    without("bytes of results", "hits/memo.py", "self.weight + weight > MOST_BYTES", "self.weight < 0",
            test_a_memory_of_results_is_bounded),
    without("look-ups", "hits/bot_list.py", "if left < 0:", "if not word:", test_looking_for_bots_ends),
    without("no address", "counters/profiles.py", "profile.visitor and not", "not",
            test_many_agents_are_noted_with_an_address_alone),
    without("users of one office", "counters/profiles.py", " and not client.user", "",
            test_many_agents_are_noted_with_an_address_alone),
    without("long signature", CAPTURE, 'SIGNATURE_AGENT", "")[:HEADER_LIMIT]', 'SIGNATURE_AGENT", "")',
            test_a_signature_is_cut_and_its_lack_says_nothing),
    without("no signature", BOTS, "if name or not signer:", "if name:",
            test_a_signature_is_cut_and_its_lack_says_nothing),
    without("session that was read", CAPTURE, SESSION, 'if not user and kind != "error" else ""',
            test_a_session_is_read_later_where_nobody_has_read_it),
    without("session of a user", CAPTURE, SESSION, 'if is_staff is None and kind != "error" else ""',
            test_a_session_whose_user_is_known_is_not_read_again),
    without("session of an error", CAPTURE, SESSION, 'if is_staff is None and not user else ""',
            test_the_session_of_an_error_is_not_read),
    without("open session", CAPTURE, "match is not None and not session and", "match is not None and",
            test_a_session_is_read_later_where_nobody_has_read_it),
    without("open user", CAPTURE, "not session and (is_staff is not None or not user)", "not session",
            test_a_session_whose_user_is_known_is_not_read_again),
    without("known staff", CAPTURE, 'user if is_staff is None else ""', "user",
            test_a_user_of_whom_all_is_known_is_not_looked_up),
    without("unread session", CAPTURE, " and (is_staff is False or not session_of(request, settings))", "",
            test_a_member_may_be_behind_a_session_that_nobody_has_read),
    without("read session", CAPTURE, "(is_staff is False or not session_of(request, settings))",
            "not session_of(request, settings)", test_a_member_may_be_behind_a_session_that_nobody_has_read),
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.reason}")
def test_a_missing_guard_is_noticed(mutant: Mutant) -> None:
    globals()[mutant.scenario]()
    with mutated(mutant), pytest.raises(AssertionError):
        globals()[mutant.scenario]()
