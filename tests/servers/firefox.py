"""Firefox, driven by its own WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

Playwright drives a Firefox that it has built itself, and of others only the newest ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

from tests.servers.binaries import binary
from tests.servers.process import ServerProcess


class FirefoxServer(ServerProcess):
    """A headless Firefox with a profile of its own."""

    name = "firefox"

    def command(self) -> list[str]:
        """Return Firefox with an empty profile."""
        profile = self.folder / "profile"
        profile.mkdir(exist_ok=True)
        options = ["--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", str(self.port)]
        return [binary("firefox"), *options]

    def environment(self) -> Mapping[str, str]:
        """Return the variables of the process: Firefox refuses another account's home."""
        return {**super().environment(), "HOME": str(self.folder)}


class Window:
    """A tab of a Firefox with a cache and cookies of its own, as ``async with``; one at a time.

    Args:
        firefox: a running one.
        url: of the site, without a path.
    """

    def __init__(self, firefox: FirefoxServer, url: str) -> None:
        self.firefox = firefox
        self.url = url
        self._connection: ClientConnection
        self._user, self._context = "", ""
        self._number = 0

    async def __aenter__(self) -> Self:
        self._connection = await connect(f"ws://127.0.0.1:{self.firefox.port}/session", max_size=None)
        await self._call("session.new", capabilities={})
        self._user = (await self._call("browser.createUserContext"))["userContext"]
        tab = await self._call("browsingContext.create", type="tab", userContext=self._user)
        self._context = tab["context"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closes the tab.
        await self._call("browser.removeUserContext", userContext=self._user)
        # Firefox has one session at a time, which outlives its connection.
        await self._call("session.end")
        await self._connection.close()

    async def goto(self, path: str) -> None:
        """Open a page of the site, or ``about:blank``, and wait until it is loaded."""
        url = self.url + path if path.startswith("/") else path
        await self._call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def reload(self) -> None:
        """Load the page again."""
        await self._call("browsingContext.reload", context=self._context, wait="complete")

    async def traverse(self, step: int) -> None:
        """Go back (-1) or forward (1)."""
        await self._call("browsingContext.traverseHistory", context=self._context, delta=step)

    async def evaluate(self, expression: str) -> Any:
        """Return what an expression is in the page, of simple types."""
        target = {"context": self._context}
        answer = await self._call("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        await self._connection.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            answer: dict[str, Any] = json.loads(await self._connection.recv())
            # Events have no number.
            if answer.get("id") == self._number:
                break
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result
