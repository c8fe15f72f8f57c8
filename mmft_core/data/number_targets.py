"""Numeric targets: their scale, and remarks about it."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

from mmft_core.contracts import Split
from mmft_core.errors import SampleError

LARGEST = float(np.finfo(np.float32).max)
"""Networks compute in 32 bits."""

_RESOLUTION = 1e-5
"""The relative resolution of 32-bit numbers, with room to tell targets apart."""


def finite_number(target: Any) -> float | None:
    """A target as a number that networks can compute with; None if it is not one."""
    try:
        number = float(target)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= LARGEST else None  # False for NaN, too.


def target_scale(split: Split) -> tuple[float, float]:
    """Mean and standard deviation of the targets that are finite numbers; zeros if none is."""
    numbers = []
    for index in range(len(split)):
        with contextlib.suppress(SampleError):  # The check of the samples reports it.
            number = finite_number(split.target(index))
            if number is not None:
                numbers.append(number)
    if not numbers:
        return 0.0, 0.0
    if min(numbers) == max(numbers):  # Otherwise the deviation is a rounding error.
        return numbers[0], 0.0
    return float(np.mean(numbers)), float(np.std(numbers))


def scale_notes(scale: tuple[float, float]) -> list[str]:
    """What is odd about a scale."""
    mean, deviation = scale
    if deviation == 0:
        return [f"all targets of train are {mean:.7g}, so there is nothing to learn"]
    if deviation < _RESOLUTION * math.fabs(mean):
        return [
            f"targets of train differ by {deviation:.2g} around {mean:.7g}, less than 32-bit "
            "numbers can tell apart; subtract a constant from them"
        ]
    return []
