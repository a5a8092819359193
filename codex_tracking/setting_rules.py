"""The rules that the values of settings must follow, for the system check and for the fallback to defaults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

EMBEDDED = "memory://"
"""The URL of the in-process store."""

CLUSTER, SENTINEL = ("redis+cluster://", "rediss+cluster://"), ("redis+sentinel://", "rediss+sentinel://")
"""Without and with TLS."""
SCHEMES = ("redis://", "rediss://", "unix://", *CLUSTER, *SENTINEL, EMBEDDED)

ENGINE_SCHEMES = ("clickhouse://", "clickhouses://", "chdb://")
"""Of ``visit_engine``; ``chdb://`` is ClickHouse's engine within this process, for tests."""

METRIC_SYSTEMS = {"prometheus", "opentelemetry"}

CHANNELS = ("search", "social", "ai", "email", "campaign", "referral")
"""Channels that a row of ``sources`` can name; ``direct`` has no site."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition that a setting's value meets."""

    expected: str
    """Completes "must be ...", such as ``seconds above 0``."""
    accepts: Callable[[Any], bool]
    remedy: str = ""
    """The remedy if the default is none."""


# ``True`` is an int in Python.
def _is_count(value: Any, least: int, most: int = 2**31 - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _counts(least: int, most: int) -> tuple[Rule, ...]:
    return (Rule(f"a whole number from {least} to {most}", lambda value: _is_count(value, least, most)),)


def _seconds(most: int) -> tuple[Rule, ...]:
    def accepts(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most

    return (Rule(f"seconds above 0, {most} at most", accepts),)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(isinstance(part, str) and part for part in value)


def _has_numeric_port(url: str) -> bool:
    try:
        # A cluster has several hosts, and urlsplit looks at a port only when it is asked for.
        for host in urlsplit(url).netloc.rpartition("@")[2].split(","):
            _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    return True


def _are_sites(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _are_texts([host])
        and re.fullmatch(r"[a-z0-9_.-]+", host) is not None
        and isinstance(site, list | tuple)
        and len(site) == 2
        and _are_texts(site)
        and len(site[0]) <= 200
        and site[1] in CHANNELS
        for host, site in value.items()
    )


TEXT = Rule("a string", lambda value: isinstance(value, str))
HEADER = (
    TEXT,
    # Not by its key in request.META, as HTTP_CF_IPCOUNTRY.
    Rule("empty, or the name of a header", lambda value: re.fullmatch(r"[A-Za-z0-9-]{0,60}", value) is not None),
)
TEXTS = Rule("a list or tuple of non-empty strings", _are_texts)
RULES_OF_TYPES: dict[Any, Rule] = {
    "bool": Rule("True or False", lambda value: isinstance(value, bool)),
    "int": Rule("a whole number from 1", lambda value: _is_count(value, 1)),
    "str": TEXT,
    "tuple[str, ...]": TEXTS,
    "tuple[tuple[str, str, str], ...]": Rule(
        f"a dictionary of host: (name, channel) with a channel of {', '.join(CHANNELS)}",
        _are_sites,
        "Write it like {'intranet.example': ('Intranet', 'referral')}, with hosts in small letters, without port.",
    ),
}
"""Type of a field -> the rule for keys that are not in ``RULES``."""

RULES: dict[str, tuple[Rule, ...]] = {
    "redis_url": (
        TEXT,
        Rule(f"a URL that starts with {', '.join(SCHEMES)}", lambda value: value.startswith(SCHEMES)),
        Rule("a URL whose port is a number", _has_numeric_port, "Write / ? # in a password as %2F %3F %23."),
    ),
    "key_prefix": (
        TEXT,
        # Redis Cluster takes the first braces of a key for its hash tag, and those are ours.
        Rule(
            "1 to 100 characters without braces or white space",
            lambda value: re.fullmatch(r"[^{} \n\r\t\0]{1,100}", value) is not None,
        ),
    ),
    "live_path": (
        TEXT,
        Rule(
            "empty, or a path that starts with /",
            lambda value: re.fullmatch(r"(/[\w.~/-]*)?", value, re.ASCII) is not None,
        ),
    ),
    "visit_engine": (
        TEXT,
        Rule(
            f"empty, or a URL that starts with {', '.join(ENGINE_SCHEMES)}",
            lambda value: not value or value.startswith(ENGINE_SCHEMES),
            "Write it like clickhouse://user:password@host:8123/database.",
        ),
        Rule("a URL whose port is a number", _has_numeric_port),
    ),
    "visit_engine_cluster": (
        TEXT,
        Rule(
            "empty, or the name of a cluster: letters, digits, '_', '-' and '.'",
            lambda value: re.fullmatch(r"[A-Za-z0-9_.-]{0,100}", value) is not None,
        ),
    ),
    "metrics": (
        TEXTS,
        Rule(f"a list or tuple of {', '.join(sorted(METRIC_SYSTEMS))}", lambda value: set(value) <= METRIC_SYSTEMS),
    ),
    "api_tokens": (
        TEXTS,
        Rule(
            # 20 characters of token_urlsafe have 120 bits.
            "a list or tuple of secrets, each at least 20 ASCII characters",
            lambda value: all(len(token) >= 20 and token.isascii() for token in value),
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        ),
    ),
    "push_interval": _seconds(3_600),
    "flush_interval": _seconds(3_600),
    "shutdown_timeout": _seconds(600),
    # Longer than two days, a visitor of one day could be told on the day after tomorrow.
    "ttl_seconds": _counts(1, 172_800),
    "max_paths_per_day": _counts(1, 10_000_000),
    # As visitors.MAX_HOPS: beyond, the header is not read, and all visitors would have the last proxy's address.
    "trusted_proxies": _counts(0, 10),
    "client_ip_header": HEADER,
    "country_header": HEADER,
    # Paths in settings are often made from BASE_DIR.
    "geoip_path": (Rule("a path", lambda value: isinstance(value, str | Path)),),
    # Dates begin with the year 1.
    "analytics_days": _counts(1, 36_500),
    "retention_days": _counts(0, 36_500),
    "visit_log_days": _counts(0, 36_500),
}
"""Key -> its rules, checked in this order."""
