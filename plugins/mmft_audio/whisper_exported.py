"""A Whisper whose graphs runners compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.utils import ModelOutput

from mmft_audio.processing import AudioProcessor
from mmft_audio.spectra import LogMel, heard_mask, in_frames
from mmft_audio.transcriber import Transcriber, Transcript
from mmft_audio.whisper_graphs import sizes
from mmft_audio.whisper_text import WhisperCodec
from mmft_audio.whisper_writing import Writer, losses, write
from mmft_core.config import Generation
from mmft_core.contracts import Features, Runner, Tensors
from mmft_core.weights import LoadedWeights
from mmft_transformers.caches import pairs_named
from mmft_transformers.exported import ExportedNetwork, answer
from mmft_transformers.masked import masked_mean


class Exportable(Writer, Protocol):
    """What is needed to know of the backbone of which the graphs are."""

    processor: AudioProcessor
    loaded: LoadedWeights
    width: int

    @property
    def config(self) -> Any: ...


class ExportedDecoder(ExportedNetwork):
    """The decoder by the graphs "source" and "decoder".

    Attributes:
        source: what each row listens to.
    """

    main_input_name = "input_features"
    source: Tensors

    def get_encoder(self, *_: Any) -> None:
        """None: the encoder's output is computed before generation starts."""

    def forward(
        self,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: Any = None,
        cache: DynamicCache | None = None,
        past_key_values: DynamicCache | None = None,
        **_: Any,
    ) -> ModelOutput:
        """See `whisper_graphs.Step`; what else transformers tells a network is for no graph."""
        assert decoder_input_ids is not None
        kept = cache if past_key_values is None else past_key_values
        rows, count = len(decoder_input_ids), len(next(iter(self.source.values())))
        if rows != count:  # Once for all steps.
            beams = rows // count
            self.source = {n: t.repeat_interleave(beams, 0) for n, t in self.source.items()}
        given = {"tokens": decoder_input_ids, **self.past(kept, rows), **self.source}
        return answer(self.runners["decoder"](given))


class ExportedWhisper(Transcriber):
    """Hears and writes as the backbone of which the graphs are."""

    codec: WhisperCodec
    quantized = True  # There is nothing to be trained.

    def __init__(self, origin: Exportable, runners: Mapping[str, Runner]) -> None:
        super().__init__()
        self.processor, self.codec, self.width = origin.processor, origin.codec, origin.width
        self.loaded, self.positions = origin.loaded, origin.positions
        self.prompt, self.advice = origin.prompt, origin.advice
        self.runners = dict(runners)
        config = origin.config
        self.log_mel = LogMel(config.num_mel_bins)
        heads, width = sizes(config)
        nothing = torch.zeros(1, heads, 0, width)
        blanks = pairs_named([(nothing, nothing)] * config.decoder_layers, "past")
        self.network = ExportedDecoder(config, runners, blanks)

    def layers(self) -> Sequence[nn.Module]:
        return []

    def encode(self, inputs: Tensors) -> Features:
        """See `WhisperBackbone.encode`."""
        lengths = in_frames(inputs["lengths"])
        given = {"features": self.log_mel(inputs["waves"]), "lengths": lengths}
        states = self.runners["encoder"](given)["states"]
        mask = heard_mask(states, lengths)
        return Features(masked_mean(states, mask), states, mask)

    def transcript_losses(self, features: Features, targets: Tensor) -> Tensor:
        return losses(self, features, targets).sum(1)

    def transcribe(
        self, features: Features, settings: Generation, *, words: bool = False
    ) -> list[Transcript]:
        assert not words  # See `WhisperBackbone.exports_times`.
        with torch.no_grad():
            rows = write(self, features, settings)
        return [Transcript(self.codec.decode(row)) for row in rows]

    @contextmanager
    def hearing(self, features: Features) -> Iterator[None]:
        """While the decoder listens to these recordings."""
        assert features.sequence is not None and features.mask is not None
        source = self.runners["source"]({"states": features.sequence.contiguous()})
        if not self.processor.padded:
            source = {"source.mask": features.mask, **source}
        self.network.source = source
        try:
            yield
        finally:
            self.network.source = {}
