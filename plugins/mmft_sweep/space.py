"""The space of a sweep: which settings vary, and over what.

engine.lr=1e-5..1e-2:log        numbers from a to b, even in their logarithms
task.dropout=0..0.5             even
engine.epochs=5..20:5           in steps: 5, 10, 15, 20
engine.batch_size=16,32,64      one of these
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from mmft_core.config import toml_value
from mmft_core.errors import ConfigError

Value: TypeAlias = bool | int | float | str

_EXAMPLES = (
    "For example: --vary engine.lr=1e-5..1e-2:log, engine.epochs=5..20:5, engine.lora.rank=4,8,16."
)


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        text: as it was written.
        step: between neighbours; None for any number.
        log: whether equal factors, rather than equal differences, are equally likely.
        whole: whether they are whole numbers.
    """

    key: str
    text: str
    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def extremes(self) -> tuple[Value, ...]:
        return self.low, self.high

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.step is None and not self.whole:
            return math.inf
        return int((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def typed_as(self, value: Any) -> Range:
        """The same for a setting that holds such a value: 0..1 are two whole numbers, but for a
        setting that is a float also all numbers between them."""
        if isinstance(value, float) and self.whole and self.step is None:
            return replace(self, low=float(self.low), high=float(self.high), whole=False)
        return self


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values."""

    key: str
    text: str
    values: tuple[Value, ...]

    @property
    def extremes(self) -> tuple[Value, ...]:
        return self.values

    @property
    def size(self) -> float:
        return len(self.values)

    def typed_as(self, value: Any) -> Choice:
        return self


Dimension: TypeAlias = Range | Choice


@dataclass(frozen=True)
class Space:
    """The dimensions of a sweep, each of another setting."""

    dimensions: tuple[Dimension, ...]

    @property
    def size(self) -> float:
        """How many combinations there are; infinite where numbers vary freely."""
        return math.prod(d.size for d in self.dimensions)

    @property
    def first(self) -> dict[str, Value]:
        """One of the combinations: an end of each dimension, by its setting."""
        return {d.key: d.extremes[0] for d in self.dimensions}

    def texts(self) -> dict[str, str]:
        """Each dimension as it was written, by its setting."""
        return {d.key: d.text for d in self.dimensions}


def parse_space(texts: Iterable[str]) -> Space:
    """Parse what `--vary` was given.

    Raises:
        ConfigError: nothing varies, one varies twice, or one cannot be read.
    """
    dimensions: dict[str, Dimension] = {}
    for text in texts:
        key, equals, spec = (part.strip() for part in text.partition("="))
        if not equals or not spec or not all(part.strip() for part in key.split(".")):
            raise ConfigError(f"--vary '{text}' is not KEY=RANGE.", hint=_EXAMPLES)
        if key in dimensions:
            raise ConfigError(f"{key} is varied twice.", hint="Give all of its values at once.")
        dimensions[key] = _dimension(key, spec)
    if not dimensions:
        raise ConfigError("Nothing varies.", hint=_EXAMPLES)
    return Space(tuple(dimensions.values()))


def space_of(texts: Mapping[str, str]) -> Space:
    """The space that `Space.texts` described."""
    return parse_space(f"{key}={text}" for key, text in texts.items())


def _dimension(key: str, spec: str) -> Dimension:
    # Paths may hold "..", too.
    if ".." in spec and "," not in spec and "/" not in spec:
        return _range(key, spec)
    return _choice(key, spec)


def _range(key: str, spec: str) -> Range:
    ends, colon, how = spec.partition(":")
    first, _, last = ends.partition("..")
    low, high = _number(key, spec, first), _number(key, spec, last)
    if low >= high:
        raise _wrong(key, spec, f"it is empty, because {first.strip()} is not below {last.strip()}")
    log = how.strip() == "log"
    step = None if log or not colon else _number(key, spec, how)
    if log and low <= 0:
        raise _wrong(key, spec, "a logarithmic range has to begin above 0")
    if step is not None:
        if not 0 < step <= high - low:
            raise _wrong(key, spec, f"a step of {how.strip()} does not fit into it")
        high = low + int((high - low) / step + 1e-9) * step
        high = high if isinstance(high, int) else float(f"{high:.12g}")
    whole = all(isinstance(n, int) for n in (low, high, step or 0))
    return Range(key=key, text=spec, low=low, high=high, step=step, log=log, whole=whole)


def _number(key: str, spec: str, text: str) -> float:
    """A whole number as an int, any other as a float."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        raise _wrong(key, spec, f"'{text.strip()}' is not a number") from None
    if not math.isfinite(number):
        raise _wrong(key, spec, f"'{text.strip()}' is not finite")
    return number


def _choice(key: str, spec: str) -> Choice:
    words = [word.strip() for word in spec.split(",")]
    if not all(words):
        raise _wrong(key, spec, "a value is missing between commas")
    values = tuple(v if isinstance(v := toml_value(w), Value) else w for w in words)
    if len(values) == 1:
        raise ConfigError(
            f"--vary {key}={spec} leaves nothing to vary.",
            hint=f"Give several values, a range such as 1..10, or --set {key}={spec}.",
        )
    for number, value in enumerate(values):
        if value in values[:number]:
            raise _wrong(key, spec, f"{words[number]} is given twice")
    return Choice(key=key, text=spec, values=values)


def _wrong(key: str, spec: str, reason: str) -> ConfigError:
    return ConfigError(f"--vary {key}={spec} is not valid: {reason}.", hint=_EXAMPLES)
