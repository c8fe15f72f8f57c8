"""Which values of deep pictures become black and white, the same for all pictures of a model.

A network takes 8 bits. A range from each single picture would lose absolute brightness, and the
range that the format allows says little: 12 bits in a 16-bit file would be nearly black. So the
range is found in the training pictures, and kept with the model as an option of its backbone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from mmft_core import cpus
from mmft_core.contracts import BackboneContext, Split
from mmft_core.errors import ConfigError, SampleError
from mmft_core.loading import UNDECODABLE
from mmft_vision.deep import Values, is_deep, is_no_data, values
from mmft_vision.options import PixelOptions

P = TypeVar("P", bound=PixelOptions)

_LOOKED_AT = 512
"""Training pictures that are looked at, evenly spread."""

_THINNED = 4096
"""Values of each that are kept."""

_CENTRE = (0.001, 0.999)
"""Quantiles between which there are neither hot pixels nor marks of missing values."""

_OUTLYING = 16
"""If all values span this many times the range between these quantiles, the rest are outliers. An
extreme value this many times that range away from the others marks missing or saturated pixels,
however many there are."""

_LEAST_USED = 1 / 8
"""Share of the range from 0 that values must span; otherwise it begins at the lowest value."""

_DARK = 4095
"""16-bit values up to this are nearly black if 65,535 is white."""


@dataclass(frozen=True)
class PixelRange:
    """The values that become black (0) and white (255); those between them follow linearly."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:,.6g} to {self.high:,.6g}"

    @property
    def described(self) -> str:
        """The range in words, with the number of bits if it is whole."""
        bits = math.log2(self.high + 1) if self.low == 0 else 0.5
        whole = f" ({bits:.0f} bits)" if bits == round(bits) and bits > 1 else ""
        return f"values from {self}{whole} span black to white"

    def clipped(self, found: Values) -> float:
        """The share of values that lie outside."""
        return float(((found < self.low) | (found > self.high)).mean())

    def inside(self, found: Values) -> Values:
        """The pixels (H, W) whose colours all lie within the range."""
        within: Values = (found >= self.low) & (found <= self.high)
        return within if within.ndim == 2 else within.all(2)

    def to_bytes(self, found: Values, missing: Values | None = None) -> Values:
        """Scale values to 0 to 255.

        Args:
            missing: which of them stand for no data, a boolean for each. They are clipped like
                others, and become black if they are NaN.

        Raises:
            ValueError: some are not numbers, or most lie outside the range, so it is the wrong one.
        """
        held = found if missing is None else found[~missing]
        check_finite(held)
        if held.size and self.clipped(held) > 0.5 and self.clipped(_between(held)) > 0.5:
            raise ValueError(
                f"most of its values, {held.min():,.6g} to {held.max():,.6g}, lie outside of "
                f"{self}, the range from black to white (backbone.pixel_range)"
            )
        if self.high >= 255 and held.size and 0 < held.max() <= 1 and found.dtype.kind == "f":
            raise ValueError(
                f"its values are fractions from 0 to 1, but values from {self} span black to white "
                "(backbone.pixel_range)"
            )
        scaled = (found.astype(np.float64) - self.low) * (255 / (self.high - self.low))
        rounded: Values = np.rint(np.nan_to_num(scaled, nan=0).clip(0, 255)).astype(np.uint8)
        return rounded


def find(split: Split, modality: str) -> PixelRange | None:
    """Find the range of the deep pictures of a split; None if there are none.

    It goes from 0 to the least power of two (less one, for whole numbers) that holds them all; or
    from the lowest to the highest value, if some are negative or all are far from 0. A few values
    that are far from all others do not count, nor does one such value that many pixels have.
    """
    count = min(_LOOKED_AT, len(split))
    places = np.unique(np.linspace(0, len(split) - 1, count).astype(int)).tolist()
    with ThreadPoolExecutor(cpus.available()) as pool:
        looks = pool.map(partial(_look, split, modality), places)
        found = [look for look in looks if look is not None]
    return _range_of(found) if found else None


def fitted(given: Sequence[float] | None, context: BackboneContext) -> PixelRange | None:
    """The range of a backbone: the given one, or the one found in the training data.

    Args:
        given: the option `pixel_range`; what is found belongs there, in `Backbone.fitted_options`.

    Raises:
        ConfigError: the given one is not a range.
    """
    if given is not None:
        low, high = given
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(
                f"backbone.pixel_range = [{low:g}, {high:g}] is not a range.",
                hint="Give the values that become black and white: [0, 4095]",
            )
        return PixelRange(low, high)
    return None if context.train is None else find(context.train, context.weights.modality)


def with_range(options: P, pixel_range: PixelRange | None) -> P | None:
    """`Backbone.fitted_options`: a backbone's options with the range that was found."""
    return None if pixel_range is None else replace(options, pixel_range=astuple(pixel_range))


def by_type(found: Values) -> PixelRange:
    """The range of values by their type only, for a model that was trained without deep pictures.

    Raises:
        ValueError: the type does not decide it, or there are no values.
    """
    if not found.size:
        raise ValueError("it holds no data")
    check_finite(found)
    low, high = found.min(), found.max()
    if found.dtype.kind == "f" and low >= 0 and high <= 1:
        return PixelRange(0, 1)
    sixteen = found.dtype.kind == "u" and found.dtype.itemsize == 2  # In either byte order.
    if sixteen and (high > _DARK or low == high):
        return PixelRange(0, 65535)
    raise ValueError(
        f"it holds values from {low:,.6g} to {high:,.6g}, and the model does not know which of "
        "them are black and white: save it with 8 bits"
    )


def check_finite(found: Values) -> None:
    """Raises:
    ValueError: some values are not finite numbers.
    """
    strange = int(found.size - np.isfinite(found).sum())
    if strange:
        raise ValueError(f"{strange:,} of its {found.size:,} values are not finite numbers")


class _Look(NamedTuple):
    """A picture's extremes, some of its values, and whether all are whole."""

    low: float
    high: float
    some: Values
    whole: bool


def _look(split: Split, modality: str, index: int) -> _Look | None:
    try:
        image = split.input(index, modality)
        if not isinstance(image, Image.Image) or not is_deep(image):
            return None
        found = colours(values(image))
        found = found[~is_no_data(image, found)]
    except (SampleError, *UNDECODABLE):  # The check of the data reports these.
        return None
    found = found[np.isfinite(found)]
    if not found.size:
        return None
    some = found[:: max(1, found.size // _THINNED)].astype(np.float64)
    whole = found.dtype.kind != "f" or bool((some == np.rint(some)).all())
    return _Look(float(found.min()), float(found.max()), some, whole)


def colours(found: Values) -> Values:
    """Values without transparency."""
    if found.ndim == 3 and found.shape[2] in (2, 4):
        return found[..., :-1]
    return found


def _range_of(looks: Sequence[_Look]) -> PixelRange:
    low, high = min(look.low for look in looks), max(look.high for look in looks)
    some = np.concatenate([look.some for look in looks])
    rest = _without_marks(some)
    if rest.size < some.size:
        low, high = float(rest.min()), float(rest.max())
    centre = np.quantile(rest, _CENTRE)
    if high - low > _OUTLYING * (centre[1] - centre[0]) > 0:
        low, high = float(centre[0]), float(centre[1])
    whole = all(look.whole for look in looks)
    if whole:
        low, high = float(math.floor(low)), float(math.ceil(high))
    top = _power(high, whole=whole)
    if low >= 0 and (high - low > _LEAST_USED * top or low == high):
        return PixelRange(0, top)
    return PixelRange(low, high if high > low else low + 1)


def _between(found: Values) -> Values:
    """Values without the lowest and the highest, if there are others."""
    others = found[(found != found.min()) & (found != found.max())]
    return others if others.size else found


def _without_marks(some: Values) -> Values:
    """Values without a lowest or highest one that is common but far from all others.

    Such a value marks pixels that are missing (-9999), saturated, or drawn over.
    """
    low, high = np.quantile(between := _between(some), _CENTRE)
    for extreme, gap in (
        (some.min(), between.min() - some.min()),
        (some.max(), some.max() - between.max()),
    ):
        if gap > _OUTLYING * (high - low) > 0 and (some == extreme).mean() > _CENTRE[0]:
            some = some[some != extreme]
    return some


def _power(number: float, *, whole: bool) -> float:
    """The least power of two that is not below a number; less one for whole numbers."""
    if whole:
        return float(2 ** max(1, math.ceil(number).bit_length()) - 1)
    fraction, exponent = math.frexp(number)
    return 2.0 ** (exponent - 1 if fraction == 0.5 else exponent)
