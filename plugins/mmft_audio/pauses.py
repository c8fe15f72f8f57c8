"""Pauses of a recording, and its segments between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmft_audio.pieces import HOP

_SMOOTHED = 5
"""Hops over which the level is taken."""

_SHORTEST = 0.2
"""Seconds of a pause, at least; stops within words are shorter."""

_AROUND = 400
"""Hops around a moment, 8 s, from which it is known what is loud and what is quiet there."""

_RANGE = (8.0, 60.0)
"""Decibels from the noise up to the loud parts, at least and at most. With less there is no pause;
below that it does not matter how quiet it is."""

_QUIET, _STILL = 0.7, 0.85
"""Of the way from the loud parts down to the noise begins a pause: from those around it, and from
those of the whole recording, for around a long pause nothing is loud."""


_EDGE = 0.5
"""Seconds of a long pause that stay with the words before and behind it."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A quiet part, in seconds."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start

    def places(self, usual: float) -> list[float]:
        """Where it may be cut: in its middle, or if it is long, at both its ends and in between, so
        that no part is longer than `usual` seconds."""
        inner = self.length - 2 * _EDGE
        if inner < 2 * _EDGE:
            return [(self.start + self.end) / 2]
        count = 2 + int(inner / usual)
        return np.linspace(self.start + _EDGE, self.end - _EDGE, count).tolist()


def find_pauses(power: npt.NDArray[np.float32]) -> list[Pause]:
    """The pauses of a recording.

    Args:
        power: the mean square of each `HOP`.
    """
    smooth = np.convolve(power, np.ones(_SMOOTHED) / _SMOOTHED, mode="same")
    level = 10 * np.log10(smooth + 1e-12)
    loud, noise = _around(level, 0.95), _around(level, 0.05)
    spread = np.minimum(loud - noise, _RANGE[1])
    quiet = (level < loud - _QUIET * spread) & (spread >= _RANGE[0])
    top, bottom = (float(q) for q in np.quantile(level, (0.95, 0.05)))
    quiet |= level < top - _STILL * max(_RANGE[0], min(top - bottom, _RANGE[1]))
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [
        Pause(first * HOP, last * HOP) for first, last in runs if (last - first) * HOP >= _SHORTEST
    ]


def _around(level: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    """The quantile of the levels around each moment, which itself changes smoothly."""
    centres = np.arange(0, len(level) + _AROUND // 2, _AROUND // 2)
    found = [np.quantile(level[max(0, c - _AROUND) : c + _AROUND], share) for c in centres]
    return np.interp(np.arange(len(level)), centres, found)


def segments(pauses: Sequence[Pause], length: float, usual: float) -> list[float]:
    """Where to cut a recording into segments of `usual` seconds at most, if pauses allow it.

    Each ends at the longest of the next pauses, so that words at its ends are heard well.

    Returns:
        the bounds in seconds, 0 and `length` among them.
    """
    lengths = {place: pause.length for pause in pauses for place in pause.places(usual)}
    bounds = [0.0]
    while length - bounds[-1] > usual / 2:
        ahead = [place for place in lengths if place > bounds[-1]]
        near = [p for p in ahead if usual / 5 <= p - bounds[-1] <= usual]
        if not ahead:
            break
        bounds.append(max(near or ahead[:1], key=lengths.__getitem__))
    return [*bounds, length]


def is_silent(pauses: Sequence[Pause], start: float, end: float) -> bool:
    """Whether a segment lies within a pause."""
    return any(pause.start <= start and end <= pause.end for pause in pauses)
