"""The README and the pages beside it: links resolve, code blocks run, and lists match the code."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.http import HttpResponse
from django.template import engines
from django.test import AsyncClient, AsyncRequestFactory
from pytest_django import Settings

import codex_tracking
from codex_tracking.checks import database, deployment, engine, pages, redis, traffic
from codex_tracking.models import PageView
from codex_tracking.pipeline.metrics import COUNTERS, GAUGES, PREFIX
from codex_tracking.web.api.endpoints import ENDPOINTS
from tests.kit.pipeline import request_for
from tests.project.test_readme import README, ROOT, block, blocks

DOCS = ROOT / "examples" / "docs"
GITHUB = ROOT / ".github"
PAGES = [README, *sorted(DOCS.glob("*.md")), *sorted(GITHUB.rglob("*.md")), ROOT / "CHANGELOG.md"]
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


# --- links ---


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return FENCED.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub derives from a page's titles."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_resolves(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


# --- Python ---


@pytest.fixture
def clean_registry() -> Iterator[None]:
    """Withdraw what the examples declare."""
    from codex_tracking.dashboard import DashboardProviders
    from codex_tracking.registry import withdraw

    yield
    withdraw("shop")
    DashboardProviders.remove("shop")


def names_in(text: str) -> dict[str, Any]:
    """Run a code block and return its names."""
    names: dict[str, Any] = {}
    exec(compile(text, "code block", "exec"), names)
    return names


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("clean_registry")
@pytest.mark.parametrize("text", blocks("python", *PAGES), ids=lambda text: text.strip().splitlines()[0][:60])
def test_each_example_runs(text: str) -> None:
    assert names_in(text)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("view", ["popular", "january", "brochure", "join"])
async def test_each_view_of_the_examples_answers(view: str) -> None:
    answer = await names_in(block("python", f"def {view}("))[view](AsyncRequestFactory().get("/"))
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_our_widgets_show_on_a_page_of_the_projects_own(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "office.html").write_text(block("html", "tracking_total_views"))
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    answer = await names_in(block("python", "def office("))["office"](AsyncRequestFactory().get("/"))

    assert "Page views today" in answer.content.decode()
    assert "Top pages" in answer.content.decode()


@pytest.mark.usefixtures("clean_registry")
async def test_a_declared_card_gets_what_its_provider_returns() -> None:
    from codex_tracking.dashboard import DashboardProviders
    from codex_tracking.registry import dashboard_widgets

    names_in(block("python", "declare("))

    assert "orders_today" in [card.context_key for card in dashboard_widgets()]
    context = await DashboardProviders.get_context(AsyncRequestFactory().get("/"), without=["tracking_analytics"])
    assert context["orders_today"].value == "17"


# --- templates ---


@pytest.mark.django_db(transaction=True)
def test_the_template_tags_render() -> None:
    shown = engines["django"].from_string(block("django", "page_views")).render({"article": "/"}, request_for("/"))
    assert re.search(r"^\d+ views of this page in 30 days, \d+ of that one in a week\.$", shown, re.MULTILINE)


# --- the shell ---


@pytest.mark.parametrize("text", blocks("sh", *PAGES), ids=lambda text: text.strip().splitlines()[0][:60])
def test_each_shell_block_is_well_formed(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


COMMAND = re.compile(r"manage\.py (\w+)([^`\n|>#]*)")
PLACEHOLDERS = re.compile(r"\[|\.\.\.")


def command_lines() -> list[tuple[str, str]]:
    """Return the management commands of all pages with their arguments, without those that show a synopsis."""
    found = {line for page in PAGES for line in COMMAND.findall(page.read_text().replace("\\\n", " "))}
    return sorted(line for line in found if not PLACEHOLDERS.search(line[1]))


@pytest.mark.parametrize(("name", "arguments"), command_lines(), ids="".join)
def test_each_command_line_is_accepted(name: str, arguments: str) -> None:
    commands = get_commands()
    assert name in commands
    command = load_command_class(commands[name], name) if isinstance(commands[name], str) else commands[name]
    assert isinstance(command, BaseCommand)
    if arguments.strip():
        command.create_parser("manage.py", name).parse_args(shlex.split(arguments))


@pytest.mark.integration
@pytest.mark.parametrize("line", [line for text in blocks("sh", DOCS / "servers.md") for line in text.splitlines()])
def test_each_server_knows_its_options(line: str) -> None:
    server, *arguments = shlex.split(line)
    program = shutil.which(server, path=str(Path(sys.executable).parent)) or shutil.which(server)
    assert program is not None
    known = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60).stdout
    assert [option for option in arguments if option.startswith("--") and option not in known] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", re.findall(r'"https://www\.example\.com(/[^"]+)"', "".join(blocks("sh"))))
async def test_each_request_of_the_api_is_answered(url: str, async_client: AsyncClient, settings: Settings) -> None:
    settings.CODEX_TRACKING = {"api_tokens": ["a-token-of-the-examples"]}
    answer = await async_client.get(url, headers={"authorization": "Bearer a-token-of-the-examples"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.django_db(transaction=True)
async def test_the_image_of_the_public_counter_is_served(async_client: AsyncClient, settings: Settings) -> None:
    settings.CODEX_TRACKING = {"public_counter": True}
    (url,) = re.findall(r'src="([^"]+)"', block("html", "counter.svg"))
    answer = await async_client.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"


# --- lists ---


def test_each_check_is_listed_once() -> None:
    listed = re.findall(r"^\| `(codex_tracking\.[EW]\d+)`", (DOCS / "operations.md").read_text(), re.MULTILINE)
    texts = (inspect.getsource(module) for module in (database, deployment, engine, pages, redis, traffic))
    assert listed == sorted({name for text in texts for name in re.findall(r'"(codex_tracking\.[EW]\d+)"', text)})


def test_each_metric_is_listed() -> None:
    listed = re.findall(rf"^\| `({PREFIX}_\w+)", (DOCS / "operations.md").read_text(), re.MULTILINE)
    counters = [f"{PREFIX}_{one.name}_total" for one in COUNTERS]
    assert listed == counters + [f"{PREFIX}_{one.name}" for one in GAUGES]


def test_each_address_of_the_api_is_listed() -> None:
    text = (DOCS / "api.md").read_text()
    for endpoint in ENDPOINTS:
        path = endpoint.path.replace("{table}.{format}", "<table>.csv").replace("{", "<").replace("}", ">")
        assert f"| `api/{path}" in text, endpoint.path


def test_each_command_is_listed() -> None:
    commands = Path(codex_tracking.__file__).parent / "management" / "commands"
    names = {path.stem for path in commands.glob("*.py")} - {"__init__"}
    listed = re.findall(r"^\| `manage\.py (\w+)", (DOCS / "commands.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(names)


def test_each_table_is_in_the_data_inventory() -> None:
    from django.apps import apps

    text = (DOCS / "privacy.md").read_text()
    models = apps.get_app_config("codex_tracking").get_models()
    assert PageView.__name__ in text
    assert [model.__name__ for model in models if f"`{model.__name__}`" not in text] == []


def test_each_attack_that_was_tried_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (GITHUB / "SECURITY.md").read_text()))
    assert named
    assert named <= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}


PACKAGE = Path(codex_tracking.__file__).parent


def test_the_map_of_the_packages_names_each_package_and_nothing_else() -> None:
    text = (GITHUB / "CONTRIBUTING.md").read_text().partition("## Map")[2].partition("Three paths")[0]
    rows = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    mapped = {name for row in rows for name in re.findall(r"`([a-z_/]+)/`", row)}
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")}
    # The root, and the folders whose names Django prescribes.
    others = (".", "management", "migrations", "templatetags")
    # `web` has rows for its parts.
    assert mapped | {"web"} == {name for name in folders if not name.startswith(others)}


def test_each_file_of_the_worked_example_exists() -> None:
    text = (GITHUB / "CONTRIBUTING.md").read_text().partition("## Example")[2]
    names = re.findall(r"`((?:tests/)?[a-z_]+/[\w/]+\.py)`", text)
    assert len(names) > 5
    for name in names:
        assert (ROOT / name if name.startswith("tests/") else PACKAGE / name).exists(), name


def test_each_edit_of_the_worked_example_fits_its_file() -> None:
    text = (GITHUB / "CONTRIBUTING.md").read_text().partition("## Example")[2]
    *steps, _ = text.split("```diff\n")
    for step, edit in zip(steps, text.split("```diff\n")[1:], strict=True):
        name = re.findall(r"`((?:tests/)?[a-z_]+/[\w/]+\.py)`", step)[-1]
        lines = (ROOT / name if name.startswith("tests/") else PACKAGE / name).read_text().splitlines()
        before = [line for line in edit.partition("```")[0].splitlines() if line[0] in " -"]
        assert before
        assert [line for line in before if line[1:] not in lines] == []


@pytest.mark.parametrize(("name", "read"), [("grafana-dashboard.json", json.loads), ("settings.py", compile)])
def test_the_recipes_files_are_well_formed(name: str, read: Callable[..., object]) -> None:
    text = (ROOT / "examples" / "deploy" / name).read_text()
    assert read(text, name, "exec") if read is compile else read(text)
