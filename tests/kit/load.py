"""Browsers that ask a site for pages at a steady rate, and remember which of their requests were answered."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/18 Safari/604",
)
"""User agents of people's browsers; one without a browser's name would be counted as a bot."""

NAVIGATION = (
    "Host: www.example.com\r\nAccept: text/html\r\nAccept-Language: de,en;q=0.5\r\n"
    "Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
)
"""Headers of browsers when a person follows a link."""

CONNECTIONS = 8
ANSWER_SECONDS = 20.0


@dataclass
class Outcome:
    """The outcome of the requests."""

    answers: Counter[str] = field(default_factory=Counter)
    """Path -> answers with status 200 that arrived whole."""
    unanswered: Counter[str] = field(default_factory=Counter)
    """Path -> requests that were sent and got no answer: the site may have counted them, or not."""
    refused: Counter[int] = field(default_factory=Counter)
    """Status -> answers of any other status."""
    timings: list[tuple[float, float]] = field(default_factory=list)
    """The time of each answer (``time.monotonic()``), and the seconds it took."""

    @property
    def total(self) -> int:
        """Number of requests answered with 200."""
        return self.answers.total()

    def quantile(self, share: float, begin: float = 0.0, end: float = float("inf")) -> float:
        """Return the seconds within which ``share`` of the answers of that span came."""
        seconds = sorted(seconds for at, seconds in self.timings if begin <= at < end)
        return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


def pages(distinct: int, seed: int = 1) -> Iterator[str]:
    """Yield pages of the test site without end, some far more often than others."""
    dice = random.Random(seed)
    while True:
        yield f"/page/{min(int(dice.expovariate(4 / distinct)), distinct - 1)}/"


def new_pages() -> Iterator[str]:
    """Yield pages of the test site without end, each once."""
    return (f"/page/{number}/" for number in itertools.count(1))


class Load:
    """Requests in a thread of their own, from ``with`` until its end or ``stop()``.

    Args:
        port: of the site on loopback.
        paths: what to ask for, in turn and without end.
        rate: requests per second; as fast as the site answers when 0.
    """

    def __init__(self, port: int, paths: Iterator[str], rate: float = 150.0) -> None:
        self.port = port
        self.outcome = Outcome()
        self._paths = paths
        self._rate = rate
        self._numbers = itertools.count()
        self._begin = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def stop(self) -> Outcome:
        """Stop sending, wait for the answers, and return the outcome of all requests."""
        self._over.set()
        self._thread.join()
        return self.outcome

    def wait(self, answers: int, seconds: float = 60.0) -> None:
        """Wait until so many more requests were answered with 200.

        Raises:
            TimeoutError: they were not within ``seconds``.
        """
        goal, end = self.outcome.total + answers, time.monotonic() + seconds
        while self.outcome.total < goal:
            if time.monotonic() > end:
                raise TimeoutError(f"{goal - self.outcome.total} of {answers} answers are missing after {seconds:g} s")
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._crowd())

    async def _crowd(self) -> None:
        self._begin = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(CONNECTIONS):
                group.create_task(self._browser(AGENTS[number % len(AGENTS)]))

    async def _browser(self, agent: str) -> None:
        """Ask for the next page when it is due, over one connection that is opened again when it breaks."""
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._over.is_set():
            await self._due()
            if self._over.is_set():
                break
            path = next(self._paths)
            try:
                if line is None:
                    line = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._ask(*line, path, agent)
            except (OSError, EOFError, TimeoutError):
                self.outcome.unanswered[path] += 1
                line[1].close()
                line = None
        if line is not None:
            line[1].close()

    async def _due(self) -> None:
        if self._rate:
            due = self._begin + next(self._numbers) / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, agent: str) -> None:
        begin = time.monotonic()
        writer.write(f"GET {path} HTTP/1.1\r\nUser-Agent: {agent}\r\n{NAVIGATION}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        await reader.readexactly(_length(head))
        now = time.monotonic()
        if status == 200:
            self.outcome.answers[path] += 1
            self.outcome.timings.append((now, now - begin))
        else:
            self.outcome.refused[status] += 1


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise EOFError("an answer without a length ends with its connection")
