"""Metrics of answers that are chosen from a list, or are JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import regex

from mmft_chat.tool_calls import split_calls
from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue

_LETTER = regex.compile(r"^[\s(\[*]*(?P<letter>[A-Z])(?:[)\].:,*]|\s*$)")
_ANSWER_IS = regex.compile(  # An "a" before a word is the article.
    r"(?i:answer|choice|option)(?:\s+(?i:is))?\s*:?\s*[(\[*]*(?P<letter>[A-Zb-z]|a(?![^\S\n]+\w))\b"
)
_IN_BRACKETS = regex.compile(r"[(\[](?P<letter>[A-Z])[)\]]")
_FENCE = regex.compile(r"```(?:json)?\s*(.*?)\s*```", regex.DOTALL)
_FIELDS = 30
"""Fields of which each has a score of its own."""


def choice(text: str) -> str:
    """The letter that an answer chooses: "B", "(B)", "B. Paris", "The answer is B."; "" if none."""
    first = _LETTER.match(text)
    found = first or next(reversed(list(_ANSWER_IS.finditer(text))), None)
    found = found or next(reversed(list(_IN_BRACKETS.finditer(text))), None)
    return found["letter"].upper() if found else ""


def parsed(text: str) -> Any:
    """The JSON object or list that an answer is, or that stands in it; None if there is none.

    Calls of tools are lists of objects with "name" and "arguments", however a model writes them.
    """
    _, calls = split_calls(text)
    if calls:
        return [{"name": call.name, "arguments": dict(call.arguments)} for call in calls]
    fenced = _FENCE.search(text)
    for candidate in (text, *([fenced[1]] if fenced else []), _outermost(text)):
        try:
            value = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, Mapping | list):
            return value
    return None


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of JSON with where they are: ("lines[].price", 3.0).

    The order of lists does not count. Numbers are equal by their value, texts without the white
    space around them.
    """
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for item in value:
            yield from leaves(item, f"{path}[]")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield path, value.strip() if isinstance(value, str) else json.dumps(value)
    else:
        yield path, float(value)


class ChoiceAccuracy(Metric):
    """The share of answers that choose the reference's letter, of those whose reference has one."""

    def __init__(self) -> None:
        self.right = self.count = 0

    def update(self, predictions: Any, targets: Any) -> None:
        for prediction, target in zip(predictions, targets, strict=True):
            wanted = choice(target)
            if wanted:
                self.count += 1
                self.right += choice(prediction) == wanted

    def compute(self) -> dict[str, MetricValue]:
        return {"": self.right / self.count if self.count else math.nan}

    def remarks(self) -> list[str]:
        return [] if self.count else ["undefined, because no reference is the letter of a choice"]

    def state(self) -> Any:
        return self.right, self.count

    def merge(self, state: Any) -> None:
        self.right, self.count = self.right + state[0], self.count + state[1]

    def reset(self) -> None:
        self.right = self.count = 0


class JsonFields(Metric):
    """How many fields of the reference an answer has right, of references that are JSON.

    Figures: the mean F1 of the fields of each answer; the share of answers that are JSON
    ("valid"), and of those that are equal to the reference ("equal"); and of each field on the
    first level the share of answers that have it right, of those whose reference has it.
    """

    def __init__(self) -> None:
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        for prediction, target in zip(predictions, targets, strict=True):
            wanted = parsed(target)
            if wanted is None:
                continue
            found = parsed(prediction)
            one, other = Counter(leaves(found)), Counter(leaves(wanted))
            if found is None:
                one = Counter()
            shared = (one & other).total()
            total = one.total() + other.total()
            self.sums["f1"] += 2 * shared / total if total else 1.0
            self.sums["valid"] += found is not None
            self.sums["equal"] += found is not None and one == other
            self.count += 1
            if isinstance(wanted, Mapping):
                own = found if isinstance(found, Mapping) else {}
                for name, value in wanted.items():
                    self.fields[name] += 1
                    same = name in own and Counter(leaves(own[name])) == Counter(leaves(value))
                    self.right[name] += same

    def compute(self) -> dict[str, MetricValue]:
        def mean(name: str) -> float:
            return self.sums[name] / self.count if self.count else math.nan

        named = self.fields.most_common(_FIELDS)
        fields: dict[str, MetricValue] = {
            f"field {name}": self.right[name] / count for name, count in sorted(named)
        }
        return {"": mean("f1"), "valid": mean("valid"), "equal": mean("equal"), **fields}

    def remarks(self) -> list[str]:
        return [] if self.count else ["undefined, because no reference is a JSON object or list"]

    def state(self) -> Any:
        return dict(self.sums), dict(self.fields), dict(self.right), self.count

    def merge(self, state: Any) -> None:
        sums, fields, right, count = state
        for own, theirs in ((self.sums, sums), (self.fields, fields), (self.right, right)):
            for name, value in theirs.items():
                own[name] += value
        self.count += count

    def reset(self) -> None:
        self.sums: Counter[str] = Counter()
        self.fields: Counter[str] = Counter()
        self.right: Counter[str] = Counter()
        self.count = 0


def build_choice_accuracy(options: NoOptions, context: MetricContext) -> Metric:
    """The accuracy of choices."""
    return ChoiceAccuracy()


def build_json_fields(options: NoOptions, context: MetricContext) -> Metric:
    """The F1 of fields, and what each of them is right in."""
    return JsonFields()


def _outermost(text: str) -> str:
    """From the first bracket that opens an object or a list to the last that closes one."""
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    end = max(text.rfind("}"), text.rfind("]"))
    return text[min(starts) : end + 1] if starts else ""
