"""The library can be imported where there is no fork and no uname, as on Windows."""

from __future__ import annotations

import subprocess
import sys

from tests.servers.app import ROOT

PROGRAM = """
import os, sys
for name in ("register_at_fork", "uname", "fork", "getuid", "geteuid"):
    delattr(os, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
import django; django.setup()
import importlib, pkgutil, codex_tracking
for module in pkgutil.walk_packages(codex_tracking.__path__, "codex_tracking."):
    if not module.name.endswith(("pytest_plugin", "routing", ".consumer")) and ".migrations" not in module.name:
        importlib.import_module(module.name)
from django.core.management import call_command
call_command("check")
"""


def test_every_module_is_imported_without_names_that_unix_alone_has() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "tests.site.settings", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
