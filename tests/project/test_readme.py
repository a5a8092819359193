"""The README: it is short, it leads to every page, and its quick start works in a new project."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import AppServer, wait_until

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "examples" / "docs").glob("*.md"))
LONGEST = 250
"""Lines of the README; what does not fit belongs on a page of its own."""


def blocks(language: str, *pages: Path) -> list[str]:
    """Return the code blocks in one language of some pages; of the README and all docs by default."""
    texts = [page.read_text() for page in pages or (README, *DOCS)]
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [block for text in texts for block in pattern.findall(text)]


def block(language: str, part: str) -> str:
    """Return the only code block in this language that contains a text."""
    (found,) = [text for text in blocks(language) if part in text]
    return found


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= LONGEST


def test_the_readme_leads_to_each_page() -> None:
    text = README.read_text()
    assert [page.name for page in DOCS if f"(examples/docs/{page.name})" not in text] == []


# --- the quick start ---


def apply_edits(project: Path) -> None:
    """Make the README's four edits in a project."""
    edits = blocks("diff", README)
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
    steps = block("sh", "createsuperuser").splitlines()
    assert steps[0] == "python manage.py migrate"
    run(tmp_path, *steps[0].split()[1:])
    return tmp_path


@pytest.mark.every_python
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


@pytest.mark.every_python
def test_the_quick_start_leaves_no_error_and_no_missing_middleware(project: Path) -> None:
    said = run(project, "manage.py", "check", "--database", "default")
    warnings = set(re.findall(r"codex_tracking\.\w+", said)) - {"codex_tracking.middleware"}
    # startproject configures SQLite without the options that embedded.md names.
    assert warnings <= {"codex_tracking.W006"}, said
