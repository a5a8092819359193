"""The library can be imported where there is no fork and no uname, as on Windows."""

from __future__ import annotations

import pytest

from tests.kit.programs import run_program

PROGRAM = """
import os, sys
import numpy  # Its wheel for Linux asks for uname.
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


@pytest.mark.integration
def test_every_module_is_imported_without_names_that_unix_alone_has() -> None:
    run_program(PROGRAM, seconds=120)
