"""A TCP intermediary in front of a server, for faults of connections between healthy ends."""

from __future__ import annotations

import asyncio
import random
import threading
from types import TracebackType
from typing import Self

from tests.servers import free_port, wait_until


class Intermediary:
    """Passes connections on to a loopback port, in a thread of its own, between ``with`` and its end.

    Attributes:
        upstream: the port that new connections are passed on to; ``switch`` also ends those that are open.
        cut: share of answers, 0 to 1, that are swallowed together with their connection: the request was done.
        cuts: how many answers were swallowed.
    """

    def __init__(self, upstream: int, cut: float = 0.0, seed: int = 1) -> None:
        self.port = free_port()
        self.upstream = upstream
        self.cut = cut
        self.cuts = 0
        self._dice = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intermediary")

    def switch(self, upstream: int) -> None:
        """Pass everything on to another port from now on."""
        self.upstream = upstream
        self._loop.call_soon_threadsafe(self._hang_up)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(self._ready.is_set, 10, "the intermediary listens")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._pass_on, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._hang_up()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _hang_up(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, upstream_writer}
        self._open |= ends
        try:
            requests = asyncio.ensure_future(self._copy(reader, upstream_writer, 0.0))
            answers = asyncio.ensure_future(self._copy(upstream_reader, writer, self.cut))
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            for task in (requests, answers):
                task.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: float) -> None:
        try:
            while data := await reader.read(65_536):
                if cut and self._dice.random() < cut:
                    self.cuts += 1
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            return
