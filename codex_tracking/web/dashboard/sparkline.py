"""Views per minute as a strip of bars, for the template that draws it and the script that moves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from codex_tracking.web.dashboard.numbers import whole

PITCH, WIDTH, HEIGHT = 5, 4, 24
"""Units of the drawing: from bar to bar, a bar, the tallest bar."""
LEAST_TOP = 5
"""Least views of the tallest bar: a single view must not look like a peak."""
STUB = 1
"""Height of a minute without views."""


@dataclass(frozen=True, slots=True)
class MinuteBar:
    """One minute."""

    x: int
    y: str
    height: str
    age: str
    """Such as ``5 minutes ago``; fixed for each position on the strip."""
    count: int
    text: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The newest minutes."""

    bars: tuple[MinuteBar, ...]
    width: int
    height: int
    pitch: int
    """From bar to bar."""
    thick: int
    """Width of a bar."""
    pattern: str
    """The text alternative with ``%(total)s`` and ``%(most)s``, which the script fills in."""
    name: str
    """The text alternative."""


def strip_of(views: Sequence[int]) -> Strip:
    """Return the strip of views per minute.

    Args:
        views: of each minute, oldest first; the last is the current one.
    """
    top = max(LEAST_TOP, *views) if views else LEAST_TOP
    newest = len(views) - 1
    pattern = _("Views per minute, last 30 minutes: %(total)s in all, at most %(most)s")
    return Strip(
        bars=tuple(_bar(at, newest - at, count, top) for at, count in enumerate(views)),
        width=len(views) * PITCH - PITCH + WIDTH,
        height=HEIGHT,
        pitch=PITCH,
        thick=WIDTH,
        pattern=pattern,
        name=pattern % {"total": whole(sum(views)), "most": whole(max(views, default=0))},
    )


def _bar(at: int, age: int, count: int, top: int) -> MinuteBar:
    height = max(STUB, count * HEIGHT / top)
    ago = ngettext("%(minutes)d minute ago", "%(minutes)d minutes ago", age) % {"minutes": age}
    name = ago if age else _("This minute")
    # Written here, because templates would print decimal commas.
    return MinuteBar(at * PITCH, f"{HEIGHT - height:.2f}", f"{height:.2f}", name, count, f"{name}: {whole(count)}")
