"""Contradictions between the headers of a request, by which a program shows that its browser's agent is borrowed."""

from __future__ import annotations

import re

HINTED_SINCE = 90
"""The first Chromium that sends ``Sec-CH-UA`` with every request over HTTPS to all users."""

CHROME = re.compile(r"Chrome/(\d{1,4})\.")
UNHINTED = re.compile(r"; wv\)|Electron/|QtWebEngine/|CEF/|\bTV\b|Tizen|Web0S")
"""Embedded Chromiums, many of which send no hints."""

PLATFORMS = (
    (re.compile(r"\bAndroid\b"), "android"),
    (re.compile(r"\bWindows NT\b"), "windows"),
    (re.compile(r"\bMacintosh\b"), "mac"),
)
"""Pattern of the system in the agent, and the beginning of that in ``Sec-CH-UA-Platform``."""


def is_suspect(agent: str, hints: tuple[str, str, str], unhinted: bool) -> bool:
    """Whether the headers contradict the user agent.

    Suspects are counted as people too: 0.2 to 0.4 % of people's requests look like this, because proxies and
    extensions change headers. Browsers send hints over HTTPS alone, so a site without it has no suspects.

    Args:
        agent: the user agent.
        hints: ``Client.hints``.
        unhinted: ``Client.unhinted``.
    """
    brands, platform, _ = hints
    chrome = CHROME.search(agent)
    if not brands:
        hinted = chrome is not None and int(chrome[1]) >= HINTED_SINCE and not UNHINTED.search(agent)
        return unhinted and hinted
    if chrome is None:
        # Neither Firefox nor any browser on iOS sends hints.
        return "Firefox/" in agent or "Version/" in agent or "iPhone" in agent
    # An empty platform is allowed; a structured header has its text in quotes (RFC 8941, section 3.3.3).
    said = platform.strip().strip('"').lower()
    return bool(said) and any(system.search(agent) and not said.startswith(expected) for system, expected in PLATFORMS)
