"""The bot list, and the words that give an unlisted bot away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.resources import files
from time import process_time
from timeit import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.hits import bots, devices
from codex_tracking.hits.bots import bot, bot_category
from codex_tracking.settings import TrackingSettings

SETTINGS = TrackingSettings()


def test_the_allow_list_is_asked_before_the_deny_list_and_both_ignore_case() -> None:
    assert bot("GoogleBot/2.1", TrackingSettings(bot_allow=("googlebot",), bot_deny=("google",))) is None
    assert bot("Mozilla/5.0 (X11; Linux) ACME Kiosk", TrackingSettings(bot_deny=("acme kiosk",))) == "acme kiosk"


def test_every_bot_has_a_category() -> None:
    assert bot_category("GPTBot") == "ai"
    assert bot_category("Googlebot") == "search"
    assert bot_category("curl") == "script"
    assert bot_category("somebot") == "other"


def test_the_bot_list_is_well_formed() -> None:
    path = files("codex_tracking.hits") / "data" / "bots.json"
    rows = json.loads(path.read_text("utf-8"))
    patterns = [row["pattern"] for row in rows]
    assert len(set(patterns)) == len(patterns) >= 500
    assert all(row.keys() == {"name", "pattern", "category"} for row in rows)
    assert all(pattern == pattern.lower() and len(pattern.removeprefix("^")) >= 2 for pattern in patterns)


def test_every_listed_bot_is_found_under_its_own_name() -> None:
    path = files("codex_tracking.hits") / "data" / "bots.json"
    rows = json.loads(path.read_text("utf-8"))
    lost = [row for row in rows if bot(row["pattern"].removeprefix("^"), SETTINGS) is None]
    assert lost == []


@given(st.text(max_size=600))
def test_no_agent_makes_it_raise_and_every_name_is_short(agent: str) -> None:
    for text in (agent, "Mozilla/5.0 (compatible; " + agent, agent + "bot"):
        name = bot(text, SETTINGS)
        assert name is None or 0 < len(name) <= 130


Maker = Callable[[int], str]


@pytest.mark.parametrize("make", [lambda n: "bot" * n, lambda n: "(" * n, lambda n: "a." * n, lambda n: "http" * n])
def test_a_hostile_agent_costs_little(make: Maker) -> None:
    agents = iter([make(10_000) + str(number) for number in range(20)])
    # CPU seconds: other tests run at the same time.
    assert timeit(lambda: bot(next(agents), SETTINGS), number=20, timer=time.process_time) / 20 < 0.005


def test_of_a_crawlers_mail_address_only_the_domain_is_kept() -> None:
    assert bot("Mozilla/5.0 (compatible; Acme/1.0; jane.doe@crawl.example)", TrackingSettings()) == "crawl.example"


HOSTILE = {
    "one word": "a" * 512,
    "short words": "a." * 256,
    "names": "google webb clou " * 30,
    "guarded words": "cubot m_bot spider 8 useragent " * 16,
    "addresses": "a@b a at b " * 46,
    "systems": "Win Mac P X TV SM- KF " * 23,
    "versions": "Version/1) " * 46 + "Safari",
    "spaces": "Mozilla/5.0 (" + " " * 499,
}


def seconds(work: Callable[[], object]) -> float:
    """Return the least CPU time of some runs."""
    best = 1.0
    for _ in range(40):
        begin = process_time()
        work()
        best = min(best, process_time() - begin)
    return best


@pytest.mark.parametrize("agent", HOSTILE.values(), ids=list(HOSTILE))
def test_agents_made_to_be_slow_are_not(agent: str) -> None:
    def judge() -> None:
        bots.bot_among._function(agent, (), (), "", "")
        devices._device._function(agent, "", "", "")

    # A yardstick for machines of any speed; a browser's agent takes a tenth of it.
    assert seconds(judge) < seconds(lambda: [number * number for number in range(20_000)])
