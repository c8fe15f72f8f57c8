"""Training samples token by token, with those that are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmft_core.contracts import LearnedPart, ShownToken
from mmft_report.content import ReportContent, ReportLearned

_MOST = 300
"""Tokens of a part that are shown at either of its ends."""


@dataclass(frozen=True, kw_only=True)
class LearnedTurn:
    """A part of a sample.

    Attributes:
        begins, ends: the tokens at its beginning and, of a long one, at its end.
        left_out: how many tokens between them are not shown.
    """

    label: str
    begins: Sequence[ShownToken]
    ends: Sequence[ShownToken]
    left_out: int


def turns(sample: ReportLearned) -> list[LearnedTurn]:
    """The parts of a sample, long ones shortened in their middle."""
    return [_turn(part) for part in sample.parts]


def learned(content: ReportContent) -> list[tuple[ReportLearned, list[LearnedTurn]]]:
    """The samples with their parts."""
    return [(sample, turns(sample)) for sample in content.learned]


def _turn(part: LearnedPart) -> LearnedTurn:
    tokens = part.tokens
    if len(tokens) <= 2 * _MOST:
        return LearnedTurn(label=part.label, begins=tokens, ends=(), left_out=0)
    between = sum(token.count for token in tokens[_MOST:-_MOST])
    return LearnedTurn(
        label=part.label, begins=tokens[:_MOST], ends=tokens[-_MOST:], left_out=between
    )
