"""The API's parameters, read from requests and described in the OpenAPI document by the same table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from codex_tracking.counters.fields import DIMENSIONS
from codex_tracking.hits.text import PATH_LIMIT, UNFIT
from codex_tracking.stats.periods import EARLIEST, STEPS
from codex_tracking.stats.summary import BY_HOUR, METRICS
from codex_tracking.stats.values.ranking import DERIVED_DIMENSIONS, LOG_DIMENSIONS, ORDERS
from codex_tracking.visits.filters import FILTER_DIMENSIONS, MOST_FILTERS, OPERATORS
from codex_tracking.web.errors import QueryError
from codex_tracking.web.query import COMPARISONS, MENU, ROLLING

MOST_ROWS = 1_000
"""Rows of one answer; exports have all."""
MOST_OFFSET = 100_000
"""Rows that may be skipped; exports have all rows."""
LONGEST_SEARCH = 200
NAMES = (*DIMENSIONS, *DERIVED_DIMENSIONS, *LOG_DIMENSIONS)
TABLES = (*NAMES, "days", "hours")
"""Tables for export: each dimension's values, and the figures of each day or hour."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the API."""

    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON Schema of a string or an integer, whose type, enum, pattern and limits ``read`` checks.

    Or of an array of strings, which are given one by one by the parameter's name repeated; their reader checks them.
    """
    required: bool = False
    place: str = "query"

    def read(self, text: str) -> str | int:
        """Return the value of a parameter.

        Raises:
            QueryError: it does not match ``schema``.
        """
        if self.schema["type"] == "integer":
            return self._number(text)
        # The length first: a pattern over megabytes of text would take time.
        good = self.schema.get("minLength", 0) <= len(text) <= self.schema.get("maxLength", 100)
        if "enum" in self.schema:
            good = text in self.schema["enum"]
        # UNFIT as well, because in Python "$" also matches before a last line break;
        # search, because JSON Schema does not anchor patterns.
        if not good or UNFIT.search(text) or not re.search(self.schema.get("pattern", ""), text, re.ASCII):
            raise QueryError(self.name, self.expected, text)
        return text

    def _number(self, text: str) -> int:
        # int() also takes "+1", "1_000" and digits of other scripts, and refuses very long numbers only with an error.
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise QueryError(self.name, self.expected, text)
        if not self.schema["minimum"] <= int(text) <= self.schema["maximum"]:
            raise QueryError(self.name, self.expected, text)
        return int(text)

    @property
    def expected(self) -> str:
        """The schema in words; completes "must be ..."."""
        schema = self.schema
        if "x-expected" in schema:
            return str(schema["x-expected"])
        if schema["type"] == "integer":
            return f"a whole number from {schema['minimum']} to {schema['maximum']}"
        if "enum" in schema:
            return "one of " + ", ".join(schema["enum"])
        return f"{schema.get('minLength', 0)} to {schema['maxLength']} characters without controls"


def _one_of(values: Iterable[str], default: str = "") -> dict[str, Any]:
    return {"type": "string", "enum": list(values)} | ({"default": default} if default else {})


def _number(least: int, most: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


def _period(names: Sequence[str]) -> Parameter:
    expected = f"one of {', '.join(names)}, custom, or a number of days such as 14d"
    text = "A name, or a number of days such as `14d`. The dashboard's default when omitted; `custom` with `start`."
    pattern = f"^({'|'.join(names)}|custom|[1-9][0-9]{{0,4}}d)$"
    limits = {"minLength": 1, "maxLength": 10, "pattern": pattern, "x-expected": expected}
    return Parameter("period", text, {"type": "string", **limits})


_FIT = r"[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffd]"
"""``text.UNFIT`` as JSON Schema writes it, negated; JSON has no lone surrogates."""

_DAY = {
    "type": "string",
    "format": "date",
    "maxLength": 10,
    # From EARLIEST on.
    "pattern": "^[2-9][0-9]{3}-[01][0-9]-[0-3][0-9]$",
    "x-expected": f"an ISO date such as 2026-01-31, a day from {EARLIEST.isoformat()}",
}
_PATH = {
    "type": "string",
    "minLength": 1,
    "maxLength": PATH_LIMIT,
    "pattern": f"^/{_FIT}*$",
    "x-expected": f"a path that starts with /, up to {PATH_LIMIT} characters",
}

# By the hour only a series is kept.
PERIOD = _period([name for name in MENU if name != ROLLING])
PERIOD_OR_HOURS = _period(MENU)
START = Parameter("start", "First day of a `custom` period; `end` when omitted.", _DAY)
END = Parameter("end", "Last day of a `custom` period; today when omitted.", _DAY)
DAYS = (PERIOD, START, END)
COMPARE = Parameter(
    "compare",
    "Adds the same elapsed part of the previous period, or of the same period last year.",
    _one_of(COMPARISONS, "off"),
)
METRIC = Parameter("metric", f"The figure; by the hour {' and '.join(BY_HOUR)}.", _one_of(METRICS, "views"))
STEP = Parameter("step", "The span of one point; depends on the period's length when omitted.", _one_of(STEPS))
LIMIT = Parameter("limit", "Number of rows.", _number(1, MOST_ROWS, 10))
OFFSET = Parameter("offset", "Number of rows to skip.", _number(0, MOST_OFFSET, 0))
SEARCH = Parameter(
    "search",
    "Only values that contain this text, ignoring case.",
    {"type": "string", "maxLength": LONGEST_SEARCH, "pattern": f"^{_FIT}*$"},
)
ORDER = Parameter(
    "order",
    "Largest first by views, by visits (for pages: by visitors, or without filters by `reading` time; for "
    "`confirmed_source` and its like: by confirmed views or their `share`; for `vital_lcp` and its like: by `p75`), "
    "or by value; with `_ascending` or `_descending` the other way round.",
    _one_of(ORDERS, "views"),
)
PAGE = Parameter("path", "A page as it is stored, without query string.", _PATH, required=True)
PAGE_FILTER = Parameter("path", "For the table `page_source`: only this page's sources.", _PATH)
DIMENSION = Parameter("dimension", "The dimension.", _one_of(NAMES), required=True, place="path")
TABLE = Parameter("table", "A dimension, `days` or `hours`.", _one_of(TABLES), required=True, place="path")
BOM = Parameter(
    "bom", "Begin a CSV file with a byte order mark, which Excel needs.", _one_of(("true", "false"), "false")
)
FORMAT = Parameter("format", "The file's format.", _one_of(("csv", "json")), required=True, place="path")


FILTER_DIMENSION = Parameter(
    "dimension", "What the filter is by.", _one_of(FILTER_DIMENSIONS), required=True, place="path"
)
FILTERS = Parameter(
    "f",
    "Selects visits; all figures are then those of these visits. Repeat it for several filters, which must all be met. "
    "`<dimension>:<operator>:<value>`, with alternatives behind `|`; in a value, `|` and `\\` have a `\\` in front. An "
    "event's value is its name, or `name=value`. Needs the setting `visit_log_days`.",
    {
        "type": "array",
        "maxItems": MOST_FILTERS,
        "items": {
            "type": "string",
            "pattern": f"^({'|'.join(FILTER_DIMENSIONS)}):({'|'.join(OPERATORS)}):.+$",
            "examples": ["source:is:Google|Bing"],
        },
    },
)


def read_parameters(known: Iterable[Parameter], given: QueryDict, in_path: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a request's parameters, defaults included; those without a default are left out.

    Raises:
        QueryError: one is unknown, missing, given twice, or does not match its schema.
    """
    table = {parameter.name: parameter for parameter in known}
    query = [name for name, parameter in table.items() if parameter.place == "query"]
    for name, values in given.lists():
        # Refused and not ignored: a misspelt parameter would be answered with the figures of its default.
        if name not in query:
            expected = f"one of {', '.join(query)}" if query else "no parameter"
            message = f"Unknown parameter {name[:100]!r}; known: {', '.join(query) or 'none'}"
            raise QueryError(name[:100], expected, name, message)
        # Proxies and frameworks disagree about which of two values counts.
        if len(values) > 1 and table[name].schema["type"] != "array":
            raise QueryError(name, "given once", ", ".join(values))
    found: dict[str, Any] = {}
    for name, parameter in table.items():
        if parameter.schema["type"] == "array":
            found[name] = tuple(given.getlist(name))
            continue
        text = in_path.get(name) if parameter.place == "path" else given.get(name)
        if text is not None:
            found[name] = parameter.read(text)
        elif parameter.required:
            message = f"Missing parameter {name!r}; expected: {parameter.expected}"
            raise QueryError(name, parameter.expected, "", message)
        elif "default" in parameter.schema:
            found[name] = parameter.schema["default"]
    return found
