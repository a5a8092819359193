"""The pages beside the README: their links lead somewhere, and what they list is what the code has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_tracking import checks
from codex_tracking.endpoints import ENDPOINTS
from codex_tracking.instruments import COUNTERS, GAUGES, PREFIX
from codex_tracking.models import PageView

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "examples" / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / ".github" / "SECURITY.md", ROOT / "CHANGELOG.md"]
README = ROOT / "README.md"


def anchors(page: Path) -> set[str]:
    """Return what links may name in a page, as GitHub makes it of its titles."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_readme_leads_to_each_page() -> None:
    text = README.read_text()
    assert [page.name for page in DOCS.glob("*.md") if f"(examples/docs/{page.name})" not in text] == []


def test_each_check_is_listed_once() -> None:
    listed = re.findall(r"^\| `(codex_tracking\.[EW]\d+)`", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert listed == sorted(set(re.findall(r'"(codex_tracking\.[EW]\d+)"', Path(checks.__file__).read_text())))


def test_each_metric_is_listed() -> None:
    listed = re.findall(rf"^\| `({PREFIX}_\w+)", (DOCS / "operations.md").read_text(), re.MULTILINE)
    counters = [f"{PREFIX}_{one.name}_total" for one in COUNTERS]
    assert listed == counters + [f"{PREFIX}_{one.name}" for one in GAUGES]


def test_each_address_of_the_api_is_listed() -> None:
    text = (DOCS / "access.md").read_text()
    for endpoint in ENDPOINTS:
        path = endpoint.path.replace("{table}.{format}", "<table>.csv").replace("{", "<").replace("}", ">")
        assert f"| `api/{path}" in text, endpoint.path


def test_each_command_is_in_the_readme() -> None:
    commands = Path(checks.__file__).parent / "management" / "commands"
    names = {path.stem for path in commands.glob("*.py")} - {"__init__"}
    assert names == set(re.findall(r"^\| `manage\.py (\w+)", README.read_text(), re.MULTILINE))


def test_each_table_is_in_the_data_inventory() -> None:
    from django.apps import apps

    text = (DOCS / "privacy.md").read_text()
    models = apps.get_app_config("codex_tracking").get_models()
    assert PageView.__name__ in text
    assert [model.__name__ for model in models if f"`{model.__name__}`" not in text] == []


def test_each_attack_that_was_tried_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / ".github" / "SECURITY.md").read_text()))
    assert named
    assert [name for name in named if not (ROOT / "tests" / f"{name}.py").exists()] == []


@pytest.mark.parametrize(("name", "read"), [("grafana-dashboard.json", json.loads), ("settings.py", compile)])
def test_the_recipes_files_are_well_formed(name: str, read: Callable[..., object]) -> None:
    text = (ROOT / "examples" / "deploy" / name).read_text()
    assert read(text, name, "exec") if read is compile else read(text)
