"""The rooms: packages named after the flow, whose imports point one way, and a light path for requests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import codex_tracking
from tests.kit.programs import loaded_by, run_program

pytestmark = pytest.mark.one_python

PACKAGE = Path(codex_tracking.__file__).parent

GROUND = (
    "__init__",
    "isolation",
    "setting_rules",
    "settings",
    "models",
    "rollups",
    "registry",
    "widgets",
    "dashboard",
    "spellings",
)
"""Modules in the root that any package may import; all others in the root import packages, and no package them."""

FLOORS = (
    {"ground"},
    {"hits"},
    {"counters"},
    {"store"},
    {"tables"},
    {"visits"},
    {"pipeline", "stats", "access_log"},
    {"web"},
    {"root"},
)
"""From the bottom up; a package imports from lower floors alone, never from its neighbours on one floor."""

NEIGHBOURS = {"web/dashboard": "web/api", "web/api": "web/dashboard"}
"""Folders within ``web`` that do not know each other; both use ``web/query`` and ``web/access``."""

MOST_LINES, MOST_MODULES = 300, 20
"""Of a module, and modules of a package: what still can be looked over."""

MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))
MODULES = [name for name in MODULES if not name.startswith("migrations/")]


def room(module: str) -> str:
    """Return the package that a module is in: ``ground`` or ``root`` for those without one."""
    folder = module.partition("/")[0] if "/" in module else ""
    if folder in ("", "checks", "management", "templatetags"):
        return "ground" if module in GROUND else "root"
    return folder


def floor(module: str) -> int:
    """Return the floor of a module's package."""
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


def runtime(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements but those that only type checkers see."""
    waiting = [tree]
    while waiting:
        # No import is in an expression, and most nodes are.
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.expr) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
                continue
            yield node
            waiting.append(node)


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
    paths = {name.replace(".", "/") for name in names}
    known = {path if path in MODULES else path.rpartition("/")[0] for path in paths}
    return known & set(MODULES)


def packages(module: str) -> set[str]:
    """Return the top-level packages that a module imports."""
    return {name.partition(".")[0] for name in imported(module)}


def test_every_folder_is_a_room_that_the_rule_names() -> None:
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/__init__.py")}
    rooms = {room for rooms in FLOORS for room in rooms} - {"ground", "root"}
    assert folders - {"checks", "management", "migrations", "templatetags"} == rooms


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    upwards = {other for other in ours(module) if floor(other) > floor(module)}
    beside = {other for other in ours(module) if floor(other) == floor(module) and room(other) != room(module)}
    assert not upwards | beside, f"{module} imports {sorted(upwards | beside)}, which its package may not know"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(tuple(NEIGHBOURS))])
def test_the_dashboard_and_the_api_do_not_know_each_other(module: str) -> None:
    neighbour = NEIGHBOURS["/".join(module.split("/")[:2])]
    assert not {other for other in ours(module) if other.startswith(f"{neighbour}/")}


@pytest.mark.parametrize("module", [name for name in MODULES if name.endswith("/__init__")])
def test_a_package_is_a_docstring_alone(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    if room(module) != "root":
        assert ast.get_docstring(tree)
    assert len(tree.body) <= 1


@pytest.mark.parametrize("folder", sorted({str(Path(name).parent) for name in MODULES}))
def test_no_room_is_crowded(folder: str) -> None:
    modules = [name for name in MODULES if str(Path(name).parent) == folder and not name.endswith("__init__")]
    lines = {name: len((PACKAGE / f"{name}.py").read_text("utf-8").splitlines()) for name in modules}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
    # The public names are modules in the root, so that only packages are counted.
    assert folder == "." or len(modules) <= MOST_MODULES


def test_no_module_imports_itself_by_detours() -> None:
    # Raises CycleError.
    assert list(TopologicalSorter({module: ours(module) for module in MODULES}).static_order())


def _path_of(name: str) -> str:
    return name.removeprefix("codex_tracking.").replace(".", "/")


@pytest.mark.parametrize("module", MODULES)
def test_what_is_private_stays_in_its_module(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    # Names of modules, not variables that happen to be called like one.
    modules = {name.rpartition(".")[2] for name in imported(module) if _path_of(name) in MODULES}
    named = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    named |= {name.rpartition(".")[2] for name in imported(module) if name.startswith("codex_tracking.")}
    assert not {name for name in named if name.startswith("_") and not name.endswith("__")}


def test_the_store_alone_talks_to_redis() -> None:
    assert {room(name) for name in MODULES if packages(name) & {"redis", "fakeredis"}} == {"store"}


@pytest.mark.integration
def test_the_visit_log_alone_uses_duckdb_and_numpy_and_loads_them_late() -> None:
    assert {room(name) for name in MODULES if packages(name) & {"duckdb", "numpy"}} == {"visits"}
    found = loaded_by("import codex_tracking.pipeline.flusher, codex_tracking.visits.questions")
    assert "codex_tracking.visits.pack" in found
    assert not {"duckdb", "numpy"} & set(found)


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) == "hits"])
def test_hits_do_no_io(module: str) -> None:
    assert not packages(module) & {"asyncio", "asgiref", "socket", "threading"}
    assert not [name for name in imported(module) if name.startswith("django.db")]


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) == "counters"])
def test_counters_know_neither_loops_nor_databases(module: str) -> None:
    assert not packages(module) & {"asyncio", "asgiref", "socket"}
    assert not [name for name in imported(module) if name.startswith("django.db")]


@pytest.mark.integration
def test_the_middleware_does_not_load_redis() -> None:
    found = loaded_by("import codex_tracking.middleware")
    assert {"codex_tracking.middleware", "codex_tracking.hits.capture", "codex_tracking.counters.buffer"} <= found
    assert not found & {"redis", "fakeredis", "channels", "ua_parser", "maxminddb"}
    assert not {name for name in found if name.startswith(("codex_tracking.store.", "codex_tracking.tables."))}


@pytest.mark.integration
def test_setting_django_up_does_not_load_redis() -> None:
    found = loaded_by("pass")
    assert not found & {"redis", "fakeredis", "channels"}
    assert not {name for name in found if name.startswith("codex_tracking.store.")}


@pytest.mark.integration
def test_importing_access_logs_does_not_load_redis() -> None:
    found = loaded_by("import codex_tracking.management.commands.import_access_log")
    assert "codex_tracking.access_log.importer" in found
    assert not found & {"redis", "fakeredis", "channels"}


@pytest.mark.integration
def test_the_lifespan_can_be_imported_before_django_is_set_up() -> None:
    assert run_program("import codex_tracking.lifespan, sys; print('redis' in sys.modules)") == "False\n"
