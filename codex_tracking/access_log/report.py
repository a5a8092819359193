"""The report of an import: lines that were counted, left out and malformed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from codex_tracking.access_log.line import Line
from codex_tracking.access_log.records import Chunk
from codex_tracking.counters.fields import values_of, views_of

MALFORMED_SHOWN = 10
FEW_LINES = 20
"""Below so many lines, one client is no sign of a proxy."""
SEVERAL_AGENTS = 5
NAMES_SHOWN = 10


@dataclass
class Totals:
    """The counters of all logs of one import."""

    views: Counter[str] = field(default_factory=Counter)
    """ISO date -> page views."""
    errors: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    """Reason -> lines that are no page views."""
    apart: Counter[str] = field(default_factory=Counter)
    """ISO date -> lines that were counted without reading others first which an earlier import had counted."""

    def add(self, chunk: Chunk) -> None:
        """Add one chunk's counters."""
        for date in chunk.days:
            counts = chunk.counts_of(date)
            # A day without views is no part of the span that is told.
            if views := views_of(counts):
                self.views[date] += views
            self.excluded.update(values_of("excluded", counts))
            self.errors += sum(values_of("error", counts).values())

    def warnings(self) -> list[str]:
        """Return sentences about figures that the logs could not tell truly."""
        found = []
        if self.apart:
            found.append(
                f"{self.apart.total()} lines came apart from others of the same day that were imported before: "
                "visitors of a page, and visits, that have lines of both count twice. Give all logs of a day in one "
                f"command; days: {first_of(sorted(self.apart))}."
            )
        return found


@dataclass
class Report:
    """The lines of one log, by their fate."""

    lines: int = 0
    """Lines that no earlier import counted."""
    readable: int = 0
    """Well-formed lines, counted before or not."""
    before: int = 0
    """Lines that earlier imports counted."""
    changed: bool = False
    """Whether the log was changed since, before the place where that import ended."""
    counted_by_site: Counter[str] = field(default_factory=Counter)
    """ISO date -> lines left out, because the site counts that day itself."""
    outside: int = 0
    """Lines left out by ``--since`` and ``--until``."""
    other_hosts: Counter[str] = field(default_factory=Counter)
    """Host -> lines left out, because they are another site's."""
    malformed: int = 0
    first_malformed: list[tuple[int, str]] = field(default_factory=list)
    """Number and problem of the first malformed lines."""
    agents: set[str] = field(default_factory=set)
    """A few user agents."""
    without_agent: int = 0
    """Lines of a format that has no user agent."""
    addresses: set[str] = field(default_factory=set)
    """A few clients."""
    knows_clients: bool = False
    """Whether further clients would tell nothing new."""
    unfinished: int = 0
    """Bytes of a last line without an end."""
    problem: str = ""
    """The reason why reading ended early."""

    def add_malformed(self, number: int, problem: str) -> None:
        """Note a malformed line."""
        self.malformed += 1
        if len(self.first_malformed) < MALFORMED_SHOWN:
            self.first_malformed.append((number, problem))

    def add_client(self, line: Line) -> None:
        """Note the client of a well-formed line."""
        if line.agent and len(self.agents) < SEVERAL_AGENTS:
            self.agents.add(line.agent)
        if len(self.addresses) < 2:
            self.addresses.add(line.address)
        self.knows_clients = len(self.addresses) == 2 and len(self.agents) == SEVERAL_AGENTS

    def warnings(self) -> list[str]:
        """Return sentences about figures that the log cannot tell truly."""
        found = []
        if self.without_agent:
            found.append(
                f"{self.without_agent} lines are in a format without user agents, so bots cannot be told from people "
                "and all clients of one address are one visitor. Let the server write the combined format."
            )
        # Traefik drops all headers unless told to keep them.
        elif self.readable and not self.agents:
            found.append(
                "No line names a user agent, so all look like bots. Let the server write it; Traefik: "
                "accesslog.fields.headers.names.User-Agent=keep, and the same for Referer."
            )
        # Many agents of one address are a proxy's clients; one agent may be a test of the server.
        if self.readable >= FEW_LINES and len(self.addresses) == 1 and len(self.agents) >= SEVERAL_AGENTS:
            found.append(
                "All lines come from one address, perhaps a proxy's. Let the server write X-Forwarded-For and set "
                "CODEX_TRACKING['trusted_proxies'], or visitors are told apart by their user agents alone."
            )
        if self.changed:
            found.append("The log was changed since it was imported; only lines of seconds that had fewer are new.")
        if self.unfinished:
            found.append(
                f"The last line ({self.unfinished} bytes) has no end, so it waits for the next import; append a line "
                "end if the log is complete."
            )
        return found


def first_of(names: Iterable[str]) -> str:
    """Return the first names on one line."""
    known = list(names)
    more = f" and {len(known) - NAMES_SHOWN} more" if len(known) > NAMES_SHOWN else ""
    return ", ".join(known[:NAMES_SHOWN]) + more
