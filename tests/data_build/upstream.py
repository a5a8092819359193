"""The pinned files of others: fetched once, kept in ``upstream/``, and checked against ``upstream.json``."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

FOLDER = Path(__file__).parent
PINS = FOLDER / "upstream.json"
REQUIREMENTS = FOLDER / "requirements.txt"
"""Sources that PyPI has; ``noxfile.py`` installs them."""
TIMEOUT_SECONDS = 60


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
        content = _get(f"https://raw.githubusercontent.com/{pin['repository']}/{pin['commit']}/{pin['path']}")
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
    return _get(f"https://api.github.com/repos/{repository}/commits/HEAD", "application/vnd.github.sha").decode()


def _get(url: str, accept: str = "*/*") -> bytes:
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "codex-tracking data build"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        content: bytes = answer.read()
        return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
