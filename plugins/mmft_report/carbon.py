"""The emissions of a training, estimated from its time."""

from __future__ import annotations

from dataclasses import dataclass

WORLD_INTENSITY = 473.0
"""Grams of CO2 equivalents a kWh: the world's average in 2024 (Ember, Global Electricity Review
2025)."""

_WATTS = {"cpu": 65.0, "mps": 40.0}
_ACCELERATOR = 400.0


@dataclass(frozen=True, kw_only=True)
class Carbon:
    """Power times time times the intensity of the grid (Lacoste et al., 2019, "Quantifying the
    Carbon Emissions of Machine Learning", arXiv:1910.09700). Only the time is measured.

    Attributes:
        seconds: of the whole run.
        watts: drawn on average.
        intensity: of the grid, in grams of CO2 equivalents a kWh.
        assumed: which of "power" and "intensity" are assumed, not given.
    """

    seconds: float
    watts: float
    intensity: float
    assumed: tuple[str, ...] = ()

    @property
    def kwh(self) -> float:
        return self.watts * self.seconds / 3.6e6

    @property
    def grams(self) -> float:
        return self.kwh * self.intensity

    @property
    def assumptions(self) -> str:
        """What the estimate is based on, in words."""
        power = f"{self.watts:g} W"
        if "power" in self.assumed:
            power += ", assumed for one device of this kind under full load"
        grid = f"{self.intensity:g} g CO2e/kWh"
        if "intensity" in self.assumed:
            grid += ", the world's average in 2024 (Ember, Global Electricity Review 2025)"
        return f"{power}; {grid}"


def estimate(
    seconds: float, device: str, watts: float | None = None, intensity: float | None = None
) -> Carbon:
    """Estimate the energy and the emissions of a run on one device.

    Args:
        device: as torch calls it: "cpu", "cuda:0".
        watts: drawn on average by all that took part; None for what such a device may draw: 65 W
            (a CPU of a desktop), 40 W (an Apple chip), 400 W (an accelerator of a data centre).
        intensity: of the grid, in g CO2e/kWh; None for the world's average.
    """
    kind = device.partition(":")[0]
    given = {"power": watts, "intensity": intensity}
    return Carbon(
        seconds=seconds,
        watts=_WATTS.get(kind, _ACCELERATOR) if watts is None else watts,
        intensity=WORLD_INTENSITY if intensity is None else intensity,
        assumed=tuple(name for name, value in given.items() if value is None),
    )
