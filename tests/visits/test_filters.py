"""Filters: their text in an address, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.visits.filters import FILTER_DIMENSIONS, MOST_FILTERS, OPERATORS, Filter, parse, parse_all
from codex_tracking.visits.steps import KINDS, Condition, Step, checked_steps, parse_step

TEXT = st.text(alphabet="|\\:ab=ü ", min_size=1, max_size=8)


@given(
    st.sampled_from([name for name in FILTER_DIMENSIONS if name != "member"]),
    st.sampled_from(OPERATORS),
    st.lists(TEXT, min_size=1, max_size=4),
)
def test_a_filter_is_read_from_its_own_text(dimension: str, operator: str, values: list[str]) -> None:
    made = Filter(dimension, operator, tuple(values))  # type: ignore[arg-type]
    assert parse(str(made)) == made


@given(st.lists(st.tuples(st.sampled_from(KINDS), TEXT), min_size=1, max_size=4))
def test_a_step_is_read_from_its_own_text(conditions: list[tuple[str, str]]) -> None:
    made = Step(tuple(Condition(kind, value) for kind, value in conditions))  # type: ignore[arg-type]
    assert parse_step(str(made)) == made


def test_bars_and_backslashes_are_escaped() -> None:
    assert parse(r"source:is:a\|b|c\\|d\e").values == ("a|b", "c\\", "d\\e")
    assert str(Filter("source", "is", ("a|b", "c\\"))) == r"source:is:a\|b|c\\"
    assert parse("event:is:a:b=c").values == ("a:b=c",)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("colour:is:red", "source"),
        ("source:like:red", "contains_not"),
        ("source:is:", "must not be empty"),
        ("source:is:a||b", "must not be empty"),
        ("source:is", "<dimension>:<operator>"),
        ("", "<dimension>:<operator>"),
        ("member:is:maybe", "yes, no"),
        ("source:is:" + "x" * 2_001, "2000 characters"),
        ("source:is:" + "|".join("abcde"[i % 5] + str(i) for i in range(101)), "1 to 100 values"),
    ],
)
def test_what_cannot_be_a_filter_is_refused_with_what_is_known(text: str, known: str) -> None:
    with pytest.raises(ValueError, match=known.replace("<", ".")):
        parse(text)


def test_values_are_texts_in_a_list_or_tuple() -> None:
    assert Filter("source", "is", ["Google"]).values == ("Google",)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="list or tuple of texts"):
        Filter("source", "is", "Google")  # type: ignore[arg-type]


def test_an_address_has_each_filter_once_and_not_too_many() -> None:
    assert parse_all(["source:is:a", "source:is:a"]) == (Filter("source", "is", ("a",)),)
    with pytest.raises(ValueError, match=f"{MOST_FILTERS} filters at most"):
        parse_all([f"source:is:{n}" for n in range(MOST_FILTERS + 1)])


def test_a_funnel_has_two_to_eight_steps_of_known_kinds() -> None:
    step = parse_step("page:/a|prefix:/b|event:x=y")
    assert [each.kind for each in step.conditions] == ["page", "prefix", "event"]
    for steps in ([step], [step] * 9):
        with pytest.raises(ValueError, match="2 to 8 steps"):
            checked_steps(steps)
    for text in ("path:/a", "page", "page:"):
        with pytest.raises(ValueError, match="step"):
            parse_step(text)
