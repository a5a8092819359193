"""The time before: an access log of Larkspur, as a web server would have written it, for ``import_access_log``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import cos, pi
from pathlib import Path
from urllib.parse import urlsplit

from django.utils import timezone
from tally import Tally
from visits import SITE, Ask, Crowd, Visit, bot_visits

DAYS = 29
"""Days before today."""
VISITS_A_DAY = 330
QUIET_DAYS = (5, 6)
"""Saturday and Sunday, on which the planner's readers are in the garden."""
GROWTH = 0.4
"""Growth of visits from the first day to the last."""
STATUS = {"error": 404, "status": 404}

Moment = tuple[float, Ask]
"""Seconds since the epoch, and what was asked for."""


def write_log(file: Path, crowd: Crowd) -> Tally:
    """Write JSON lines in the order of time, one per request, and return what they were."""
    tally = Tally()
    with file.open("w", encoding="utf-8") as log:
        for at, ask in sorted(requests(crowd), key=lambda moment: moment[0]):
            print(json.dumps(line(at, ask)), file=log)
            tally.add(ask.path.partition("?")[0], ask.fate)
    return tally


def line(at: float, ask: Ask) -> dict[str, str | int]:
    """Return a request under the names that nginx's variables have."""
    sent = ask.headers
    return {
        "time_iso8601": datetime.fromtimestamp(at, timezone.get_default_timezone()).isoformat(timespec="seconds"),
        "remote_addr": "127.0.0.1",
        "http_x_forwarded_for": sent["X-Forwarded-For"],
        "http_host": urlsplit(SITE).netloc,
        "request": f"{ask.method} {ask.path} HTTP/1.1",
        "status": STATUS.get(ask.fate, 200),
        "sent_http_content_type": "text/html; charset=utf-8",
        "http_referer": sent.get("Referer", "-"),
        "http_user_agent": sent["User-Agent"],
        "http_accept_language": sent.get("Accept-Language", "-"),
    }


def requests(crowd: Crowd) -> Iterator[Moment]:
    """Yield the requests of all days before today, each visit in order."""
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(DAYS, 0, -1):
        day = today - timedelta(days=back)
        growth = 1 + GROWTH * (DAYS - back) / DAYS
        for visit in visits(crowd, day, growth):
            yield from happened(visit, beginning(crowd, day), day + timedelta(days=1))


def visits(crowd: Crowd, day: datetime, growth: float) -> Iterator[Visit]:
    """Yield who came on a day: people, some of whom got lost, and bots."""
    share = 0.6 if day.weekday() in QUIET_DAYS else 1.0
    for _ in range(int(VISITS_A_DAY * share * growth * crowd.random.uniform(0.85, 1.15))):
        yield crowd.visit()
    yield crowd.lost()
    yield from bot_visits(crowd.random)


def beginning(crowd: Crowd, day: datetime) -> datetime:
    """Return when a visit of a day begins: seldom at night, most often in the evening."""
    hours = range(24)
    [hour] = crowd.random.choices(hours, [0.06 + (1 - cos((hour - 3.5) / 24 * 2 * pi)) ** 1.4 for hour in hours])
    return day + timedelta(hours=hour, seconds=crowd.random.uniform(0, 3600))


def happened(visit: Visit, begin: datetime, end: datetime) -> Iterator[Moment]:
    """Yield the requests of a visit with their moments, without those after ``end``."""
    at = begin.timestamp()
    for ask in visit:
        at += ask.wait
        if at < end.timestamp():
            yield at, ask
