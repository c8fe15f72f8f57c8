"""Long recordings, cut at pauses into files of their own, with the words that are said in each."""

from __future__ import annotations

import contextlib
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from mmft_audio.dividing import Division, Words, choose_bounds, divide
from mmft_audio.pauses import Pause, find_pauses, is_silent, segments
from mmft_audio.pieces import power
from mmft_audio.recognizer import Recognizer, no_aligner
from mmft_audio.recordings import Recording, Segment, parts, seconds
from mmft_core.contracts import Cutter, Cutting, InputPiece
from mmft_core.errors import ConfigError, SampleError
from mmft_core.utils import storage_errors

_WHOLE = ("class", "number", "none")
"""Kinds of targets that every piece has as its recording does."""

_USUAL = (2.0, 4.0)
"""Parts of the longest piece that segments are, at first and if that does not suffice."""

_BITS = {"PCM_16": 16, "PCM_S8": 16, "PCM_U8": 16, "ULAW": 16, "ALAW": 16, "PCM_24": 24}
_FLOATS = ("FLOAT", "DOUBLE", "PCM_32")
"""Of these FLAC would lose something."""

_LOSSY_BITS = 24
_CHANNELS = 8
"""Of FLAC, at most."""

_SHOWN = 60
"""Characters of what was heard, in a message."""


@dataclass(frozen=True)
class AudioCutter(Cutter):
    """Cuts recordings, for tasks of transcripts with what recognizes them."""

    longest: float
    recognizer: Recognizer | None

    @classmethod
    def of(cls, cutting: Cutting) -> AudioCutter:
        """Raises:
        ConfigError: targets of this kind cannot be divided; an aligner is needed and none is
            named, or it cannot align, or it is named and not needed.
        """
        if cutting.target in _WHOLE:
            if cutting.aligner is not None:
                raise ConfigError(
                    "--aligner divides transcripts, but the targets of this task are not "
                    "transcripts: every piece keeps the target of its recording.",
                    hint="Leave --aligner out.",
                )
            return cls(cutting.longest, None)
        if cutting.target != "text":
            raise ConfigError(
                "--longest cannot divide what is paired with a recording: every piece would be "
                "paired with all of it.",
                hint="If these are transcripts, cut with --task asr first.",
            )
        if cutting.aligner is None:
            raise no_aligner()
        return cls(cutting.longest, Recognizer.of(cutting.aligner, cutting.train))

    def cut(self, raw: Recording, target: Any, folder: Path, stem: str) -> Sequence[InputPiece]:
        length = seconds(raw)
        if length > self.longest:
            bounds, targets = self._divided(raw, target, length)
            return _write(raw, bounds, targets, folder, stem)
        # What a table holds cannot stand beside the names of pieces, and becomes a file as well.
        return (
            () if isinstance(raw.path, Path) else _write(raw, [0, length], [target], folder, stem)
        )

    def _divided(self, raw: Recording, target: Any, length: float) -> tuple[list[float], list[Any]]:
        """Where a recording is cut, in seconds, and the target of each piece.

        Raises:
            SampleError: it cannot be cut.
        """
        pauses, reason = find_pauses(power(raw)), ""
        for part in _USUAL:
            bounds = segments(pauses, length, self.longest / part)
            if self.recognizer is None or not isinstance(target, str):
                chosen = choose_bounds(bounds, range(len(bounds)), self.longest)
                if isinstance(chosen, list):
                    return [bounds[k] for k in chosen], [target] * (len(chosen) - 1)
                reason = self._stuck(bounds, chosen)
                continue
            told = Told(Words.of(target), self._recognized(raw, bounds, pauses), bounds)
            told.check(raw, 0, len(bounds) - 1)
            chosen = choose_bounds(bounds, told.division.places, self.longest)
            if isinstance(chosen, list):
                for first, last in pairwise(chosen):
                    told.check(raw, first, last)
                targets = [told.part(*piece) or None for piece in pairwise(chosen)]
                return [bounds[k] for k in chosen], targets
            reason = self._stuck(bounds, chosen, told)
        raise SampleError(raw.name, reason)

    def _recognized(
        self, raw: Recording, bounds: Sequence[float], pauses: Sequence[Pause]
    ) -> list[str]:
        """What is heard in each segment; in a pause nothing, whatever a network makes of it."""
        assert self.recognizer is not None
        spoken = [piece for piece in pairwise(bounds) if not is_silent(pauses, *piece)]
        segments = [replace(raw, start=raw.start + a, end=raw.start + b) for a, b in spoken]
        heard = self.recognizer.write(segments) if segments else []
        texts = dict(zip(spoken, heard, strict=True))
        return [texts.get(piece, "") for piece in pairwise(bounds)]

    def _stuck(self, bounds: Sequence[float], at: int, told: Told | None = None) -> str:
        """Why a recording cannot be cut after a bound."""
        start, end = bounds[at], bounds[at] + self.longest
        within = [k for k in range(at + 1, len(bounds) - 1) if bounds[k] <= end]
        if not within or told is None:
            return f"there is no pause from {start:.1f} to {end:.1f} s"
        heard = told.heard(at, within[-1])
        return (
            f"from {start:.1f} to {end:.1f} s it has no pause with recognized words on both sides; "
            f"the aligner heard '{heard}'"
        )


class Told:
    """A transcript and what is heard in the segments of its recording."""

    def __init__(self, words: Words, recognized: list[str], bounds: list[float]) -> None:
        self.words, self.recognized, self.bounds = words, recognized, bounds
        self.division: Division = divide(words, recognized)

    def part(self, first: int, last: int) -> str:
        """The words between two bounds."""
        start, end = self.division.places[first], self.division.places[last]
        assert start is not None and end is not None
        return self.words.part(start, end)

    def heard(self, first: int, last: int) -> str:
        """What is heard between two bounds, for a message."""
        return textwrap.shorten(" ".join(self.recognized[first:last]), _SHOWN, placeholder=" ...")

    def check(self, raw: Recording, first: int, last: int) -> None:
        """Raises:
        SampleError: between two bounds something else is heard than the transcript says.
        """
        if self.division.mismatch(first, last):
            written = textwrap.shorten(self.part(first, last), _SHOWN, placeholder=" ...")
            raise SampleError(
                raw.name,
                f"from {self.bounds[first]:.1f} to {self.bounds[last]:.1f} s its transcript does "
                f"not match what is heard: it says '{written}', "
                f"the aligner heard '{self.heard(first, last)}'",
            )


def _write(
    raw: Recording, bounds: Sequence[float], targets: Sequence[Any], folder: Path, stem: str
) -> list[InputPiece]:
    """Write the pieces between bounds, but for those without a target where others have one."""
    spoken = any(target is not None for target in targets)
    found = []
    for number, part in enumerate(parts(raw, bounds[1:])):
        target, name = targets[number], f"{stem}-{number + 1}"
        written = target is not None or not spoken
        file = _write_part(folder / name, part).name if written else ""
        cells = {"audio": file, "start": "", "end": ""}
        place = f"{bounds[number]:.1f} to {bounds[number + 1]:.1f} s"
        found.append(InputPiece(cells=cells, target=target, place=place))
    return found


def _write_part(path: Path, part: Segment) -> Path:
    """Write samples as FLAC if it holds them exactly, or as decoded from a lossy format to 24 bits;
    else as WAV of floats."""
    bits = None if part.subtype in _FLOATS else _BITS.get(part.subtype, _LOSSY_BITS)
    scaled = np.rint(part.samples.astype(np.float64) * 2 ** ((bits or _LOSSY_BITS) - 1))
    full = 2 ** ((bits or _LOSSY_BITS) - 1)
    fits = scaled.min() >= -full and scaled.max() < full and scaled.shape[1] <= _CHANNELS
    content = None
    if bits is not None and fits:
        whole = scaled.astype(np.int16) if bits == 16 else scaled.astype(np.int32) << 8
        with contextlib.suppress(soundfile.SoundFileError):  # FLAC has not every rate.
            content = _encoded(whole, part.rate, "FLAC", f"PCM_{bits}")
    file = path.with_name(f"{path.name}{'.wav' if content is None else '.flac'}")
    if content is None:
        content = _encoded(part.samples, part.rate, "WAV", "FLOAT")
    with storage_errors(file):  # Which libsndfile would not tell from others.
        file.write_bytes(content)
    return file


def _encoded(samples: npt.NDArray[Any], rate: int, form: str, subtype: str) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=form, subtype=subtype)
    return content.getvalue()
