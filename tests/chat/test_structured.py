"""Metrics of choices, of JSON and of calls of tools."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from mmft_chat.metrics import exact_match
from mmft_chat.structured import ChoiceAccuracy, JsonFields, choice, parsed


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(C)", "C"),
        ("B. Paris", "B"),
        ("**D**", "D"),
        ("The answer is B.", "B"),
        ("I think it is (A), since (B) is wrong. Answer: (A)", "A"),
        ("The answer is a dog", ""),
        ("It is (B). The answer is a bit long", "B"),
        ("the answer is b, because it is", "B"),
        ("ANSWER: a", "A"),
        ("Perhaps (C)", "C"),
        ("Berlin", ""),
        ("", ""),
    ],
)
def test_choices_are_read(text: str, letter: str) -> None:
    assert choice(text) == letter


def scored(metric: Any, *pairs: tuple[str, str]) -> dict[str, Any]:
    metric.update([one for one, _ in pairs], [other for _, other in pairs])
    found: dict[str, Any] = metric.compute()
    return found


def test_choices_are_judged_where_the_reference_is_one() -> None:
    pairs = [("The answer is A", "A"), ("B) Paris", "(C)"), ("A", "Paris"), ("none", "D")]
    assert scored(ChoiceAccuracy(), *pairs) == {"": 1 / 3}
    without = ChoiceAccuracy()
    assert math.isnan(scored(without, ("A", "Paris"))[""]) and without.remarks()


RECEIPT = {"shop": "Zoo", "total": 12.5, "lines": [{"what": "bear", "n": 1}, {"what": "ape"}]}


@pytest.mark.parametrize(
    ("prediction", "f1"),
    [
        (json.dumps(RECEIPT), 1.0),
        (f"Here you are:\n```json\n{json.dumps(RECEIPT, indent=2)}\n```", 1.0),
        (json.dumps({**RECEIPT, "lines": RECEIPT["lines"][::-1]}), 1.0),  # type: ignore[index]
        (json.dumps({**RECEIPT, "total": "12.5"}), 4 / 5),
        (json.dumps({"shop": " Zoo ", "total": 12.50}), 2 * 2 / 7),
        (json.dumps({**RECEIPT, "more": [1, 2]}), 2 * 5 / 12),
        ("no idea", 0.0),
        ("{}", 0.0),
    ],
)
def test_fields_are_compared_by_their_content(prediction: str, f1: float) -> None:
    found = scored(JsonFields(), (prediction, json.dumps(RECEIPT)))
    assert found[""] == pytest.approx(f1)
    assert found["valid"] == ("{" in prediction) and found["equal"] == (f1 == 1)


def test_each_field_has_a_score() -> None:
    one, other = json.dumps({"shop": "Zoo", "total": 3}), json.dumps({"shop": "Inn", "total": 3})
    found = scored(JsonFields(), (one, one), (one, other), ("?", one), ("x", "no JSON"))
    assert (found["field shop"], found["field total"]) == (1 / 3, 2 / 3)
    assert found["valid"] == 2 / 3 and found["equal"] == 1 / 3


def test_calls_of_tools_are_compared_by_their_content() -> None:
    one = '<tool_call>{"name": "f", "arguments": {"a": 1, "b": "x"}}</tool_call>'
    same = '<tool_call>\n{"arguments": {"b": "x", "a": 1}, "name": "f"}\n</tool_call>'
    other = one.replace('"x"', '"y"')
    assert exact_match(same, one) == 1 and exact_match(other, one) == 0
    assert exact_match("f", one) == 0 and exact_match(f"Well. {one}", one) == 0
    assert parsed(one) == parsed(same) == [{"name": "f", "arguments": {"a": 1, "b": "x"}}]
    assert scored(JsonFields(), (other, one))[""] == pytest.approx(2 / 3)
