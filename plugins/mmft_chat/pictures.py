"""The bundled chats with pictures: questions about drawn digits.

As preferences, the right digit is preferred to another one.
"""

from __future__ import annotations

import io
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from mmft_chat.conversations import Conversation, Message, Part
from mmft_chat.options import ChatPicturesOptions
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_datasets.digits import Digits, load_digits
from mmft_datasets.set_aside import set_aside

_QUESTIONS = (
    "Which digit is drawn here?",
    "What do you see?",
    "Read the digit.",
    "Which number is this?",
    "Tell me the digit in the picture.",
)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def build(options: ChatPicturesOptions, context: DatasetContext) -> Dataset:
    """Ask about the digits that come with mmft."""
    rows = DrawnDigits(options.samples, target=context.target)
    shares = {"val": options.val, "test": options.test}
    splits, notes = set_aside(rows, rows.digits, shares, context.seed)
    return Dataset(
        info=DatasetInfo(
            name="chat-pictures",
            source="the digits of scikit-learn: the test part of the UCI Optical Recognition of "
            "Handwritten Digits",
            licence="CC BY 4.0",
            notes=tuple(notes),
        ),
        splits=splits,
    )


class DrawnDigits(Split):
    """A picture of 32 x 32 pixels, a question, and the digit as a word."""

    def __init__(self, samples: int, *, target: str) -> None:
        self.samples, self.wanted = samples, target

    @cached_property
    def _drawn(self) -> Digits:
        return load_digits()

    @property
    def digits(self) -> Any:
        return self._drawn.target[: self.samples].astype(np.int64)

    def __len__(self) -> int:
        return min(self.samples, len(self._drawn.target))

    def __getitem__(self, index: int) -> Sample:
        pixels = (self._drawn.images[index] * (255 / 16)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR).save(file, "PNG")
        # The digits come in runs from zero to nine, of which a question must not tell the place.
        question = _QUESTIONS[index // 10 % len(_QUESTIONS)]
        asked = Message("user", (Part("image", media=file.getvalue()), Part("text", question)))
        digit = int(self._drawn.target[index])
        right, wrong = _WORDS[digit], _WORDS[(digit + 1 + index % 9) % 10]
        one, other = ((asked, Message("assistant", (Part("text", w),))) for w in (right, wrong))
        if self.wanted == "preference":
            target: Any = {"chosen": right, "rejected": wrong}
            return Sample({"chat": Conversation(one, (), other)}, target, self.sample_id(index))
        target = right if self.wanted == "text" else None
        return Sample({"chat": Conversation(one)}, target, self.sample_id(index))

    def sample_id(self, index: int) -> str:
        return f"digit {index + 1}"

    def origin(self, index: int) -> Origin:
        return Origin([self._drawn.images[index].tobytes(), int(self._drawn.target[index])])
