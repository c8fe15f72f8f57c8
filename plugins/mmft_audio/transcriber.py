"""What a backbone offers that writes down what it hears."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmft_audio.processing import AudioProcessor
from mmft_core.config import Generation
from mmft_core.contracts import (
    PADDING,
    Backbone,
    Features,
    Graph,
    Runner,
    TargetCodec,
    Tensors,
)
from mmft_core.errors import IncompatibleError


class TooLongError(ValueError):
    """A transcript is longer than a network writes at once."""


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
            after shorter ones.
        exports_times: whether an export of it knows when words are said.
    """

    processor: AudioProcessor
    codec: TargetCodec
    exports_times: bool = True

    @abstractmethod
    def transcript_losses(self, features: Features, targets: Tensor) -> Tensor:
        """The negative log-likelihood (B,) in nats of each transcript given its recording.

        Args:
            features: of the recordings, as `encode` gives them.
            targets: (B, T), as `codec` collates them.
        """

    @abstractmethod
    def transcribe(
        self, features: Features, settings: Generation, *, words: bool = False
    ) -> list[Transcript]:
        """Write down each recording.

        Args:
            features: of the recordings, as `encode` gives them.
            words: also find when each word is said.
        """

    def graphs(self, inputs: Tensors) -> Sequence[Graph]:
        """What `encode` and `transcribe` compute, as graphs.

        Args:
            inputs: an example, on the CPU, of at least two recordings.

        Raises:
            IncompatibleError: the backbone cannot be exported.
        """
        raise IncompatibleError(f"{type(self).__name__} cannot be exported.")

    def adopt(self, runners: Mapping[str, Runner]) -> Transcriber:
        """What hears and writes as this backbone, which has no weights, by runners of its graphs.

        It is asked for times of words only if it `exports_times`.
        """
        raise IncompatibleError(f"{type(self).__name__} cannot use an export.")


def collate_tokens(rows: Sequence[Tensor]) -> Tensor:
    """Token ids (B, T) with `PADDING` after shorter rows."""
    return pad_sequence(list(rows), batch_first=True, padding_value=PADDING)


def rows_of(features: Features, rows: Tensor) -> Features:
    """Those of some recordings of a batch.

    Args:
        rows: (N,) bool.
    """
    sequence, mask = features.sequence, features.mask
    return Features(
        features.pooled[rows],
        None if sequence is None else sequence[rows],
        None if mask is None else mask[rows],
    )
