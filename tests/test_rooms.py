"""The rooms: imports between our modules point one way, and the request's path stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import codex_tracking
from tests.servers.app import ROOT

PACKAGE = Path(codex_tracking.__file__).parent

ROWS = (
    # Names and plain data.
    "__init__ types keys periods hyperloglog access_log registry dashboard",
    # Settings, and what is worked out from values alone.
    "settings metrics names query chart strip widgets paths classify visitors sources devices geo logfile",
    # Memory, tables, Redis.
    "aggregate buffer models upsert manager",
    # From here to there: requests, pushes, flushes, reads.
    "recorder toplists prune flush pusher reports minutes overview selector runner events history status sync",
)
"""From the bottom up; a module may import from lower rows, and from what stands left of it in its own."""

WIRING = ("urls", "api_urls", "share_urls", "routing", "cabinet", "apps")
"""Nobody imports these but the wiring itself, and Django."""

PLACES = {name: (row, place) for row, line in enumerate(ROWS, 1) for place, name in enumerate(line.split())}
EDGES = len(ROWS) + 1
"""The row of all modules that are named nowhere above: views, commands, middleware, everything that others call."""

MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))
MODULES = [name for name in MODULES if not name.startswith("migrations/")]


def place(module: str) -> tuple[int, int]:
    """Return row and place of a module; edges have no order among themselves."""
    if module in WIRING:
        return EDGES + 1, 0
    return PLACES.get(module, (EDGES, 0))


def runtime(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from runtime(node)


@cache
def imported(module: str) -> set[str]:
    """Return the full names of what a module imports, also later inside functions."""
    found: set[str] = set()
    for node in runtime(ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def ours(module: str) -> set[str]:
    """Return which of our modules a module imports."""
    names = {name.removeprefix("codex_tracking.") for name in imported(module) if name.startswith("codex_tracking.")}
    known = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return known & set(MODULES)


def packages(module: str) -> set[str]:
    """Return the top-level packages that a module imports."""
    return {name.partition(".")[0] for name in imported(module)}


def test_every_module_that_the_table_names_exists() -> None:
    assert [name for name in (*PLACES, *WIRING) if name not in MODULES] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    row, left = place(module)
    wrong = {
        other
        for other in ours(module)
        if place(other)[0] > row or (place(other)[0] == row <= len(ROWS) and place(other)[1] >= left)
    }
    assert not wrong, f"{module} (row {row}) imports {sorted(wrong)}, which should import it"


def test_no_module_imports_itself_by_detours() -> None:
    # Raises CycleError.
    assert list(TopologicalSorter({module: ours(module) for module in MODULES}).static_order())


@pytest.mark.parametrize("module", MODULES)
def test_what_is_private_stays_in_its_module(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_ours(module, node.value)}
    named |= {name.rpartition(".")[2] for name in imported(module) if name.startswith("codex_tracking.")}
    assert not {name for name in named if name.startswith("_") and not name.endswith("__")}


def _is_ours(module: str, node: ast.expr) -> bool:
    """Say whether an expression is the name of another of our modules."""
    return isinstance(node, ast.Name) and node.id in ours(module)


def test_one_module_alone_talks_to_redis() -> None:
    assert [name for name in MODULES if packages(name) & {"redis", "fakeredis"}] == ["manager"]


THREADS = {"metrics": {"threading"}, "dashboard": {"asyncio", "asgiref"}}
"""What these need besides values: the ledger has a lock, and dashboard providers are awaited."""


@pytest.mark.parametrize("module", [name for name in PLACES if PLACES[name][0] <= 2])
def test_the_lowest_rows_do_no_io(module: str) -> None:
    assert not packages(module) & {"asyncio", "asgiref", "socket", "threading", "redis"} - THREADS.get(module, set())
    assert not [name for name in imported(module) if name.startswith("django.db")]


def loaded_by(statements: str) -> set[str]:
    """Return the modules that a fresh process has after these statements, with Django set up."""
    program = f"import django, sys; django.setup(); {statements}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "tests.site.settings", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_middleware_does_not_load_redis() -> None:
    found = loaded_by("import codex_tracking.middleware")
    assert "codex_tracking.middleware" in found
    assert "codex_tracking.recorder" in found
    assert not found & {"redis", "fakeredis", "channels", "ua_parser", "maxminddb", "codex_tracking.manager"}


def test_setting_django_up_does_not_load_redis() -> None:
    assert not loaded_by("pass") & {"redis", "fakeredis", "channels", "codex_tracking.manager"}


def test_the_lifespan_can_be_imported_before_django_is_set_up() -> None:
    program = "import codex_tracking.lifespan, sys; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
