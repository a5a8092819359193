"""``python -m tests.data_build [--refresh]``: write ``codex_tracking/hits/data`` and judge it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import codex_tracking
from tests.data_build import bots, corpora, sites, upstream

DATA = Path(codex_tracking.__file__).parent / "hits" / "data"

FOUND = {"crawler-user-agents": 0.99, "isbot": 0.98, "arp242/isbot": 0.98}
"""Corpus -> share of its bots that must be found."""
NAMED = 0.65
"""Share of the bots found that must have a name from the list."""
SPAM_HEADER = "# Hosts that fill statistics with made-up referrers; their subdomains are meant too.\n"


def main() -> int:
    """Build the lists; return 1 when a corpus is judged worse than it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refresh", action="store_true", help="fetch the newest upstream files and pin them")
    if parser.parse_args().refresh:
        upstream.refresh()
    changed = upstream.check()
    if changed:
        print("Not the pinned text, fetch it with --refresh:", ", ".join(changed))
        return 1
    write(corpora.people())
    faults = judge(corpora.bots(), corpora.people())
    print("\n".join(faults) or "All corpora are judged as well as they must be.")
    return 1 if faults else 0


def write(people: Mapping[str, Sequence[str]]) -> None:
    """Write the three lists and the date."""
    rows = bots.rows(agent for agents in people.values() for agent in agents)
    texts = {
        "bots.json": "[\n" + ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n",
        "sites.json": _sites_text(sites.sites()),
        "spam.txt": SPAM_HEADER + "\n".join(sites.spam()) + "\n",
    }
    for name, text in texts.items():
        (DATA / name).write_text(text, "utf-8")
        print(f"{name:12}{text.count(chr(10)):6} lines {len(text.encode()) / 1000:7.1f} kB")
    # A month without news is fresh too.
    (DATA / "date.txt").write_text(f"{datetime.now(UTC).date().isoformat()}\n", "utf-8")


def judge(known_bots: Mapping[str, Sequence[str]], people: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what is worse than it must be, in words; print the figures."""
    # Imported here: the library reads the lists once, and they have just been written.
    from codex_tracking.hits import bots as classifier
    from codex_tracking.settings import TrackingSettings

    faults = []
    settings = TrackingSettings()
    listed = {row["name"] for row in json.loads((DATA / "bots.json").read_text("utf-8"))}
    names = []
    for corpus, agents in known_bots.items():
        found = [name for agent in agents if (name := classifier.bot(agent, settings))]
        share = len(found) / len(agents)
        if corpus != "crawler-user-agents":
            # Most names come from there, so its own bots prove nothing.
            names += found
        print(f"{corpus:20}{len(agents):6} bots   {share:8.2%} found")
        if share < FOUND[corpus]:
            faults.append(f"{corpus}: {share:.2%} of the bots are found, {FOUND[corpus]:.0%} must be.")
    for corpus, agents in people.items():
        lost = [agent for agent in agents if classifier.bot(agent, settings)]
        print(f"{corpus:20}{len(agents):6} people {len(lost) / max(1, len(agents)):8.2%} lost")
        faults += [f"{corpus}: a person is called {classifier.bot(agent, settings)}: {agent}" for agent in lost]
    named = sum(name in listed for name in names) / len(names)
    print(f"{'named':20}{len(names):6} bots   {named:8.2%}")
    if named < NAMED:
        faults.append(f"{named:.2%} of the bots found have a name from the list, {NAMED:.0%} must have one.")
    return faults


def _sites_text(channels: sites.Channels) -> str:
    """Return the list of sites as JSON with one name a line, so that diffs can be read."""
    blocks = []
    for channel, names in channels.items():
        rows = [f"    {json.dumps(name, ensure_ascii=False)}: {json.dumps(hosts)}" for name, hosts in names.items()]
        blocks.append(f"  {json.dumps(channel)}: {{\n" + ",\n".join(rows) + "\n  }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
