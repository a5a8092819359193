"""The pinned files of others: fetched once, kept in ``upstream/``, and checked against ``upstream.json``."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.request
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

FOLDER = Path(__file__).parent
PINS = FOLDER / "upstream.json"
REQUIREMENTS = FOLDER / "requirements.txt"
"""Sources that PyPI has; ``noxfile.py`` installs them."""
TIMEOUT_SECONDS = 60
API, RAW = "https://api.github.com", "https://raw.githubusercontent.com"


class Pin(TypedDict):
    """One file of a public repository."""

    repository: str
    """``owner/name`` on GitHub."""
    commit: str
    path: str
    licence: str
    sha256: str


def check() -> list[str]:
    """Return the files whose text is not the pinned one."""
    return [name for name, pin in pins().items() if _digest((FOLDER / "upstream" / name).read_bytes()) != pin["sha256"]]


def refresh() -> None:
    """Fetch the newest version of every file and pin it, and pin the packages that are installed."""
    fresh = pins()
    commits = {pin["repository"]: _newest(pin["repository"]) for pin in fresh.values()}
    for name, pin in fresh.items():
        pin["commit"] = commits[pin["repository"]]
        content = _get(f"{RAW}/{pin['repository']}/{pin['commit']}/{pin['path']}")
        (FOLDER / "upstream" / name).write_bytes(content)
        pin["sha256"] = _digest(content)
    packages = [line.partition("==")[0] for line in REQUIREMENTS.read_text("utf-8").split()]
    REQUIREMENTS.write_text("".join(f"{name}=={version(name)}\n" for name in packages), "utf-8")
    PINS.write_text(json.dumps(fresh, indent=2) + "\n", "utf-8")


def pins() -> dict[str, Pin]:
    """Return the pins by the name of the file in ``upstream/``."""
    found: dict[str, Pin] = json.loads(PINS.read_text("utf-8"))
    return found


def _newest(repository: str) -> str:
    token = os.environ.get("GH_TOKEN")
    # Without a token 60 questions an hour are answered for each address, which CI's machines share.
    signed = {"Authorization": f"Bearer {token}"} if token else {}
    headers = {"Accept": "application/vnd.github.sha", **signed}
    return _get(f"{API}/repos/{repository}/commits/HEAD", headers).decode()


def _get(url: str, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "codex-tracking data build", **headers})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        content: bytes = answer.read()
        return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
