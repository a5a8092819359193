"""Failures of commands: those of the database in words, and text that the output cannot have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from io import TextIOWrapper
from typing import Any

from django.core.management.base import CommandError
from django.db import Error

from codex_tracking.checks.database import lacks_migrations, option
from codex_tracking.models import database

Handle = Callable[..., None]


def explained(error: Error) -> str:
    """Return what is wrong with the database, and the remedy; without a driver's words, which name host and user."""
    alias = database(write=True)
    if lacks_migrations(alias):
        return f"The database lacks migrations of codex_tracking: run manage.py migrate{option(alias)}."
    return f"The database is not available, or refused a statement ({type(error).__name__})."


def explaining(handle: Handle) -> Handle:
    """Let a command end with one line instead of a traceback when the database fails."""

    @wraps(handle)
    def explain(*args: Any, **options: Any) -> None:
        try:
            handle(*args, **options)
        except Error as error:
            raise CommandError(explained(error)) from error

    return explain


def escaping(handle: Handle) -> Handle:
    """Let a command write escapes for characters that the output's encoding lacks, instead of a traceback.

    Files on Windows, and terminals of some locales, have the characters of a few languages alone; names, paths and
    lines of logs may have any.
    """

    @wraps(handle)
    def escape(*args: Any, **options: Any) -> None:
        # Python's standard error does so already.
        if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")
        handle(*args, **options)

    return escape
