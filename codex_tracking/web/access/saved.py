"""Segments and funnels that staff saved by name: save, change, list, read and delete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from django.db import IntegrityError, transaction

from codex_tracking.hits.text import UNFIT
from codex_tracking.models import Funnel, Saved, Segment, database
from codex_tracking.visits.filters import Filter, parse_all
from codex_tracking.visits.steps import FEWEST_STEPS, Step, checked_steps, parse_step

LONGEST_NAME = 100

SavedT = TypeVar("SavedT", bound=Saved)


class TakenError(ValueError):
    """The name is another one's already."""


class EmptyError(ValueError):
    """There is nothing to save."""


def save_segment(name: str, filters: Sequence[Filter], created_by: str = "") -> Segment:
    """Store filters under a name.

    Args:
        name: 1 to 100 characters.
        filters: one at least.
        created_by: the user's name.

    Raises:
        TakenError: another segment has the name.
        EmptyError: no filters.
        ValueError: a bad name.
    """
    return _create(Segment(name=checked_name(name), filters=_texts_of_filters(filters)), created_by)


def save_funnel(name: str, steps: Sequence[Step], created_by: str = "") -> Funnel:
    """Store steps under a name.

    Args:
        name: 1 to 100 characters.
        steps: two to eight.
        created_by: the user's name.

    Raises:
        TakenError: another funnel has the name.
        EmptyError: fewer than two steps.
        ValueError: a bad name, or too many steps.
    """
    return _create(Funnel(name=checked_name(name), steps=_texts_of_steps(steps)), created_by)


def change_segment(segment: Segment, name: str, filters: Sequence[Filter] | None = None) -> bool:
    """Store another name and other filters (None: those that it has), and say whether the segment is still there.

    Links that are restricted to it show the visits of the new filters.

    Raises:
        TakenError, EmptyError, ValueError: as ``save_segment``.
    """
    texts = segment.filters if filters is None else _texts_of_filters(filters)
    return _change(segment, name=checked_name(name), filters=texts)


def change_funnel(funnel: Funnel, name: str, steps: Sequence[Step] | None = None) -> bool:
    """Store another name and other steps (None: those that it has), and say whether the funnel is still there.

    Raises:
        TakenError, EmptyError, ValueError: as ``save_funnel``.
    """
    texts = funnel.steps if steps is None else _texts_of_steps(steps)
    return _change(funnel, name=checked_name(name), steps=texts)


def _texts_of_filters(filters: Sequence[Filter]) -> list[str]:
    if not filters:
        raise EmptyError("a segment must have a filter")
    return [str(each) for each in filters]


def _texts_of_steps(steps: Sequence[Step]) -> list[str]:
    if len(steps) < FEWEST_STEPS:
        raise EmptyError(f"a funnel must have {FEWEST_STEPS} steps at least")
    return [str(step) for step in checked_steps(steps)]


def checked_name(name: str) -> str:
    """Return a name without the spaces around it.

    Raises:
        ValueError: not 1 to 100 characters without controls.
    """
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME or UNFIT.search(name):
        raise ValueError(f"name must be 1 to {LONGEST_NAME} characters without controls, not {name[:120]!r}")
    return name


def _create(row: SavedT, created_by: str) -> SavedT:
    row.created_by = created_by[:150]
    with _name_is_free(row.name) as using:
        row.save(using=using, force_insert=True)
    return row


def _change(row: Saved, name: str, **fields: list[str]) -> bool:
    with _name_is_free(name) as using:
        # An update of the row that there is: save() would insert one that has just been deleted.
        return bool(type(row)._default_manager.using(using).filter(pk=row.pk).update(name=name, **fields))


@contextmanager
def _name_is_free(name: str) -> Iterator[str]:
    """Write in a transaction, and yield its database; raises TakenError when another row has the name."""
    using = database(write=True)
    try:
        # A transaction of its own, because PostgreSQL refuses all further statements of one that failed.
        with transaction.atomic(using=using):
            yield using
    except IntegrityError as error:
        raise TakenError(f"the name {name!r} is taken: delete the other one first, or use another name") from error


def saved(model: type[SavedT]) -> list[SavedT]:
    """Return all segments, or all funnels, by name."""
    return list(model._default_manager.using(database()).order_by("name"))


def find(model: type[SavedT], primary_key: str) -> SavedT | None:
    """Return the segment or funnel with a primary key, as a form sends it; None for none."""
    # int() refuses a superscript two, which is a digit for isdigit(), and more than 4,300 digits.
    if not (primary_key.isascii() and primary_key.isdigit() and len(primary_key) < 19):
        return None
    return model._default_manager.using(database()).filter(pk=int(primary_key)).first()


def delete(model: type[Saved], primary_key: int) -> bool:
    """Delete a segment or a funnel, and say whether there was one; links to a segment are revoked with it."""
    with transaction.atomic(using=database(write=True)):
        _, deleted = model._default_manager.using(database(write=True)).filter(pk=primary_key).delete()
    return model._meta.label in deleted


def filters_of(segment: Segment) -> tuple[Filter, ...]:
    """Return a segment's filters.

    Raises:
        ValueError: it has none, or one that this version does not know.
    """
    filters = parse_all(map(str, segment.filters))
    if not filters:
        raise ValueError(f"the segment {segment.name!r} has no filters")
    return filters


def steps_of(funnel: Funnel) -> tuple[Step, ...]:
    """Return a funnel's steps.

    Raises:
        ValueError: too few or too many, or one that this version does not know.
    """
    return checked_steps([parse_step(str(text)) for text in funnel.steps])
