"""From an audio file to a waveform of the network's rate: decoding, augmentation, padding."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from mmft_audio import previews
from mmft_audio.augmentation import WaveAugmentation, decibels
from mmft_audio.media_files import media_form
from mmft_audio.pieces import pieces
from mmft_audio.recordings import SUFFIXES, Recording, blocks, load, seconds
from mmft_core.contracts import Axes, Extent, Preview, Processor, Tensors
from mmft_core.errors import SampleError
from mmft_core.utils import stamp

_SILENT = -60.0
"""Decibels of the peak below which there is nothing to be heard."""


@dataclass(frozen=True)
class AudioProcessor(Processor):
    """Recordings as {"waves": (N, T) float32, "lengths": (N,), "pieces": (B,)}.

    Features are computed from the waves by the backbone, on its device. A recording that is too
    long for the network is cut at quiet places into pieces, each of them a row, where all of it
    counts; elsewhere one piece is heard, at random in training if it is augmented.

    Attributes:
        rate: samples a second.
        window: seconds that the network hears at once, at most.
        least: samples without which the network has no frame.
        whole: whether all of a recording counts, and a silent one is of no use.
        piece: seconds of the pieces that a recording is cut into, if less than `window`.
        padded: seconds to which waves are padded; 0 for the longest of a batch.
        margin: samples of silence after the longest of a batch.
        multiple: of samples that a padded wave is long.
        limit: samples of a padded wave, at most, for which a network has positions; 0 for any.
    """

    rate: int
    window: float
    augmentation: WaveAugmentation | None = None
    least: int = 400
    whole: bool = False
    piece: float = math.inf
    padded: float = 0.0
    margin: int = 0
    multiple: int = 1
    limit: int = 0

    suffixes = SUFFIXES
    inspects = True

    @property
    def divides(self) -> bool:  # type: ignore[override]
        return self.whole

    @property
    def augments(self) -> str:  # type: ignore[override]
        if self.augmentation is None:
            return ""
        return "speed, noise and which part is heard change at random (backbone.speed and .noise)"

    def for_transcripts(self, piece: float = math.inf) -> AudioProcessor:
        """The same for a task to which all of a recording counts, in pieces of so many seconds."""
        return replace(self, whole=True, piece=piece)

    def prepare(self, raw: Recording, *, train: bool) -> Tensors:
        if train and (self.augmentation is not None or self.whole):
            wave = load(self._heard(raw, train), self.rate)
            changed = wave if self.augmentation is None else self.augmentation(wave)
            # What has become too long would lose its end.
            waves = [changed if len(changed) <= self._most else wave]
        else:
            parts = self.pieces(raw) if self.whole else [self._heard(raw, train)]
            waves = [load(part, self.rate)[: self._most] for part in parts]
        rows = [torch.nn.functional.pad(w, (0, max(0, self.least - len(w)))) for w in waves]
        return {
            "waves": torch.cat(rows),
            "lengths": torch.tensor([len(row) for row in rows]),
        }

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        lengths = torch.cat([item["lengths"] for item in items])
        rows = [r for item in items for r in item["waves"].split(item["lengths"].tolist())]
        waves = pad_sequence(rows, batch_first=True)
        length = round(self.padded * self.rate) or waves.shape[1] + self.margin
        length = math.ceil(length / self.multiple) * self.multiple
        length = min(length, self.limit or length)
        waves = torch.nn.functional.pad(waves, (0, length - waves.shape[1]))
        count = torch.tensor([len(item["lengths"]) for item in items])
        return {"waves": waves, "lengths": lengths, "pieces": count}

    def axes(self) -> Axes:
        return {} if self.padded else {"waves": {1: "length"}}

    def manifest(self) -> Mapping[str, Any]:
        padding = (
            f"to {self.padded:g} s"
            if self.padded
            else (
                f"to the longest of a batch, followed by {self.margin} zeros, "
                f"up to a multiple of {self.multiple}"
            )
        )
        return {
            "tensors": {"waves": "mono, -1 to 1, (batch, length)", "lengths": "in samples"},
            "rate": self.rate,
            "most": f"{self.window:g} s; of a longer recording the middle is heard, or for "
            "transcripts it is cut at quiet places",
            "least": f"{self.least} samples, silence being added to shorter ones",
            "padding": f"zeros {padding}",
            "features": "computed within the graph",
        }

    def stamp(self, raw: Recording) -> bytes:
        file = raw.path
        own = stamp(file) if isinstance(file, Path) else hashlib.blake2b(file.read()).digest()
        return own + f"|{raw.start}|{raw.end}".encode()

    def read(self, source: Path) -> Recording:
        return Recording(source, id=str(source))

    def sniff(self, head: bytes) -> bool:
        mpeg = head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE0 == 0xE0
        wave = head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"
        # With a version, for a file's name may begin with these letters, too.
        tagged = head.startswith((b"fLaC\0", b"fLaC\x80", b"OggS\0"))
        if media_form(head) is not None:
            return True
        return wave or tagged or mpeg or (head[:3] == b"ID3" and head[3:4] in (b"\2", b"\3", b"\4"))

    def extent(self, raw: Recording) -> Extent:
        return Extent(seconds(raw), "seconds")

    def pieces(self, raw: Recording) -> list[Recording]:
        return pieces(raw, min(self.window, self.piece)) if self.whole else [raw]

    def inspect(self, raw: Recording, *, train: bool = False) -> str | None:
        length = seconds(raw)
        if length > self.window:
            if not self.whole:
                return f"longer than {self.window:g} s, of which a part is heard"
            if train:
                raise SampleError(
                    raw.name,
                    f"it is {length:.1f} s long, and the network learns from {self.window:g} s",
                    hint="Cut recordings at pauses, with their transcripts: mmft data clean DATA "
                    f"--task asr --longest {self.window:g} --aligner WEIGHTS -o NEW.csv",
                )
        if self.whole and _is_silent(raw):
            raise ValueError("it holds nothing but silence")
        return None

    def preview(self, raw: Recording) -> Preview:
        return self.views(raw)[0]

    def views(self, raw: Recording) -> Sequence[Preview]:
        """A player and a spectrogram."""
        end = min(raw.start + seconds(raw), raw.start + previews.SECONDS)
        wave = load(replace(raw, end=end), previews.RATE)
        return previews.player(wave, previews.RATE), previews.spectrogram(wave, previews.RATE)

    @property
    def _most(self) -> int:
        return round(self.window * self.rate)

    def _heard(self, raw: Recording, train: bool) -> Recording:
        """The part that is heard of a recording: all, or as much as the network hears at once."""
        length = seconds(raw)
        if length <= self.window:
            return raw
        spare = length - self.window
        drawn = train and self.augmentation is not None
        start = raw.start + (random.uniform(0, spare) if drawn else spare / 2)
        return replace(raw, start=start, end=start + self.window)


def _is_silent(raw: Recording) -> bool:
    """Whether there is nothing to be heard; mostly the first block tells."""
    return all(decibels(torch.from_numpy(samples)) < _SILENT for samples, _ in blocks(raw, 10.0))
