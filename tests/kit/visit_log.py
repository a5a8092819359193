"""Traffic for the visit log, and its figures worked out in plain Python."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date as Date
from datetime import datetime, time

from django.utils import timezone

from codex_tracking.counters.hit_log import EVENT, join
from codex_tracking.models import LogPart
from codex_tracking.spellings import containing
from codex_tracking.visits.columns import CLIENT, ORIGIN
from codex_tracking.visits.filters import Filter
from tests.kit.hit_log import LoggedHit, encode
from tests.kit.sessions import PlainVisits, Visit

BLOB = 50
"""Hits of a blob."""
VALUES = {
    "host": ("site.example", "shop.example"),
    "country": ("DE", "AT", ""),
    "region": ("Bavaria", "Tyrol", ""),
    "city": ("München", "Innsbruck", "O'Fallon", ""),
    "language": ("de", "en"),
    "browser": ("Firefox", "Chrome"),
    "os": ("Linux", "Windows"),
    "device": ("desktop", "phone"),
    "channel": ("search", "direct", "campaign"),
    "source": ("Google", "Bing", 'a"b,c', ""),
    "referrer": ("google.com", "bing.com/x", ""),
    "utm_source": ("news", ""),
    "utm_medium": ("cpc", ""),
    "utm_campaign": ("spring '26", "a|b\\c", ""),
    "utm_term": ("",),
    "utm_content": ("ü", ""),
}
PAGES = ("/", "/pricing/", "/docs/a/", "/docs/b/", "/signup/", "/%_'x/")
ROUTES = {
    "/": "",
    "/pricing/": "pricing/",
    "/docs/a/": "docs/<slug>/",
    "/docs/b/": "docs/<slug>/",
    "/signup/": "signup/",
}
EVENTS = (("signup", "pro"), ("signup", "free"), ("download", ""), ("a=b", "c"), ("outbound", "b.example/x"))


def hits_of(day: Date, number: int, seed: int = 0) -> list[LoggedHit]:
    """Return random hits of a day, most of them in order of time."""
    rng = random.Random(f"{day}{seed}")
    begin = int(datetime.combine(day, time(), timezone.get_default_timezone()).timestamp())
    visitors = [(rng.randbytes(16), {name: rng.choice(VALUES[name]) for name in CLIENT}) for _ in range(number // 5)]
    visitors.append((b"", {name: rng.choice(VALUES[name]) for name in CLIENT}))
    hits = []
    for second in sorted(rng.randrange(86_400) // rng.choice((1, 20)) for _ in range(number)):
        visitor, client = rng.choice(visitors)
        late = rng.randrange(0, 60) if rng.random() < 0.05 else 0
        path = rng.choice(PAGES)
        event, value = rng.choice(EVENTS) if rng.random() < 0.2 else ("", "")
        origin = {name: "" if event else rng.choice(VALUES[name]) for name in ORIGIN}
        hits.append(
            LoggedHit(
                visitor=visitor,
                second=begin + max(0, second - late),
                kind=EVENT if event else 0,
                member=rng.random() < 0.2,
                path=path,
                route=ROUTES.get(path, ""),
                event=event,
                value=value,
                **client,
                **origin,
            )
        )
    return hits


def add_part(day: Date, hits: Sequence[LoggedHit], seal: str = "", using: str = "default") -> LogPart:
    """Write hits as a flush does."""
    blobs = [encode(hits[start : start + BLOB]) for start in range(0, len(hits), BLOB)]
    name = seal or f"seal{LogPart.objects.using(using).count()}"
    return LogPart.objects.using(using).create(date=day, seal=name, data=join(blobs))


def visits_of(hits: Sequence[LoggedHit]) -> list[Visit]:
    """Return the visits, and single hits without one."""
    day = PlainVisits()
    # The same blobs as those of add_part.
    for start in range(0, len(hits), BLOB):
        day.add(hits[start : start + BLOB])
    found = list(day)
    for visit in found:
        visit.put_in_time()
    return found


def views_of(visit: Visit) -> list[tuple[str, str]]:
    """Return the paths and routes of a visit's views."""
    return [(act[0], act[1]) for act in visit.acts if not act[2]]


def values_of(visit: Visit, dimension: str) -> list[str]:
    """Return a visit's values of a dimension, each as often as it has it."""
    if dimension in CLIENT:
        return [visit.client[CLIENT.index(dimension)]]
    if dimension in ORIGIN:
        return [visit.origin[ORIGIN.index(dimension)]]
    by_name: dict[str, Callable[[], list[str]]] = {
        "member": lambda: ["yes" if visit.member else "no"],
        "entry": lambda: [visit.entry],
        "exit": lambda: [path for path, _ in views_of(visit)][-1:],
        "page": lambda: [path for path, _ in views_of(visit)],
        "route": lambda: [route for _, route in views_of(visit)],
        "event": lambda: [act[2] for act in visit.acts if act[2]],
        "event_value": lambda: [f"{act[2]}={act[3]}" for act in visit.acts if act[2] and act[3]],
        "outbound": lambda: [act[3] for act in visit.acts if act[2] == "outbound"],
        "download": lambda: [act[3] for act in visit.acts if act[2] == "download"],
    }
    return by_name[dimension]()


def selected(visit: Visit, filters: Iterable[Filter]) -> bool:
    """Return whether filters select a visit."""
    for each in filters:
        if visit.visitor is None:
            return False
        values = values_of(visit, each.dimension)
        if each.dimension == "event":
            values = values + [f"{act[2]}={act[3]}" for act in visit.acts if act[2]]
        if each.operator.startswith("is"):
            found = any(value in each.values for value in values)
        else:
            found = any(containing(wanted)(value) for value in values for wanted in each.values)
        if found == each.negated:
            return False
    return True


def table_of(visits: Iterable[Visit], dimension: str) -> dict[str, tuple[int, int]]:
    """Return each value's views (or events) and visits."""
    figures: dict[str, list[int]] = {}
    for visit in visits:
        values = values_of(visit, dimension)
        many = dimension in ("page", "route", "event", "event_value", "outbound", "download")
        for value, n in Counter(values).items():
            if value:
                sums = figures.setdefault(value, [0, 0])
                sums[0] += n if many else len(views_of(visit))
                sums[1] += visit.visitor is not None
    return {value: (views, visits) for value, (views, visits) in figures.items() if views + visits}


def visit_hits(day: Date, minute: int, *steps: str, **traits: str) -> list[LoggedHit]:
    """Return the hits of one visit, a minute apart.

    Args:
        day: of the visit.
        minute: of the day, at which it begins.
        steps: paths such as ``/pricing/``, and events such as ``signup`` or ``signup=pro``.
        traits: fields of ``LoggedHit``; ``visitor`` is a name.
    """
    begin = int(datetime.combine(day, time(), timezone.get_default_timezone()).timestamp())
    who = traits.pop("visitor", f"{minute} {steps}").encode()
    client = {name: traits.pop(name, "") for name in CLIENT}
    origin = {name: traits.pop(name, "") for name in ORIGIN}
    hits, path = [], "/"
    for offset, step in enumerate(steps):
        event, _, value = ("", "", "") if step.startswith("/") else step.partition("=")
        path = path if event else step
        hits.append(
            LoggedHit(
                visitor=hashlib.blake2b(who, digest_size=16).digest(),
                second=begin + (minute + offset) * 60,
                kind=EVENT if event else 0,
                member=False,
                path=path,
                route=path.lstrip("/"),
                event=event,
                value=value,
                **client,
                **(dict.fromkeys(ORIGIN, "") if event else origin),
            )
        )
    assert not traits, traits
    return hits
