"""How training pictures are augmented if the user does not say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from mmft_core.contracts import BackboneContext
from mmft_core.weights import LoadedWeights
from mmft_vision.options import AugmentationOptions

O = TypeVar("O", bound=AugmentationOptions)  # noqa: E741

_FEW_EPOCHS = 5
"""A network that starts from random weights and sees each picture less often than this learns more
from the pictures as they are: docs/results.md, "Small pictures"."""

_SIDES = re.compile(r"(?<![a-z])(left|right)(?![a-z])")


def chosen(options: O, context: BackboneContext, loaded: LoadedWeights) -> O:
    """The options; those that are unset follow from the data, the weights and the epochs."""
    if options.augment == "auto":
        few = context.epochs is not None and context.epochs < _FEW_EPOCHS
        options = replace(options, augment="none" if few and loaded.source == "random" else "light")
    if options.flip is None:
        options = replace(options, flip=may_be_mirrored(context.info.classes))
    return options


def may_be_mirrored(classes: Sequence[str]) -> bool:
    """Whether training pictures may be mirrored at random, judged by the names of the classes.

    They may not if most classes are named by a number or a single character, like digits and
    letters, or if two names differ only in "left" and "right".
    """
    if not classes:
        return True
    characters = sum(name.strip().isdigit() or len(name.strip()) == 1 for name in classes)
    names = {name.lower() for name in classes}
    swapped = {_SIDES.sub(_other_side, name) for name in names if _SIDES.search(name)}
    return 2 * characters <= len(classes) and not swapped & names


def _other_side(found: re.Match[str]) -> str:
    return "right" if found[0] == "left" else "left"
