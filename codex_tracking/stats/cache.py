"""Figures for templates, cached in this process, since a template cannot wait.

Where an event loop runs (an async view that renders), a tag shows the cached figure, and one thread refreshes all
figures that are due; the next page shows them. Without an event loop (a sync view, a task) the tag fetches what it
lacks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from django.db import connections

from codex_tracking.isolation import isolated
from codex_tracking.stats.breakdown import popular_pages
from codex_tracking.stats.pages import page_views
from codex_tracking.store.loops import blocking
from codex_tracking.store.watching import nobody_looks

logger = logging.getLogger(__name__)

FRESH_SECONDS = 60.0
"""Age at which a figure is read again."""
GATHER_SECONDS = 0.02
"""Time in which a page's questions are gathered for one read."""
MOST_QUESTIONS = 1_000
"""The most figures that are kept; the least recently used one is dropped."""

PAGE_VIEWS = blocking(page_views)
POPULAR_PAGES = blocking(popular_pages)


class Question(NamedTuple):
    """One figure of a template."""

    kind: Literal["page", "popular"]
    days: int
    path: str = ""
    """Of ``page``."""
    limit: int = 0
    under: str = ""
    """Of ``popular``."""


@dataclass(slots=True)
class Known:
    """An answer and its age."""

    answer: Any = None
    at: float = 0.0
    """``time.monotonic()``; 0 before the first answer."""
    asked: bool = True
    """Whether a template asked since the last refresh."""


class Figures:
    """Answers for the templates of this process.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[Question, Known] = OrderedDict()
        self._lock = threading.Lock()
        self._busy = False

    def get(self, question: Question) -> Any:
        """Return the answer as far as it is known, None while it is not; never raises, never waits in an event loop."""
        if isolated():
            # A thread would outlive its test, and hold the database that the run deletes; a figure would be shown to
            # the tests after it.
            return None if _in_event_loop() else _answers([question]).get(question)
        with self._lock:
            known = self._known.get(question)
            if known is None:
                known = self._known[question] = Known()
                if len(self._known) > MOST_QUESTIONS:
                    self._known.popitem(last=False)
            # Figures that no template asks for are not refreshed.
            known.asked = True
            self._known.move_to_end(question)
            if not self._due(known):
                return known.answer
        if not _in_event_loop():
            self._refresh()
        elif self._begin():
            # A daemon, since a process that stops need not wait for figures.
            threading.Thread(target=self._in_background, name="codex_tracking.stats.cache", daemon=True).start()
        return known.answer

    def _due(self, known: Known) -> bool:
        return not known.at or self._clock() > known.at + FRESH_SECONDS

    def _begin(self) -> bool:
        with self._lock:
            begun, self._busy = not self._busy, True
        return begun

    def _in_background(self) -> None:
        try:
            while self._goes_on():
                # The page that began this is still being rendered, and may ask for more.
                time.sleep(GATHER_SECONDS)
                self._refresh()
        finally:
            # No request ends in this thread, so nothing else would close its connection.
            connections.close_all()

    def _goes_on(self) -> bool:
        with self._lock:
            self._busy = bool(self._waiting())
        return self._busy

    def _waiting(self) -> list[Question]:
        """Return the questions that are due and were asked since the last refresh."""
        return [question for question, known in self._known.items() if known.asked and self._due(known)]

    def _refresh(self) -> None:
        """Answer all waiting questions in one go."""
        with self._lock:
            due = self._waiting()
        answers = _answers(due)
        with self._lock:
            for question in due:
                known = self._known.get(question)
                if known is not None:
                    # A failed read is repeated after FRESH_SECONDS, not by every page.
                    known.answer, known.at, known.asked = answers.get(question, known.answer), self._clock(), False


def _answers(questions: list[Question]) -> dict[Question, Any]:
    try:
        return answer(questions)
    except Exception as error:  # the database is away; the page shows what it showed before
        logger.warning("page views for templates cannot be read, pages show the last ones: %s", type(error).__name__)
        return {}


# Pages show these figures for a minute, and need no prompt ones.
@nobody_looks()
def answer(questions: list[Question]) -> dict[Question, Any]:
    """Return the answers: one read for all pages of a span, one for each list; blocking."""
    answers: dict[Question, Any] = {}
    # One read for each span, because the views of several pages of one span are one query.
    for days in {question.days for question in questions if question.kind == "page"}:
        pages = [question for question in questions if question.kind == "page" and question.days == days]
        views = PAGE_VIEWS([question.path for question in pages], days)
        answers |= {question: views.get(question.path, 0) for question in pages}
    for question in questions:
        if question.kind == "popular":
            answers[question] = POPULAR_PAGES(question.limit, question.days, question.under)
    return answers


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_figures = Figures()


def get_figures() -> Figures:
    """Return this process's figures."""
    return _figures


def reset_figures() -> None:
    """Forget all figures: after a fork, and between tests."""
    global _figures
    _figures = Figures()


# A child has none of the parent's threads, but might inherit a lock that one of them held.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_figures)
