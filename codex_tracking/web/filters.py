"""Filters in addresses, which need a visit log."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext_noop

from codex_tracking.visits.asking import log_refusal
from codex_tracking.visits.filters import FILTER_DIMENSIONS, OPERATORS, Filter, check_number, join, parse
from codex_tracking.web.errors import QueryError

FILTER = gettext_noop(
    "<dimension>:<operator>:<value>[|<value>...] such as source:is:Google; dimensions: %(dimensions)s; "
    "operators: %(operators)s"
)
EVENTS_BY_NAME = gettext_noop("a filter by the whole name of an event")
EVENT_ALONE = gettext_noop("an event without its value, which you may not see")
NO_LOG = gettext_noop("left out, because there is no visit log (visit_log_days)")


def require_log(asked: str, parameter: str = "f", expected: str = NO_LOG) -> None:
    """Raise an error for a value that needs a visit log, if there is none.

    Args:
        asked: the value that needs it.
        parameter: its name.
        expected: completes "must be ..." for it.

    Raises:
        QueryError: there is none; the message says why.
    """
    if refusal := log_refusal():
        raise QueryError(parameter, expected, asked, refusal)


def read_filters(texts: Sequence[str]) -> tuple[Filter, ...]:
    """Read the values of ``f``.

    Raises:
        QueryError: one is no filter, or there is no visit log.
    """
    if not texts:
        return ()
    require_log(texts[0])
    # A dictionary, because a filter that is given twice is one.
    found: dict[Filter, str] = {}
    # The error names the text that failed, or the last one of too many.
    text = ""
    try:
        for text in texts:
            found[parse(text)] = text
        check_number(found)
    except ValueError as error:
        known = {"dimensions": ", ".join(FILTER_DIMENSIONS), "operators": ", ".join(OPERATORS)}
        raise QueryError("f", FILTER, text, str(error), **known) from None
    return tuple(found)


def filter_of_texts(dimension: str, operator: str, value: str) -> Filter:
    """Return a filter by one value.

    Raises:
        QueryError: there is no such filter, or no visit log.
    """
    # As the text of an address, so that a form's filter is checked by the same rules.
    return read_filters([f"{dimension}:{operator}:{join([value])}"])[0]
