"""Browser, operating system and kind of device: names only, never versions."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from codex_tracking.hits.device_tables import (
    BRANDS,
    BROWSERS,
    DESKTOPS,
    HARMONY_PC,
    KINDS,
    PLATFORMS,
    SYSTEMS,
    Sign,
)
from codex_tracking.hits.memo import Memo
from codex_tracking.hits.text import AGENT_LIMIT, clean

BRAND = re.compile(r'"([^"]{1,40})"\s*;\s*v=')
NAME_LIMIT = 60
"""Characters of a browser's or system's name that are kept."""

OTHER = "Other"
"""The name of an unknown browser or system."""


class Device(NamedTuple):
    """A visitor's browser, operating system and kind of device."""

    browser: str
    """``Chrome``, ``Safari``, ...; ``Other`` when unknown."""
    os: str
    """``Windows``, ``Android``, ...; ``Other`` when unknown."""
    device: str
    """``desktop``, ``mobile``, ``tablet``, ``tv``, ``console`` or ``other``."""


def device_of(agent: str, hints: tuple[str, str, str]) -> Device:
    """Return the browser, system and kind of device of a user agent.

    Args:
        agent: the user agent; 512 characters are read.
        hints: ``Sec-CH-UA``, ``Sec-CH-UA-Platform``, ``Sec-CH-UA-Mobile``; empty strings where not sent.

    Source: client hints where they say more than the agent, then the tables, then ``ua-parser`` (extra
    ``devices``) for the rare ones that the tables do not know. The tables come first because they name in-app
    browsers, and because names must not change when the extra is installed.
    """
    return _device(agent[:AGENT_LIMIT], *hints)


@Memo
def _device(agent: str, brands: str, platform: str, mobile: str) -> Device:
    browser = _brand(brands) or _first(BROWSERS, agent)
    system = PLATFORMS.get(platform.strip().strip('"')) or _first(SYSTEMS, agent)
    if not (browser and system) and agent:
        family, os_family = _parse(agent)
        browser = browser or family
        system = system or os_family
    return Device(browser or OTHER, system or OTHER, _kind(agent, system, mobile.strip()))


def _first(table: tuple[Sign, ...], agent: str) -> str:
    # Plain loops: a generator for each of the hundred signs takes longer than the look-ups.
    for name, texts, pattern in table:
        for text in texts:
            if text in agent:
                if pattern is None or pattern.search(agent):
                    return name
                break
    return ""


def _brand(brands: str) -> str:
    return next((BRANDS[brand] for brand in BRAND.findall(brands[:AGENT_LIMIT]) if brand in BRANDS), "")


def _kind(agent: str, system: str, mobile: str) -> str:
    # ?1 is true in structured headers (RFC 8941, section 3.3.6).
    kind = _first(KINDS, agent) or ("mobile" if mobile == "?1" else "")
    if kind:
        return kind
    if system == "HarmonyOS" and HARMONY_PC.search(agent):
        return "desktop"
    if system in ("Android", "HarmonyOS"):
        # Telephones say "Mobile"; Android without it is a tablet, also when it asks for the desktop page.
        return "tablet"
    return "desktop" if system in DESKTOPS else "other"


def _parse(agent: str) -> tuple[str, str]:
    parse = _parser()
    return parse(agent) if parse else ("", "")


@cache
def _parser() -> Callable[[str], tuple[str, str]] | None:
    """Return ua-parser behind a small function, or None without the extra ``devices``.

    Its pure Python engine takes 800 us per agent, so only the compiled ones will do.
    """
    try:
        import ua_parser
    except ImportError:
        return None
    # 13 µs an agent, or else 56.
    engine = ua_parser.RegexResolver or ua_parser.Re2Resolver
    if engine is None:
        return None
    # The eager tables compile all patterns for Python's own engine as well, which takes 0.2 s and is not asked.
    browsers, systems, _devices = ua_parser.load_lazy_builtins()
    # Without the device table, which is most of its memory.
    resolve = engine((browsers, systems, []))

    def parse(agent: str) -> tuple[str, str]:
        # The compiled engines cannot read lone surrogates.
        text = agent.encode("utf-8", "replace").decode("utf-8")
        result = resolve(text, ua_parser.Domain.USER_AGENT | ua_parser.Domain.OS)
        family = result.user_agent.family if result.user_agent else ""
        system = result.os.family if result.os else ""
        return clean(family, NAME_LIMIT), clean(system, NAME_LIMIT)

    return parse
