"""A tokenizer of one's own, for a network that starts from random weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from transformers import PreTrainedTokenizerFast

from mmft_core.contracts import Split
from mmft_core.errors import SampleError
from mmft_transformers.tokenizers import Kind, train


def train_tokenizer(
    split: Split, vocabulary: int, kind: Kind, *, targets: bool = True
) -> PreTrainedTokenizerFast:
    """Train a tokenizer on a split's texts.

    Args:
        vocabulary: the number of tokens, at most; few texts give fewer.
        kind: of network, which decides what a text stands between.
        targets: whether targets that are strings are texts as well, rather than classes.
    """
    return train(_texts(split, targets), vocabulary, kind)


def _texts(split: Split, targets: bool) -> Iterator[str]:
    """All texts of a split but those of bad samples, of which the check of the data tells."""
    for index in range(len(split)):
        with contextlib.suppress(SampleError):
            text, target = split.input(index, "text"), split.target(index)
            if text is not None:
                yield text
            if targets and isinstance(target, str):
                yield target
