"""The lists of sites and of spam: own rows, then Matomo's search engines, social networks and AI assistants."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tests.data_build.upstream import FOLDER

Channels = dict[str, dict[str, list[str]]]
"""``{channel: {name: [host, ...]}}``; see ``codex_tracking.hits.sources``."""

FILES = {"search": "SearchEngines.yml", "social": "Socials.yml", "ai": "AIAssistants.yml"}


def sites() -> Channels:
    """Return the list of sites; hosts that own rows know stay as those say."""
    channels: Channels = json.loads((FOLDER / "own" / "sites.json").read_text("utf-8"))
    refused = set((FOLDER / "own" / "refused-sites.txt").read_text("utf-8").splitlines())
    taken = {host for names in channels.values() for hosts in names.values() for host in hosts}
    spelled = {name.lower(): name for names in channels.values() for name in names}
    for channel, file in FILES.items():
        for name, host in _hosts((FOLDER / "upstream" / file).read_text("utf-8")):
            if host in refused or _is_known(host, taken):
                continue
            # A search engine's other products are no search.
            row = f"={host}" if channel == "search" else host
            taken.add(row)
            channels[channel].setdefault(spelled.get(name.lower(), name), []).append(row)
    return channels


def spam() -> list[str]:
    """Return the hosts that send made-up referrers, in order."""
    ours = (FOLDER / "own" / "spam.txt").read_text("utf-8").splitlines()
    theirs = (FOLDER / "upstream" / "spammers.txt").read_text("utf-8").splitlines()
    refused = set((FOLDER / "own" / "refused-sites.txt").read_text("utf-8").splitlines())
    hosts = {line.strip().lower() for line in (*ours, *theirs) if line.strip() and not line.startswith("#")}
    # A host with its parent on the list adds nothing.
    return sorted(host for host in hosts - refused if not any(parent in hosts for parent in _parents(host)))


def _hosts(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and host of Matomo's files: names at the margin, hosts as items, in ``urls`` where there are keys."""
    name, key = "", "urls"
    for line in text.splitlines():
        if re.match(r"\S.*:$", line):
            name, key = line.rstrip(":").strip("'\"").replace("%2B", "+"), "urls"
        elif found := re.match(r"\s+(?:- )?(\w+):", line):
            key = found[1]
        elif key == "urls" and (item := re.match(r"\s+- ['\"]?([a-z0-9.{}_-]+)['\"]?$", line)):
            host = item[1].removeprefix("www.")
            if host.startswith("com.") or "." not in host:
                yield name, f"app:{host}"
            elif "{}" not in host:
                yield name, host
            elif re.fullmatch(r"[a-z0-9-]{4,}\.\{\}", host):
                yield name, host.replace("{}", "*")


def _is_known(host: str, taken: set[str]) -> bool:
    """Whether a host is on the list, by itself, under a host that speaks for it, or in a family."""
    labels = host.removesuffix(".*").split(".")
    parts = {".".join(labels[at:end]) for at in range(len(labels)) for end in range(at + 1, len(labels) + 1)}
    parents = {".".join(labels[at:]) for at in range(len(labels))}
    families = {f"{mark}{part}.*" for part in parts for mark in ("", "=")}
    return not ({f"={host}", f"app:{host}"} | parents | families).isdisjoint(taken)


def _parents(host: str) -> list[str]:
    labels = host.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels) - 1)]
