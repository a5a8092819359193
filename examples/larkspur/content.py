"""Larkspur's content; a real site would keep it in tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar


class Named(Protocol):
    """A page with an address of its own."""

    @property
    def slug(self) -> str: ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True, slots=True)
class Section:
    """A group of articles."""

    slug: str
    title: str
    summary: str

    @property
    def url(self) -> str:
        """Its path."""
        return f"/sections/{self.slug}/"


@dataclass(frozen=True, slots=True)
class Article:
    """An article."""

    slug: str
    title: str
    section: str
    minutes: int
    summary: str
    body: str
    """Paragraphs, with an empty line between two."""

    @property
    def url(self) -> str:
        """Its path."""
        return f"/articles/{self.slug}/"

    @property
    def paragraphs(self) -> list[str]:
        """Its body, in pieces."""
        return self.body.split("\n\n")


@dataclass(frozen=True, slots=True)
class DocsPage:
    """A page of the handbook."""

    slug: str
    title: str
    summary: str
    body: str
    """Paragraphs, with an empty line between two."""

    @property
    def url(self) -> str:
        """Its path."""
        return f"/docs/{self.slug}/"

    @property
    def paragraphs(self) -> list[str]:
        """Its body, in pieces."""
        return self.body.split("\n\n")


def find(items: Iterable[T], slug: str) -> T | None:
    """Return the item of this slug, if there is one."""
    return next((item for item in items if item.slug == slug), None)


SECTIONS = (
    Section("vegetables", "Vegetables", "What to sow, when, and what to do with forty courgettes."),
    Section("herbs", "Herbs", "Small pots, windowsills and everything that smells good."),
    Section("soil", "Soil", "The half of the garden that nobody photographs."),
)

ARTICLES = (
    Article(
        "tomatoes-on-a-balcony",
        "Tomatoes on a balcony",
        "vegetables",
        6,
        "Three square metres, six hours of sun and one string per plant.",
        """\
A balcony gives a tomato two things it loves, warmth and shelter from rain, and takes one away: depth. Choose
pots of fifteen litres at least, and bush varieties if the wind blows.

Water in the morning, always the soil and never the leaves. A plant in full fruit drinks three litres on a hot
day, and a pot that dried out once repels water for a week.

From July on, pinch out what grows in the axils of cordons. What you take away now comes back as fruit.""",
    ),
    Article(
        "sowing-calendar",
        "A sowing calendar that fits on one page",
        "vegetables",
        4,
        "Twelve months, thirty crops, and why the last frost is a date that you choose.",
        """\
Calendars disagree because gardens do. Ours starts with one question: when did frost last surprise you?

Count back eight weeks for tomatoes and peppers, four for cucumbers, none for beans. Write the dates on the
page, once, and hang it where the seeds are.""",
    ),
    Article(
        "winter-salads",
        "Salads that grow in November",
        "vegetables",
        5,
        "Lamb's lettuce, winter purslane and mustard leaves under an old window.",
        """\
Most salads do not mind cold; they mind dark. What is half grown by the end of October stays fresh until March
and can be cut every week.

An old window on four bricks is a cold frame. Open it whenever the sun shines, or fungus moves in first.""",
    ),
    Article(
        "basil-that-survives",
        "Basil that survives the supermarket",
        "herbs",
        3,
        "The pot holds twenty seedlings. Give each four of them a home of their own.",
        """\
Supermarket basil is sown far too densely, so that it looks full on the shelf. Split it into five pots on the
day you bring it home, and water from below.

Harvest whole tips above a pair of leaves, never single leaves from below.""",
    ),
    Article(
        "herbs-for-shade",
        "Seven herbs for a shady windowsill",
        "herbs",
        4,
        "Chives, mint, parsley, lovage, chervil, sorrel and sweet woodruff.",
        """\
Herbs with soft, large leaves come from the edge of the wood and are happy without midday sun.

Keep mint in a pot of its own. It is a good neighbour only while there is a wall between you.""",
    ),
    Article(
        "compost-without-smell",
        "Compost without the smell",
        "soil",
        5,
        "Two parts brown to one part green, and something coarse at the bottom.",
        """\
A heap that smells has no air. Mix every bucket from the kitchen with twice as much torn cardboard, straw or
dry leaves, and the heap will smell of forest.

Turn it once after six weeks. Sieve it in spring, and put what stays in the sieve at the bottom of the next
heap: it carries everything that lives there.""",
    ),
)

DOCS = (
    DocsPage(
        "getting-started",
        "Getting started",
        "Your first bed in five minutes.",
        """\
Draw a rectangle, give it a name, and drag crops into it. Larkspur knows how far apart they want to be.

Tell it your last frost, and the calendar fills itself.""",
    ),
    DocsPage(
        "beds-and-rotation",
        "Beds and rotation",
        "Why cabbages should travel.",
        """\
Every bed remembers what grew there. A crop that would follow its own family is shown in amber.

Four groups, four years: that is all the theory there is.""",
    ),
    DocsPage(
        "importing",
        "Importing seed lists",
        "From a spreadsheet, or from a photograph of the box.",
        """\
Any spreadsheet with a column of names will do. Larkspur asks about those that it does not know.

Photographs are read on your own device and never leave it.""",
    ),
    DocsPage(
        "sharing",
        "Sharing a garden",
        "For allotments, schools and couples.",
        """\
A garden can have as many gardeners as you like. Each sees who watered last.

Links for guests expire after the season.""",
    ),
)
