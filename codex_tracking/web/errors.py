"""The error of a parameter with a wrong value."""

from __future__ import annotations

from django.utils.translation import gettext, gettext_noop

ONE_OF = gettext_noop("one of %(choices)s")


class QueryError(ValueError):
    """A parameter with a value that it cannot have.

    Args:
        parameter: its name, as in the address.
        expected: completes "must be ...", such as ``an ISO date such as 2026-01-31``; with the names of ``values``.
        got: the value; the first 100 characters are repeated.
        message: the whole text, where "must be" does not fit.
        values: of ``expected``.
    """

    def __init__(self, parameter: str, expected: str, got: str, message: str = "", **values: object) -> None:
        # Without values the text is no pattern, and may contain percent signs.
        self.expected = expected % values if values else expected
        super().__init__(message or f"{parameter} must be {self.expected}, not {got[:100]!r}")
        self.parameter = parameter
        self.got = got[:100]
        self._pattern, self._values = expected, values

    @property
    def wanted(self) -> str:
        """``expected`` in the reader's language, for pages; the API answers in English."""
        return gettext(self._pattern) % self._values if self._values else gettext(self._pattern)
