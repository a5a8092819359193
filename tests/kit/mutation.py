"""Takes a line of the library away while a test runs, to see that the test notices."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple
from unittest.mock import patch

import codex_tracking
from codex_tracking.store import reads

ROOT = Path(codex_tracking.__file__).parent


class Mutant(NamedTuple):
    """A change of the library that some test must notice."""

    reason: str
    """The fault that the changed line guards against."""
    file: str
    changes: dict[str, str]
    """Old text, which must occur exactly once -> new text."""
    scenario: str
    """The claim, or the test function, that must turn red."""
    arguments: dict[str, Any] = {}
    """Of a test function; of a scenario, keys of ``CODEX_TRACKING``."""

    @property
    def source(self) -> str:
        """The text of the changed file.

        Raises:
            ValueError: the old text is not there, so that the mutant must be written anew.
        """
        source = (ROOT / self.file).read_text(encoding="utf-8")
        for old, new in self.changes.items():
            if source.count(old) != 1:
                raise ValueError(f"{self.file} has {source.count(old)} times: {old!r}")
            source = source.replace(old, new)
        return source


@contextlib.contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """Run with the mutant in place of the original."""
    if mutant.file.endswith(".lua"):
        original, name = reads.source, Path(mutant.file).stem
        changed = mutant.source
        with patch.object(reads, "source", lambda wanted: changed if wanted == name else original(wanted)):
            yield
        return
    with contextlib.ExitStack() as stack:
        for function, code in _changed_functions(mutant):
            # The function stays the same object, so that all who have imported it run the new code.
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = code
        yield


def _changed_functions(mutant: Mutant) -> Iterator[tuple[Any, CodeType]]:
    path = ROOT / mutant.file
    module = importlib.import_module("codex_tracking." + mutant.file.removesuffix(".py").replace("/", "."))
    before = _functions(compile(path.read_text(encoding="utf-8"), str(path), "exec"))
    after = _functions(compile(mutant.source, str(path), "exec"))
    for name in before.keys() & after.keys():
        if before[name] != after[name]:
            yield _function(module, name), after[name]


def _functions(code: CodeType) -> dict[str, CodeType]:
    """Return the code of all functions and methods by qualified name."""
    found: dict[str, CodeType] = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and "<" not in constant.co_qualname:
            inner = _functions(constant)
            # A class's own code runs once, at import; only what is in it counts.
            if constant.co_flags & 0x2:
                found[constant.co_qualname] = constant
            found |= inner
    return found


def _function(module: Any, name: str) -> Callable[..., Any]:
    found = module
    for part in name.split("."):
        found = vars(found)[part]
    for attribute in ("fget", "func", "__func__", "__wrapped__"):
        found = getattr(found, attribute, None) or found
    function: Callable[..., Any] = found
    return function
