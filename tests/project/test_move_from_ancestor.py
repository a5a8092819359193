"""Moving over from the real ``codex-django``: its rows, its settings, its cabinet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers import RedisServer

VERSION = "codex-django==0.7.0"

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 12), reason="the ancestor needs Python 3.12"),
    pytest.mark.every_python,
]

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

VISIT = f"""
from django.test import Client
for n in (1, 1, 2):
    assert Client().get(f"/page/{{n}}/", headers={{"user-agent": {AGENT!r}}}).status_code == 200
"""
BLOCKING_READS = """
from codex_tracking.sync import TrackingSelector, flush_page_views
print(json.dumps([flush_page_views(), TrackingSelector.daily_counts(), TrackingSelector.total_views()]))
"""
IN_THEIR_CABINET = """
from codex_django.cabinet import cabinet_registry
from codex_django.cabinet.selector.dashboard import DashboardSelector
print(json.dumps({
    "topbar": [str(entry.label) for entry in cabinet_registry.get_topbar_entries("admin")],
    "sidebar": [str(item.label) for item in cabinet_registry.get_sidebar("staff", "tracking")],
    "widgets": [[widget.template, widget.context_key] for widget in cabinet_registry.dashboard_widgets],
    "shown": sorted(DashboardSelector.get_context(None)),
}))
"""


class Project:
    """The project of ``tests.ancestor``, each step in a process of its own."""

    def __init__(self, ancestor: Path, database: Path, redis_url: str) -> None:
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.ancestor.settings",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ANCESTOR": str(ancestor),
            "DATABASE": str(database),
            "REDIS_URL": redis_url,
        }

    def run(self, app: str, code: str, more_apps: str = "") -> Any:
        """Run code in the project with one of the two libraries, and return the JSON it printed last, if any."""
        setup = "import json, django; django.setup()\nfrom django.core.management import call_command\n"
        done = subprocess.run(
            [sys.executable, "-c", setup + code],
            env=self.env | {"TRACKING_APP": app, "MORE_APPS": more_apps},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1]) if "json.dumps" in code else None


@pytest.fixture(scope="session")
def ancestor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the ancestor beside everything else, and return where."""
    folder = tmp_path_factory.mktemp("ancestor")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder)]
    done = subprocess.run([*pip, VERSION], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(ancestor: Path, tmp_path: Path, redis_server: RedisServer) -> Project:
    return Project(ancestor, tmp_path / "db.sqlite3", redis_server.url)


def test_every_row_that_the_ancestor_flushed_is_there_and_is_added_to(project: Project) -> None:
    project.run(
        "codex_django.tracking", f"call_command('migrate', verbosity=0)\n{VISIT}\ncall_command('flush_page_views')"
    )

    project.run("codex_tracking", f"call_command('migrate', verbosity=0)\n{VISIT}")
    written, counts, total = project.run("codex_tracking", BLOCKING_READS)

    # The process that counted has flushed at its exit.
    assert written == 0
    assert counts == {"/page/1/": 4, "/page/2/": 2}
    assert total == 6


def test_the_same_settings_are_understood(project: Project) -> None:
    code = """
from codex_tracking.settings import get_tracking_settings
settings = get_tracking_settings()
from django.core.checks import run_checks
print(json.dumps([settings.key_prefix, settings.analytics_days, settings.track_redirects,
                  [m.id for m in run_checks() if m.is_serious() and "codex" in m.id and m.level >= 40]]))
"""
    assert project.run("codex_tracking", code) == ["shop:tracking", 14, True, []]


def test_their_cabinet_shows_ours_as_it_showed_its_own(project: Project) -> None:
    project.run("codex_tracking", "call_command('migrate', verbosity=0)")

    theirs = project.run("codex_django.tracking", IN_THEIR_CABINET, "codex_django.cabinet")
    ours = project.run("codex_tracking", IN_THEIR_CABINET, "codex_django.cabinet")

    assert ours == theirs | {"sidebar": ["Analytics"]}
    assert theirs["sidebar"] == ["Visits"]
    assert "tracking_total_views" in ours["shown"]
