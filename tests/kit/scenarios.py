"""Scenarios of the counting protocol: the steps that they are written in, and their runner.

A scenario is its claim, a colon, and below it ``steps => outcome``. A step is ``[who] verb [argument ...] [name=value
...]``, with one method of ``Steps`` per verb and commas in between; ``who`` names a worker or a flusher, ``one`` when
omitted: ``hit /a 3, push, two hit /a visitor=bob, two push => rows /a=4``. Between steps and outcome all workers push,
flush and check until they are idle. ``[lost|cut]`` makes a scenario for each part.

``until=name`` stops a push, flush, check or stop before its operation ``name`` (a command, a script or a transaction),
``until=any`` before each one in turn, in as many runs as there are operations. Then it may ``step``, ``finish`` (both
with a fault, see ``simulation.Fault``) or ``crash``.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from typing import Any

from tests.kit.simulation import World
from tests.kit.steps import Steps
from tests.servers import RedisServer

CHOICE = re.compile(r"\[(.*?)\]")


def parse(text: str) -> dict[str, str]:
    """Return claim -> ``steps => outcome``."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        choices = [group.split("|") for group in CHOICE.findall(entry)]
        for parts in zip(*choices, strict=True) if choices else [()]:
            left = iter(parts)
            claim, _, steps = CHOICE.sub(lambda _, left=left: next(left), entry).partition(":\n")
            if not claim.startswith("#"):
                assert steps, f"no steps: {claim}"
                assert claim not in found, f"twice: {claim}"
                found[claim] = steps
    return found


async def play(scenario: str, server: RedisServer, **tracking: Any) -> None:
    """Run a scenario, once per operation where it says ``any``.

    Args:
        scenario: ``steps => outcome``.
        server: its Redis.
        tracking: keys of ``CODEX_TRACKING``; with a visit log unless they say otherwise.

    Raises:
        AssertionError: the outcome is another one.
    """
    async with World(server.url, **tracking) as world:
        for operation in itertools.count():
            world.clear()
            with contextlib.ExitStack() as stack:
                steps = Steps(world, server, stack, operation)
                await play_once(steps, *scenario.split("=>"))
            if not steps.stopped_at_any:
                break
        assert operation > 2 or "=any" not in scenario


async def play_once(steps: Steps, course: str, outcome: str = "") -> None:
    """Take the steps, let everything come to rest, and expect the outcome."""
    await take(steps, course)
    await steps.rest()
    if steps.exact:
        await steps.complete()
    await take(steps, outcome if "closed" in outcome else f"{outcome}, closed 0")


async def take(steps: Steps, course: str) -> None:
    """Take steps one after the other; after each, the rows are the sum of the acknowledged batches."""
    for step in filter(None, map(str.split, course.split(","))):
        steps.who = "one" if hasattr(steps, step[0]) else step.pop(0)
        verb, *words = step
        named = dict(word.split("=") for word in words if "=" in word)
        await getattr(steps, verb)(*(word for word in words if "=" not in word), **named)
        if steps.exact:
            steps.world.check_changes()
