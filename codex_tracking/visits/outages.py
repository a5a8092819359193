"""Outages of what answers questions about the visit log: one line when one begins, and one when it ends."""

from __future__ import annotations

from logging import Logger


class Outage:
    """An outage that may go on.

    Args:
        logger: of the module that notices it.
        over: the line at its end.
    """

    def __init__(self, logger: Logger, over: str) -> None:
        self._logger = logger
        self._over = over
        self.goes_on = False

    def failed(self, message: str, *args: object) -> None:
        """Log an outage that begins."""
        if not self.goes_on:
            self._logger.error(message, *args)
        self.goes_on = True

    def worked(self) -> None:
        """Log the end of an outage."""
        if self.goes_on:
            self._logger.warning(self._over)
        self.goes_on = False
