"""The README: its quick start works in a new project, its code runs, its settings table is that of the code.

``python -m tests.test_readme`` writes the settings table anew.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import AsyncRequestFactory
from pytest_django import Settings

from codex_tracking.settings import TrackingSettings
from tests.servers import AppServer, wait_until

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TABLE = re.compile(r"(<!-- settings[^>]*-->\n).*?(<!-- /settings -->)", re.DOTALL)


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


def block(language: str, part: str) -> str:
    """Return the only code block in this language that contains a text."""
    (found,) = [text for text in blocks(language) if part in text]
    return found


# --- the settings table ---


def settings_table() -> str:
    """Return the table of all settings: name, default, and the first sentence that the code says about each."""
    (node,) = ast.parse(inspect.getsource(TrackingSettings)).body
    assert isinstance(node, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[ast.unparse(field.target)] = " ".join(str(text.value.value).split()).replace("``", "`")
    fields = dataclasses.fields(TrackingSettings)
    rows = [f"| `{field.name}` | {_default(field.default)} | {texts[field.name]} |" for field in fields]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows, ""])


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value) or "none"
    return f"`{value!r}`".replace("'", '"') if value != "" else "empty"


def write_settings_table() -> None:
    """Bring the README's table in step with the code."""
    README.write_text(TABLE.sub(lambda found: found[1] + settings_table() + found[2], README.read_text()))


def test_the_settings_table_is_that_of_the_code() -> None:
    found = TABLE.search(README.read_text())
    assert found is not None
    table = found[0].partition("\n")[2].removesuffix(found[2])
    assert table == settings_table(), "run: python -m tests.test_readme"


# --- the quick start ---


def apply_edits(project: Path) -> None:
    """Make the README's four edits in a project."""
    edits = blocks("diff")
    assert len(edits) == 4
    for text in edits:
        title, _, hunks = text.partition("\n")
        file = project / title.removeprefix("--- ")
        for hunk in hunks.split("@@\n"):
            replace_once(file, *(_side(hunk, signs) for signs in (" -", " +")))


def replace_once(file: Path, old: str, new: str) -> None:
    """Put ``new`` in the place of ``old``, which the file must have once."""
    text = file.read_text()
    assert text.count(old) == 1, f"{file} has {text.count(old)} times:\n{old}"
    file.write_text(text.replace(old, new))


def _side(hunk: str, signs: str) -> str:
    return "".join(f"{line[1:]}\n" for line in hunk.splitlines() if line[0] in signs)


def run(project: Path, *command: str) -> str:
    """Run Python in the project and return what it prints."""
    done = subprocess.run(
        [sys.executable, *command], cwd=project, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    """Return variables in which a project finds itself, and the checkout's package where none is installed."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": f".{os.pathsep}{ROOT}"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a new project with the README's edits and its tables."""
    run(tmp_path, "-m", "django", "startproject", "mysite", ".", "--settings=django.conf.global_settings")
    apply_edits(tmp_path)
    steps = block("sh", "manage.py").splitlines()
    assert steps[0] == "python manage.py migrate"
    run(tmp_path, *steps[0].split()[1:])
    return tmp_path


def test_the_quick_start_counts_the_first_view_in_a_new_project(project: Path) -> None:
    served = block("sh", "uvicorn mysite").strip()
    command = [sys.executable, "-m", *served.split(), "--port", "{port}"]
    with AppServer(command, environment(), project) as site:
        assert site.get("/admin/login/").status == 200
        dashboard = site.get("/cabinet/tracking/")
        assert (dashboard.status, dashboard.headers["location"]) == (302, "/admin/login/?next=/cabinet/tracking/")
        site.terminate()
        wait_until(lambda: not site.running, 15, "the server stopped")

    with sqlite3.connect(project / "db.sqlite3") as database:
        rows = database.execute("SELECT path, views FROM codex_tracking_pageview").fetchall()
    assert rows == [("/admin/login/", 1)]


def test_the_quick_start_leaves_no_error_and_no_missing_middleware(project: Path) -> None:
    said = run(project, "manage.py", "check", "--database", "default")
    warnings = set(re.findall(r"codex_tracking\.\w+", said)) - {"codex_tracking.middleware"}
    # SQLite as startproject sets it up; the README says what to add.
    assert warnings <= {"codex_tracking.W006"}, said


# --- the code ---


@pytest.fixture
def clean_registry() -> Iterator[None]:
    """Take back what the README's examples declare."""
    from codex_tracking.dashboard import DashboardProviders
    from codex_tracking.registry import withdraw

    yield
    withdraw("shop")
    DashboardProviders.remove("shop")


def names_in(text: str) -> dict[str, Any]:
    """Run a code block and return its names."""
    names: dict[str, Any] = {}
    exec(compile(text, "README.md", "exec"), names)
    return names


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("clean_registry")
@pytest.mark.parametrize("text", blocks("python"), ids=lambda text: text.strip().splitlines()[0][:60])
def test_each_example_runs(text: str) -> None:
    assert names_in(text)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("view", ["popular", "brochure"])
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


def test_each_link_leads_somewhere() -> None:
    text = README.read_text()
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("http"):
            assert (ROOT / target).exists(), target


if __name__ == "__main__":
    write_settings_table()
