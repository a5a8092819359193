"""The wheel: it holds all that runs, and importing it costs little."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import codex_tracking
from tests.kit.programs import loaded_by

ROOT = Path(__file__).parents[2]
WHEEL = os.environ.get("CODEX_TRACKING_WHEEL", "")
"""Set by ``noxfile.py``, which built it; without nox these tests build one themselves."""


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the names of the files in the wheel."""
    wheel = Path(WHEEL) if WHEEL else _build(tmp_path_factory.mktemp("wheel"))
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    ("folder", "suffix"),
    [
        ("", "py.typed"),
        ("store/lua/", ".lua"),
        ("templates/", ".html"),
        ("static/", ".css"),
        ("static/", ".js"),
        ("migrations/", "0001_initial.py"),
        ("management/commands/", "flush_page_views.py"),
        ("locale/", ".po"),
        ("locale/", ".mo"),
    ],
)
def test_wheel_holds(wheel_files: list[str], folder: str, suffix: str) -> None:
    assert any(name.startswith(f"codex_tracking/{folder}") and name.endswith(suffix) for name in wheel_files)


def test_wheel_holds_nothing_but_the_package_and_its_licence(wheel_files: list[str]) -> None:
    strangers = [name for name in wheel_files if not name.startswith(("codex_tracking/", "codex_tracking-"))]
    assert strangers == []
    assert any(name.endswith("licenses/LICENSE") for name in wheel_files)
    assert not [name for name in wheel_files if "__pycache__" in name]


def test_every_file_of_the_installed_package_is_in_the_wheel(wheel_files: list[str]) -> None:
    package = Path(codex_tracking.__file__).parent
    here = [path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()]
    assert {name for name in here if "__pycache__" not in name} <= set(wheel_files)


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert codex_tracking.__version__ == project["version"]
    if WHEEL:
        assert importlib.metadata.version("codex-tracking") == project["version"]


@pytest.mark.skipif(not WHEEL, reason="runs against the checkout; `python3 noxfile.py -s tests` installs the wheel")
def test_tests_run_against_the_installed_wheel() -> None:
    assert "site-packages" in codex_tracking.__file__
    assert not (ROOT / "codex_tracking").exists()


@pytest.mark.integration
@pytest.mark.parametrize("module", ["codex_tracking.middleware", "codex_tracking.apps", "codex_tracking.recorder"])
def test_import_does_not_load_redis(module: str) -> None:
    assert "redis" not in loaded_by(f"import {module}")


def _build(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))
