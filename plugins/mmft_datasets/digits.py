"""Real handwritten digits, which come with mmft.

The test part of the UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998,
CC BY 4.0), in the order of scikit-learn's `load_digits`. They are kept in a file here because
importing scikit-learn takes as long as importing torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Digits(NamedTuple):
    """The digits.

    Attributes:
        images: (1797, 8, 8), 0 to 16.
        target: (1797,), 0 to 9.
    """

    images: npt.NDArray[np.float64]
    target: npt.NDArray[np.int64]


def load_digits() -> Digits:
    """Read them from the file beside this module."""
    with np.load(Path(__file__).with_suffix(".npz")) as kept:
        return Digits(kept["images"].astype(np.float64), kept["labels"].astype(np.int64))
