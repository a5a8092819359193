"""The API's parameters: one table that both reads them and describes them in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from codex_tracking.counters.fields import DIMENSIONS
from codex_tracking.hits.text import PATH_LIMIT, UNFIT
from codex_tracking.stats.periods import STEPS
from codex_tracking.stats.ranking import ORDERS
from codex_tracking.stats.summary import BY_HOUR, METRICS
from codex_tracking.web.query import COMPARISONS, MENU, ROLLING, QueryError

MOST_ROWS = 1_000
"""Rows that one answer has at most; an export has all."""
MOST_OFFSET = 100_000
"""Rows that may be skipped; who wants to see more takes an export."""
LONGEST_SEARCH = 200
TABLES = (*DIMENSIONS, "days", "hours")
"""What can be exported: a dimension's values, and the figures of each day or hour."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the API."""

    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON Schema: a string or an integer with its limits; ``read`` holds to all of them."""
    required: bool = False
    place: str = "query"

    def read(self, text: str) -> str | int:
        """Return the value of a parameter.

        Raises:
            QueryError: it is not what ``schema`` says.
        """
        if self.schema["type"] == "integer":
            return self._number(text)
        good = self.schema.get("minLength", 0) <= len(text) <= self.schema.get("maxLength", 100)
        if "enum" in self.schema:
            good = text in self.schema["enum"]
        if not good or UNFIT.search(text) or not text.startswith(self.schema.get("x-begins", "")):
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
        """What the parameter must be, in words."""
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


def _period(names: Iterable[str]) -> Parameter:
    expected = f"one of {', '.join(names)}, custom, or a number of days such as 14d"
    said = (
        "Days by name, or by number such as `14d`. The dashboard's own when omitted; `custom` where `start` is given."
    )
    return Parameter("period", said, {"type": "string", "minLength": 1, "maxLength": 10, "x-expected": expected})


_DAY = {"type": "string", "format": "date", "maxLength": 10, "x-expected": "an ISO date such as 2026-01-31"}
_PATH = {
    "type": "string",
    "minLength": 1,
    "maxLength": PATH_LIMIT,
    "x-begins": "/",
    "x-expected": f"a path that starts with /, up to {PATH_LIMIT} characters",
}

# By the hour only a series is kept.
PERIOD = _period([name for name in MENU if name != ROLLING])
PERIOD_OR_HOURS = _period(MENU)
START = Parameter("start", "First day of a `custom` period; `end` when omitted.", _DAY)
END = Parameter("end", "Last day of a `custom` period; today when omitted.", _DAY)
DAYS = (PERIOD, START, END)
COMPARE = Parameter(
    "compare", "Adds the same elapsed part of the period before, or of a year ago.", _one_of(COMPARISONS, "off")
)
METRIC = Parameter("metric", f"The figure; by the hour {' and '.join(BY_HOUR)}.", _one_of(METRICS, "views"))
STEP = Parameter("step", "What one point stands for; what suits the period when omitted.", _one_of(STEPS))
LIMIT = Parameter("limit", "How many rows.", _number(1, MOST_ROWS, 10))
OFFSET = Parameter("offset", "How many rows to leave out at the beginning.", _number(0, MOST_OFFSET, 0))
SEARCH = Parameter(
    "search", "Only values that contain this, whatever its case.", {"type": "string", "maxLength": LONGEST_SEARCH}
)
ORDER = Parameter(
    "order", "Largest first by views, by visits (for pages: by visitors), or by value.", _one_of(ORDERS, "views")
)
PAGE = Parameter("path", "A page as it is stored, without query string.", _PATH, required=True)
PAGE_FILTER = Parameter("path", "Of the table `page_source` only this page's sources.", _PATH)
DIMENSION = Parameter("dimension", "What the values are.", _one_of(DIMENSIONS), required=True, place="path")
TABLE = Parameter("table", "A dimension, `days` or `hours`.", _one_of(TABLES), required=True, place="path")
FORMAT = Parameter("format", "The file's format.", _one_of(("csv", "json")), required=True, place="path")


def read(known: Iterable[Parameter], given: QueryDict, in_path: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a request's parameters, defaults included; those without a default are left out.

    Raises:
        QueryError: one is unknown, missing, given twice, or not what its schema says.
    """
    table = {parameter.name: parameter for parameter in known}
    query = [name for name, parameter in table.items() if parameter.place == "query"]
    for name, values in given.lists():
        if name not in query:
            raise QueryError("parameters", f"among {', '.join(query)}" if query else "left out", name)
        if len(values) > 1:
            raise QueryError(name, "given once", ", ".join(values))
    found: dict[str, Any] = {}
    for name, parameter in table.items():
        text = in_path.get(name) if parameter.place == "path" else given.get(name)
        if text is not None:
            found[name] = parameter.read(text)
        elif parameter.required:
            raise QueryError(name, parameter.expected, "")
        elif "default" in parameter.schema:
            found[name] = parameter.schema["default"]
    return found
