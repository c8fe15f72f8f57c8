"""Speech recognition: a recording in, what is said in writing, by whatever backbone writes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmft_audio.alignment import TranscriptGallery
from mmft_audio.options import RecognitionOptions
from mmft_audio.processing import AudioProcessor
from mmft_audio.transcriber import TooLongError, Transcriber, Transcript, rows_of
from mmft_core.contracts import (
    PADDING,
    Batch,
    Features,
    Gallery,
    Graph,
    Outputs,
    Processor,
    Runner,
    TargetCodec,
    Task,
    TaskContext,
)
from mmft_core.errors import IncompatibleError


class TranscriptCodec(TargetCodec):
    """Transcripts as {"tokens": (B, T), "text": list of B}.

    Args:
        evaluating: whether a transcript may be longer than the network writes at once, as that of a
            long recording is. It then has no tokens, and adds nothing to the loss.
    """

    def __init__(self, tokens: TargetCodec, *, evaluating: bool = False) -> None:
        self.tokens, self.evaluating = tokens, evaluating

    def for_evaluation(self) -> TranscriptCodec:
        return TranscriptCodec(self.tokens, evaluating=True)

    def encode(self, target: str) -> tuple[str, Tensor]:
        try:
            return target, self.tokens.encode(target)
        except TooLongError:
            if not self.evaluating:
                raise
            return target, torch.zeros(0, dtype=torch.long)

    def inspect(self, target: str) -> str | None:
        try:
            return self.tokens.inspect(target)
        except TooLongError:
            if not self.evaluating:
                raise
            return "transcript longer than the model can write at once; it is left out of the loss"

    def collate(self, targets: Sequence[tuple[str, Tensor]]) -> dict[str, Any]:
        texts, tokens = zip(*targets, strict=True)
        return {"tokens": self.tokens.collate(tokens), "text": list(texts)}


class Recognition(Task):
    """Predictions are {"text", "words", "duration"} of each recording.

    A recording that the network cannot hear at once is written down in pieces; there is no loss
    for it.
    """

    def __init__(self, backbone: Transcriber, options: RecognitionOptions) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict({"audio": backbone})
        self.options = options
        self.codec = TranscriptCodec(backbone.codec)
        self.processor = backbone.processor.for_transcripts(options.piece_seconds or math.inf)

    @property
    def processors(self) -> dict[str, Processor]:
        return {"audio": self.processor}

    @property
    def writer(self) -> Transcriber:
        writer = self.backbone("audio")
        assert isinstance(writer, Transcriber)
        return writer

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        self._check_times()
        return self.writer.graphs(batch.inputs["audio"])

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        self._check_times()
        self.backbones["audio"] = self.writer.adopt(runners)
        return self

    def _check_times(self) -> None:
        """Raises:
        IncompatibleError: an export is to tell when words are said, and cannot.
        """
        if self.options.timestamps == "words" and not self.writer.exports_times:
            raise IncompatibleError(
                "An export of this network has no word timestamps; task.timestamps = "
                '"words" works only with the run.',
                hint="Let the run make captions; the export is for texts without times.",
            )

    def weight(self, batch: Batch) -> int:
        """The number of tokens to be written."""
        if batch.targets is None:
            return len(batch)
        whole = batch.inputs["audio"]["pieces"] == 1
        return int((batch.targets["tokens"][whole] != PADDING).sum())

    def forward(self, batch: Batch) -> Outputs:
        inputs = batch.inputs["audio"]
        if not self.training and self.options.exact:
            with torch.autocast(inputs["waves"].device.type, enabled=False):
                return self._outputs(batch)
        return self._outputs(batch)

    def _outputs(self, batch: Batch) -> Outputs:
        started = time.perf_counter()
        inputs = batch.inputs["audio"]
        features = self.writer.encode(inputs)
        if not self.predicting:
            return Outputs(self._loss(features, batch))
        words = self.options.timestamps == "words"
        written = self.writer.transcribe(features, self.options, words=words)
        # Before the loss: whoever has texts has waited for all that a GPU did for them.
        elapsed = time.perf_counter() - started
        predictions = self._joined(written, inputs)
        if batch.targets is None:
            return Outputs(None, predictions)
        seconds = torch.tensor([p["duration"] for p in predictions])
        share = seconds / seconds.sum().clamp(min=1e-9)
        targets = {"text": batch.targets["text"], "seconds": seconds, "elapsed": share * elapsed}
        return Outputs(self._loss(features, batch), predictions, targets)

    def _loss(self, features: Features, batch: Batch) -> Tensor | None:
        """The mean over all tokens of the recordings that are of one piece and have tokens."""
        if batch.targets is None:
            return None
        pieces, tokens = batch.inputs["audio"]["pieces"], batch.targets["tokens"]
        whole = (pieces == 1) & (tokens != PADDING).any(1)
        rows = whole.repeat_interleave(pieces)
        if not bool(rows.any()):
            return torch.zeros((), device=tokens.device)
        alone = features if bool(rows.all()) else rows_of(features, rows)
        wanted = tokens[whole]
        losses = self.writer.transcript_losses(alone, wanted)
        return losses.sum() / (wanted != PADDING).sum().clamp(min=1)

    def _joined(
        self, written: Sequence[Transcript], inputs: Mapping[str, Tensor]
    ) -> list[dict[str, Any]]:
        """A prediction for each recording, of one piece or of several."""
        durations = (inputs["lengths"] / self.processor.rate).tolist()
        pieces = (
            {"text": transcript.text, "words": transcript.words, "duration": duration}
            for transcript, duration in zip(written, durations, strict=True)
        )
        joined = []
        for count in inputs["pieces"].tolist():
            own = list(itertools.islice(pieces, count))
            ends = itertools.accumulate(piece["duration"] for piece in own)
            joined.append(_together(own, [0.0, *ends][:count]))
        return joined

    def gallery(self, size: int) -> Gallery:
        return TranscriptGallery(size)

    def decode(
        self, predictions: Sequence[Mapping[str, Any]], top_k: int = 1
    ) -> list[dict[str, Any]]:
        """Give each recording {"text", "duration", "segments", "words" if they were asked for}."""
        records = []
        for prediction in predictions:
            text, duration = prediction["text"], round(prediction["duration"], 2)
            segments = [{"start": 0.0, "end": duration, "text": text}] if text else []
            record = {"text": text, "duration": duration, "segments": segments}
            if self.options.timestamps == "words":
                record["words"] = prediction["words"]
            records.append(record)
        return records

    def join(self, pieces: Sequence[Any], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """One record of those of a recording's pieces, timed from its start."""
        joined = _together(records, [piece.start - pieces[0].start for piece in pieces])
        return joined | {"duration": round(joined["duration"], 2)}


def _together(parts: Sequence[Mapping[str, Any]], starts: Sequence[float]) -> dict[str, Any]:
    """One record of those of parts, of which each starts so many seconds after the first."""
    joined: dict[str, Any] = {
        "text": " ".join(part["text"] for part in parts if part["text"]),
        "duration": sum(part["duration"] for part in parts),
    }
    for name in ("segments", "words"):
        if all(name in part for part in parts):
            timed = zip(parts, starts, strict=True)
            joined[name] = [_later(each, start) for part, start in timed for each in part[name]]
    return joined


def _later(timed: Mapping[str, Any], by: float) -> dict[str, Any]:
    """The same, by so many seconds later."""
    return {
        **timed,
        "start": round(timed["start"] + by, 2),
        "end": round(timed["end"] + by, 2),
    }


def build(options: RecognitionOptions, context: TaskContext) -> Recognition:
    """Build the task on an audio backbone that writes."""
    backbone = context.backbones["audio"]
    assert isinstance(backbone, Transcriber)
    assert isinstance(backbone.processor, AudioProcessor)
    return Recognition(backbone, options)
