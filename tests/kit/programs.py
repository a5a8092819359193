"""Python programs in processes of their own, for claims about imports and about what a process does once."""

from __future__ import annotations

import subprocess
import sys

from tests.servers.forks import ROOT


def run_program(program: str, seconds: float = 60.0) -> str:
    """Run Python code with the test site's settings and hardly any environment, and return what it prints.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "tests.site.settings", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(statements: str) -> set[str]:
    """Return the modules that a fresh process has after these statements, with Django set up."""
    return set(run_program(f"import django, sys; django.setup(); {statements}; print(*sys.modules)").split())
