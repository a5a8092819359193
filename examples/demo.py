"""The demo: serves Larkspur, sends it visits, and compares what was sent with what was counted.

``python3 noxfile.py -s demo`` runs it; ``-- --port 9000`` chooses the port.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Event
from typing import NamedTuple
from urllib.parse import urlsplit

import django
import uvicorn
from django.core.management import call_command
from history import DAYS, write_log
from tally import Tally
from traffic import send, trickle
from visits import SITE, Crowd, Visit, bot_visits, login_visit, staff_visit

HOST = "127.0.0.1"
PORT = 8000
SEED = 20
"""Of all that is made up, so that two demos show much the same."""
VISITS = 300
"""Visits over HTTP, besides those of bots and the odd ones."""
PATIENCE = 20.0
"""Seconds in which what was sent has to be counted."""
EQUAL = "Equal, path by path and reason by reason."


class Login(NamedTuple):
    """Somebody with a password."""

    name: str
    password: str


def main() -> None:
    """Run the demo; Ctrl-C ends it anywhere."""
    options = arguments()
    port = choose_port(options.port)
    with tempfile.TemporaryDirectory(prefix="larkspur-", ignore_cleanup_errors=True) as folder:
        os.environ["LARKSPUR_DATABASE"] = str(Path(folder) / "larkspur.sqlite3")
        os.environ["DJANGO_SETTINGS_MODULE"] = "larkspur.settings"
        django.setup()
        say("Preparing a fresh database ...")
        call_command("migrate", verbosity=0)
        staff, readers = make_users()
        crowd = Crowd(Random(SEED))
        past = import_past(Path(folder) / "access.log", crowd)
        asyncio.run(Demo(port, staff, readers, crowd, past).run())


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Serve the demo site and send it visits.")
    parser.add_argument("--port", type=int, help=f"default {PORT}, or any free one when that is taken")
    return parser.parse_args()


def make_users() -> tuple[Login, list[Login]]:
    """Create the staff member who may see the dashboard, and two readers."""
    from django.contrib.auth.models import User

    staff = Login("demo", secrets.token_urlsafe(9))
    User.objects.create_superuser(staff.name, password=staff.password)
    readers = [Login(name, secrets.token_urlsafe(9)) for name in ("flora", "moss")]
    for reader in readers:
        User.objects.create_user(reader.name, password=reader.password)
    return staff, readers


def import_past(log: Path, crowd: Crowd) -> Tally:
    """Write an access log of the days before today, import it, and return what is in it."""
    say(f"Importing the access log of the last {DAYS} days ...")
    past = write_log(log, crowd)
    call_command("import_access_log", str(log), host=[urlsplit(SITE).netloc], stdout=io.StringIO())
    return past


class Demo:
    """One server in this process, and those who visit it.

    Args:
        port: where to serve.
        staff: who may see the dashboard.
        readers: who log in on the site.
        crowd: all the others.
        past: what was imported.
    """

    def __init__(self, port: int, staff: Login, readers: list[Login], crowd: Crowd, past: Tally) -> None:
        self.host = f"{HOST}:{port}"
        self.staff = staff
        self.readers = readers
        self.crowd = crowd
        self.past = past
        self.stop = Event()
        config = uvicorn.Config(
            "larkspur.asgi:application", host=HOST, port=port, lifespan="on", log_level="warning", access_log=False
        )
        self.server = uvicorn.Server(config)

    async def run(self) -> None:
        """Serve until Ctrl-C."""
        serving = asyncio.create_task(self.server.serve())
        showing = asyncio.create_task(self.show())
        try:
            await asyncio.wait({serving, showing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop.set()
            self.server.should_exit = True
        await serving
        await showing

    async def show(self) -> None:
        """Send, count, compare, and go on with a visit now and then."""
        while not self.server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        say(f"Sending visits to http://{self.host}/ ...")
        sent = await asyncio.to_thread(send, self.host, self.visits(), self.stop)
        sent.update(self.past)
        compare(sent, await self.count(sent))
        self.greet()
        say("\nOne more visit every few seconds, until Ctrl-C.")
        await asyncio.to_thread(trickle, self.host, self.visits_for_ever(), self.stop)

    def visits(self) -> Iterator[Visit]:
        """Yield today's visits: people, odd requests, bots, readers and a staff member."""
        random, people = self.crowd.random, self.crowd.people
        odd = itertools.chain.from_iterable(self.crowd.oddities() for _ in range(5))
        logins = [login_visit(random.choice(people), *reader) for reader in self.readers]
        visits = [*(self.crowd.visit() for _ in range(VISITS)), *odd, *bot_visits(random), *logins]
        random.shuffle(visits)
        yield from visits
        yield staff_visit(people[0], *self.staff)

    def visits_for_ever(self) -> Iterator[Visit]:
        """Yield people's visits without end."""
        while True:
            yield self.crowd.visit()

    async def count(self, sent: Tally) -> Tally:
        """Flush until the database has all that was sent, and return what it has; give up after a while."""
        from codex_tracking.flush import flush_pending

        end = time.monotonic() + PATIENCE
        while True:
            await flush_pending()
            counted = await stored()
            if counted == sent or time.monotonic() > end:
                return counted
            await asyncio.sleep(0.3)

    def greet(self) -> None:
        """Print where to look, and who may."""
        say(f"\nDashboard  http://{self.host}/cabinet/tracking/")
        say(f"Login      {self.staff.name}   password  {self.staff.password}")
        say(f"Site       http://{self.host}/")


async def stored() -> Tally:
    """Return what the tables hold, over all days."""
    from django.db.models import Sum

    from codex_tracking.models import Breakdown, PageView

    views = PageView.objects.order_by().values_list("path").annotate(total=Sum("views"))
    others = Breakdown.objects.filter(dimension__in=("error", "excluded")).order_by()
    tally = Tally(Counter({path: n async for path, n in views}))
    async for dimension, value, n in others.values_list("dimension", "value").annotate(total=Sum("views")):
        counter = tally.errors if dimension == "error" else tally.excluded
        counter[value] = n
    return tally


def compare(sent: Tally, counted: Tally) -> None:
    """Print both and where they differ."""
    say(f"\n{'':26}{'sent':>8}{'counted':>10}")
    rows = counted.rows()
    for name, n in sent.rows().items():
        say(f"{name:26}{n:>8,}{rows.get(name, 0):>10,}")
    pairs = ((sent.views, counted.views), (sent.errors, counted.errors), (sent.excluded, counted.excluded))
    differences = [
        f"{name}: sent {ours[name]}, counted {theirs[name]}"
        for ours, theirs in pairs
        for name in sorted({*ours, *theirs})
        if ours[name] != theirs[name]
    ]
    say("\n".join(["", "These differ:", *differences]) if differences else f"\n{EQUAL}")


def choose_port(wanted: int | None) -> int:
    """Return the port that was asked for; the usual one when none was, or any when that is taken."""
    for port in [wanted] if wanted else [PORT, 0]:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    sys.exit(f"Port {wanted} is taken or forbidden; leave --port out to get a free one.")


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    # Whoever ends the demo, its database goes with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        say("")
