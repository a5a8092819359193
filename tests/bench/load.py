"""HTTP load for measurements: raw requests over kept-alive connections, in a closed loop or at a fixed rate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter

from tests.servers.app import BROWSER

GIVE_UP_SECONDS = 20.0
HEAD = (
    f"Host: site.example\r\nUser-Agent: {BROWSER}\r\nAccept: text/html\r\nAccept-Language: en-US,en;q=0.5\r\n"
    "Referer: https://news.example/\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
)


def page(number: int) -> bytes:
    """Return the request of one page."""
    return f"GET /page/{number}/ HTTP/1.1\r\n{HEAD}\r\n".encode()


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._buffer = b""
        self._done: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Resolve the request when its answer is whole."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or self._done is None or self._done.done():
            return
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        # A 204 has none.
        if len(body) >= int(length or 0):
            self._done.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer 0 to the request that waits."""
        if self._done and not self._done.done():
            self._done.set_result(0)

    def fetch(self, raw: bytes) -> asyncio.Future[int]:
        """Send one request; the future's result is its status, 0 where the connection was lost."""
        self._buffer, self._done = b"", asyncio.get_running_loop().create_future()
        if self.transport.is_closing():
            self._done.set_result(0)
        else:
            self.transport.write(raw)
        return self._done


async def connect(port: int) -> Connection:
    """Return a new connection."""
    return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]


async def closed_loop(port: int, requests: Iterable[bytes], connections: int = 8, good: int = 200) -> int:
    """Send each request once, some at a time; return how many were not answered with the status ``good``."""
    waiting, bad = iter(requests), 0

    async def work() -> None:
        nonlocal bad
        connection = await connect(port)
        for raw in waiting:
            bad += await connection.fetch(raw) != good
        connection.transport.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return bad


async def open_loop(port: int, requests: Iterable[bytes], rate: float) -> list[tuple[float, float, int]]:
    """Send ``rate`` requests a second whatever the server does, so that a slow answer delays no later request.

    Returns:
        For each request when it was sent (seconds since the first), its latency in seconds and its status.
    """
    idle: list[Connection] = []
    results: list[tuple[float, float, int]] = []
    begin = perf_counter()

    async def one(raw: bytes) -> None:
        sent, status = perf_counter(), 0
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                connection = idle.pop() if idle else await connect(port)
                status = await connection.fetch(raw)
            idle.append(connection)
        except (OSError, TimeoutError):
            pass
        results.append((sent - begin, perf_counter() - sent, status))

    async with asyncio.TaskGroup() as group:
        for number, raw in enumerate(requests):
            wait = begin + number / rate - perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(one(raw))
    for connection in idle:
        connection.transport.close()
    return results


def quantile(values: list[float], share: float) -> float:
    """Return the value below which ``share`` of all are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
