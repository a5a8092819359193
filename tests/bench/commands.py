"""Redis's work: commands that arrive, commands within scripts, connections, CPU time, the longest script."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, defaultdict
from types import TracebackType
from typing import Self

import redis

from tests.bench.bench import Bench
from tests.bench.child import cpu_seconds
from tests.bench.figure import Figure
from tests.bench.load import closed_loop, open_loop, page
from tests.servers import RedisServer

RATES = {200: 0.02, 1_000: None}
"""Views per second -> commands per view at the most."""
PATHS = 1_000
WAITING = 10_000
"""Counters that are pushed, read and flushed while scripts are timed."""
MOST_STOP_MS = 1.0


def measure(bench: Bench) -> list[Figure]:
    """Watch Redis while one process answers views at a steady rate."""
    seconds, figures = bench.size(20, 4), []
    with bench.site(bench.database("sqlite")) as site, bench.redis.client() as client:
        asyncio.run(closed_loop(site.port, map(page, range(100))))
        for rate, most in RATES.items():
            views = rate * seconds
            time.sleep(1)
            cpu = cpu_seconds(bench.redis.pid)
            with Monitor(bench.redis) as monitor:
                asyncio.run(open_loop(site.port, (page(number % PATHS) for number in range(views)), rate))
                time.sleep(1)
            cpu = (cpu_seconds(bench.redis.pid) - cpu) / views * 1e6
            sent, within = monitor.sent.total() / views, monitor.within.total() / views
            notes: dict[str, float | int | str] = dict(monitor.sent.most_common())
            figures += [
                Figure(f"Redis commands sent per view at {rate}/s", [sent], "", most=most, notes=notes),
                Figure(f"Redis commands within scripts per view at {rate}/s, {PATHS:,} paths", [within], ""),
                Figure(f"Redis CPU per view at {rate}/s (watched)", [cpu], "us"),
            ]
        # One of them is ours, which asks.
        connections = int(client.info("clients")["connected_clients"]) - 1
    return [*figures, Figure("Redis connections of one process", [connections], "", most=1), _longest_stop(bench)]


def _longest_stop(bench: Bench) -> Figure:
    """Return how long Redis stands still for one of our scripts, as its own log of slow commands has it.

    Every run makes the same calls. Of each the shortest time counts: the log's clock goes on while another process has
    the CPU of Redis, which on two cores happens to some call of every run.
    """
    runs: list[dict[bytes, list[int]]] = []
    for _ in range(bench.size(9, 1)):
        bench.empty_redis()
        env = bench.environment(bench.database("sqlite"))
        calls: dict[bytes, list[int]] = defaultdict(list)
        with bench.redis.client() as client:
            client.config_set("slowlog-max-len", 100_000)
            client.config_set("slowlog-log-slower-than", 0)
            client.slowlog_reset()
            bench.run("lag", "life", WAITING, env=env)
            client.config_set("slowlog-log-slower-than", -1)
            # The newest first, so that a first call which sends the text of its script shifts no others.
            for entry in client.slowlog_get(100_000):
                command, script, *_ = entry["command"].split(b" ", 2)
                if command == b"EVALSHA":
                    calls[script].append(entry["duration"])
        runs.append(calls)
    stops = [min(times) / 1000 for script in runs[0] for times in zip(*(run[script] for run in runs), strict=False)]
    notes: dict[str, float | int | str] = {
        "calls": len(stops),
        "longest with waits for a CPU": max(max(times) for run in runs for times in run.values()) / 1000,
    }
    name = f"longest stop of Redis by a script, {WAITING:,} waiting counters"
    return Figure(name, [max(stops)], "ms", most=MOST_STOP_MS, notes=notes)


class Monitor:
    """Counts what arrives at a Redis between ``with`` and its end."""

    def __init__(self, server: RedisServer) -> None:
        self.sent: Counter[str] = Counter()
        """Commands that clients sent."""
        self.within: Counter[str] = Counter()
        """Commands that scripts called."""
        self._server = server
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="monitor")

    def _watch(self) -> None:
        # Without a time limit: a process pushes every few seconds.
        with redis.Redis.from_url(self._server.url, socket_timeout=None) as client, client.monitor() as monitor:
            self._ready.set()
            for seen in monitor.listen():
                name = str(seen["command"]).split(" ", 1)[0].upper()
                if name == "ECHO":
                    return
                (self.within if seen["client_type"] == "lua" else self.sent)[name] += 1

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._server.client() as client:
            client.echo("the end")
        self._thread.join(10)
        for name in ("CLIENT", "HELLO"):
            del self.sent[name]
