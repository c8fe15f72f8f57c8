"""What a backbone offers that writes down what it hears."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmft_audio.processing import AudioProcessor
from mmft_core.contracts import PADDING, Backbone, TargetCodec, Tensors
from mmft_core.generation import Generation


class Word(TypedDict):
    """A word and when it is said, in seconds."""

    word: str
    start: float
    end: float


@dataclass(frozen=True)
class Transcript:
    """What is said in a recording; `words` is empty where times were not asked for."""

    text: str
    words: tuple[Word, ...] = ()


class Transcriber(Backbone):
    """A backbone that writes down what it hears.

    Attributes:
        codec: of transcripts: `encode` gives token ids (T,), `collate` (B, T) with `PADDING`
            behind shorter ones.
    """

    processor: AudioProcessor
    codec: TargetCodec

    @abstractmethod
    def transcript_losses(self, inputs: Tensors, targets: Tensor) -> Tensor:
        """The negative log-likelihood (B,) in nats of each transcript given its recording.

        Args:
            targets: (B, T), as `codec` collates them.
        """

    @abstractmethod
    def transcribe(
        self, inputs: Tensors, settings: Generation, *, words: bool = False
    ) -> list[Transcript]:
        """Write down each recording.

        Args:
            words: also find when each word is said.
        """


def collate_tokens(rows: Sequence[Tensor]) -> Tensor:
    """Token ids (B, T) with `PADDING` behind shorter rows."""
    return pad_sequence(list(rows), batch_first=True, padding_value=PADDING)


def rows_of(inputs: Tensors, rows: Tensor) -> Tensors:
    """Some of the recordings of a batch.

    Args:
        rows: (N,) bool.
    """
    return {name: tensor[rows] for name, tensor in inputs.items() if len(tensor) == len(rows)}


def all_rows(inputs: Tensors) -> Tensor:
    return torch.ones(len(inputs["waves"]), dtype=torch.bool, device=inputs["waves"].device)
