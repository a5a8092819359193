"""Filters: conditions that select visits, and their text in an address."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Operator = Literal["is", "is_not", "contains", "contains_not"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)

Attribute = Literal[
    "host",
    "country",
    "region",
    "city",
    "language",
    "browser",
    "os",
    "device",
    "channel",
    "source",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "member",
    "entry",
    "exit",
]
"""Attributes, of which a visit has one value each; ``member`` is ``yes`` or ``no``."""
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)

Happening = Literal["page", "route", "event"]
"""Kinds of which a visit has any number; an event's value is its name, or ``name=value``."""
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)

FilterDimension = Attribute | Happening
FILTER_DIMENSIONS: tuple[FilterDimension, ...] = (*HAPPENINGS, *ATTRIBUTES)

MOST_VALUES = 100
"""Values of one filter."""
MOST_FILTERS = 20
LONGEST_VALUE = 2_000
"""Characters, more than any stored value has."""
MEMBER = ("yes", "no")

ESCAPED = re.compile(r"\\([\\|])|(\|)|(\\|[^\\|]+)")


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition that selects visits.

    Args:
        dimension: a name of ``FILTER_DIMENSIONS``.
        operator: ``is`` and ``contains`` select the visits of which one of ``values`` is true, ``is_not`` and
            ``contains_not`` those of which none is. ``contains`` ignores the case of letters.
        values: one at least, none of them empty.

    Raises:
        ValueError: an unknown dimension or operator, or a value that it cannot have.
    """

    dimension: FilterDimension
    operator: Operator
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.dimension not in FILTER_DIMENSIONS:
            raise ValueError(
                f"a filter's dimension must be one of {', '.join(FILTER_DIMENSIONS)}, not {_shown(self.dimension)}"
            )
        if self.operator not in OPERATORS:
            raise ValueError(f"a filter's operator must be one of {', '.join(OPERATORS)}, not {_shown(self.operator)}")
        values = checked_values(f"the filter {self.dimension}", self.values)
        if self.dimension == "member" and not set(values) <= set(MEMBER):
            raise ValueError(f"a value of the filter member must be one of {', '.join(MEMBER)}, not {_shown(values)}")
        # Past the frozen class: a list has become a tuple, so that a filter has a hash and may be in a cache's key.
        object.__setattr__(self, "values", values)

    def __str__(self) -> str:
        """Return the text that ``parse`` reads."""
        return text_of(self.dimension, self.operator, self.values)

    @property
    def exact(self) -> bool:
        """Whether its values are whole ones, and not parts of them."""
        return self.operator in ("is", "is_not")

    @property
    def negated(self) -> bool:
        """Whether it selects the visits of which none of its values is true."""
        return self.operator.endswith("_not")


def parse(text: str) -> Filter:
    """Return the filter of a text such as ``source:is:Google|Bing``.

    Raises:
        ValueError: not ``<dimension>:<operator>:<value>[|<value>...]``, or as ``Filter``.
    """
    # Only two colons separate: values may contain more.
    dimension, colon, rest = text.partition(":")
    operator, second, values = rest.partition(":")
    if not colon or not second:
        raise ValueError(
            f"a filter must be <dimension>:<operator>:<value>[|<value>...], such as source:is:Google, "
            f"not {_shown(text)}"
        )
    # Filter refuses what is no dimension or operator.
    return Filter(dimension, operator, split(values))  # type: ignore[arg-type]


def parse_all(texts: Iterable[str]) -> tuple[Filter, ...]:
    """Return the filters of an address, each once.

    Raises:
        ValueError: as ``parse``, or more than ``MOST_FILTERS``.
    """
    found = tuple(dict.fromkeys(map(parse, texts)))
    check_number(found)
    return found


def listed_filters(filters: object) -> tuple[Filter, ...]:
    """Return the filters of an argument.

    Raises:
        ValueError: one is no ``Filter``.
    """
    found: list[Filter] = []
    # A single one is refused below, and a text is not taken for its characters.
    wanted = filters if isinstance(filters, Iterable) and not isinstance(filters, str) else (filters,)
    for each in wanted:
        if not isinstance(each, Filter):
            raise ValueError(
                f'filters must be a list such as [Filter("source", "is", ("Google",))], not {_shown(each)}'
            )
        found.append(each)
    return tuple(found)


def check_number(filters: Collection[Filter]) -> None:
    """Refuse more filters than ``MOST_FILTERS``; raises ValueError."""
    if len(filters) > MOST_FILTERS:
        raise ValueError(f"there may be {MOST_FILTERS} filters at most, not {len(filters)}")


def text_of(dimension: str, operator: str, values: Sequence[str]) -> str:
    """Return the text of a filter, which may have more values than are allowed."""
    return f"{dimension}:{operator}:{join(values)}"


def join(values: Sequence[str]) -> str:
    """Return values in one text, with ``|`` between them; in values, ``|`` and ``\\`` get a ``\\`` in front."""
    return "|".join(value.replace("\\", "\\\\").replace("|", "\\|") for value in values)


def split(text: str) -> tuple[str, ...]:
    """Return the values of a text by ``join``; a ``\\`` in front of any other character is itself."""
    values = [""]
    for escaped, bar, plain in ESCAPED.findall(text):
        if bar:
            values.append("")
        else:
            values[-1] += escaped or plain
    return tuple(values)


def checked_values(owner: str, values: object) -> tuple[str, ...]:
    """Return values as a tuple.

    Raises:
        ValueError: not a list or tuple of 1 to ``MOST_VALUES`` texts of 1 to ``LONGEST_VALUE`` characters.
    """
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"the values of {owner} must be a list or tuple of texts, not {_shown(values)}")
    if not 1 <= len(values) <= MOST_VALUES:
        raise ValueError(f"{owner} must have 1 to {MOST_VALUES} values, not {len(values)}")
    if not all(values):
        raise ValueError(f"a value of {owner} must not be empty")
    if any(len(value) > LONGEST_VALUE for value in values):
        raise ValueError(f"a value of {owner} must have {LONGEST_VALUE} characters at most")
    return tuple(values)


def storable(text: str) -> str:
    """Return a text that an engine takes; half a surrogate pair is no text in UTF-8, so no stored value has one."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(value: object) -> str:
    # Cut twice: the text comes from an address and goes into a message, and repr() of one character may take ten.
    return repr(value if not isinstance(value, str) else value[:100])[:200]
