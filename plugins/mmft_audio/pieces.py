"""Cutting long recordings at quiet places into pieces that a network hears at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mmft_audio.recordings import Recording, blocks, seconds

HOP = 0.02
"""Seconds over which the power of a recording is taken."""

_HOPS = 1000
"""So many of them are read at a time."""

_PAUSE = 0.3
"""Seconds over which it is to be low."""


def pieces(recording: Recording, longest: float) -> list[Recording]:
    """Cut a recording into pieces of at most `longest` seconds.

    Each is cut where it is quietest in the second half of what a piece may hold, so that words
    stay whole. Memory stays small however long the recording is.

    Raises:
        SampleError: it cannot be read.
    """
    length = seconds(recording)
    if length <= longest:
        return [recording]
    cuts = [0.0, *_quiet_places(power(recording), longest), math.inf]
    end = recording.start + length
    return [
        replace(recording, start=recording.start + first, end=min(recording.start + last, end))
        for first, last in itertools.pairwise(cuts)
    ]


def _quiet_places(levels: npt.NDArray[np.float32], longest: float) -> Iterator[float]:
    """Yield where to cut, in seconds from the start."""
    width = round(_PAUSE / HOP)
    quiet = np.convolve(levels, np.ones(width) / width, mode="same")
    most, start = int(longest / HOP), 0
    while len(levels) - start > most:
        half = start + most // 2
        start = half + int(np.argmin(quiet[half : start + most]))
        yield start * HOP


def power(recording: Recording) -> npt.NDArray[np.float32]:
    """The mean square of each `HOP` of a recording."""
    found = []
    for samples, rate in blocks(recording, _HOPS * HOP):
        bounds = (np.arange(math.ceil(len(samples) / rate / HOP)) * HOP * rate).astype(np.int64)
        bounds = bounds[bounds < len(samples)]  # The quotient may be rounded up by one.
        counts = np.diff(bounds, append=len(samples))
        found.append(np.add.reduceat(np.square(samples), bounds) / counts)
    return np.concatenate(found)
