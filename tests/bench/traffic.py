"""Page views as the middleware hands them over."""

from __future__ import annotations

import time
from collections.abc import Iterator

from codex_tracking.hits.hit import Client, Hit

AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.0 Safari/537.36"
)
LANGUAGES = ("en-US,en;q=0.5", "de,en;q=0.7", "fr-FR,fr;q=0.9", "es", "pt-BR,pt;q=0.8,en;q=0.5")
REFERRERS = (
    "",
    "",
    "https://www.google.com/",
    "https://news.example/",
    "https://t.co/abc",
    "https://blog.example/post",
)


def hits(number: int, paths: int, visitors: int, agents: int = 50, first: int = 0) -> Iterator[Hit]:
    """Yield views of so many pages by so many visitors in turn."""
    now = time.time()
    for i in range(first, first + number):
        visitor = i % visitors
        yield Hit(
            at=now,
            kind="view",
            name="",
            value="",
            path=f"/articles/{i % paths}/a-usual-slug/",
            secrets=(),
            route="articles/<int:number>/<slug:slug>/",
            view="article",
            query="",
            referrer=REFERRERS[visitor % len(REFERRERS)],
            client=Client(
                host="site.example",
                agent=AGENT.format(120 + visitor % agents % 40, visitor % agents),
                hints=("", "", ""),
                language=LANGUAGES[visitor % len(LANGUAGES)],
                country="",
                address=f"10.{visitor >> 16 & 255}.{visitor >> 8 & 255}.{visitor & 255}",
                forwarded="",
                user="",
                anonymous=False,
            ),
        )
