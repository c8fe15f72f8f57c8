"""Which layers of a backbone are to be trained, as `engine.tune` says. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmft_core.errors import ConfigError, did_you_mean
from mmft_core.planning.config import EngineConfig

_FORM = re.compile(r"(?P<mode>full|head|last|gradual|lora)(?::(?P<number>[1-9]\d*))?")
_ALONE = ("full", "head", "lora")


@dataclass(frozen=True)
class Tuning:
    """Which of a backbone's layers are trained, at each epoch.

    "gradual" starts with the head alone and adds one layer, the deepest first, every `number`
    epochs (Howard and Ruder, 2018, "Universal Language Model Fine-tuning"). "lora" trains adapters
    on all layers, and none of these themselves.
    """

    mode: Literal["full", "head", "last", "gradual", "lora"] = "full"
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Tuning:
        """Read "full", "head", "last:N", "gradual", "gradual:N" or "lora".

        Raises:
            ConfigError: it is none of these.
        """
        match = _FORM.fullmatch(text)
        number = match["number"] if match else None
        if not match or (match["mode"] in _ALONE and number):
            match = None
        if match is None or (match["mode"] == "last" and number is None):
            raise _invalid(text)
        return cls(match["mode"], int(number or 1))  # type: ignore[arg-type]

    def trained_layers(self, depth: int, epoch: int) -> int:
        """How many of a backbone's last layers are trained in an epoch, which counts from 0."""
        if self.mode == "gradual":
            return min(depth, epoch // self.number)
        return {"full": depth, "last": min(depth, self.number)}.get(self.mode, 0)

    @property
    def changes(self) -> bool:
        """Whether the trained layers change from epoch to epoch."""
        return self.mode == "gradual"


@dataclass(frozen=True)
class Tunings:
    """The tuning of every backbone: one for all, or some modalities their own."""

    shared: Tuning = field(default_factory=Tuning)
    own: Mapping[str, Tuning] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Tunings:
        """Read "head", "image=head,text=lora" (others fully), or "head,text=lora".

        Raises:
            ConfigError: it is none of these.
        """
        own: dict[str, Tuning] = {}
        for entry in text.split(","):
            modality, equals, way = entry.rpartition("=")
            if modality.strip() in own or (equals and not modality.strip()):
                raise _invalid(text)
            own[modality.strip()] = Tuning.parse(way.strip())
        return cls(own.pop("", Tuning()), own)

    @classmethod
    def of(cls, config: EngineConfig, modalities: Iterable[str]) -> Tunings:
        """Read the settings of a run.

        Args:
            modalities: those of the run's backbones, none of which another may be named.

        Raises:
            ConfigError: they are wrong, or name another.
        """
        tunings = cls.parse(config.tune)
        known = list(modalities)
        strange = [modality for modality in tunings.own if modality not in known]
        if strange:
            raise ConfigError(
                f"engine.tune = '{config.tune}' names {strange[0]}, of which there is no backbone."
                f"{did_you_mean(strange[0], known)}",
                hint=f"The run's backbones read {', '.join(known)}.",
            )
        return tunings

    def __getitem__(self, modality: str) -> Tuning:
        return self.own.get(modality, self.shared)

    @property
    def changes(self) -> bool:
        """Whether the trained layers of a backbone change from epoch to epoch."""
        return any(tuning.changes for tuning in (self.shared, *self.own.values()))

    @property
    def adapts(self) -> bool:
        """Whether any backbone gets adapters."""
        return any(tuning.mode == "lora" for tuning in (self.shared, *self.own.values()))


def _invalid(text: str) -> ConfigError:
    return ConfigError(
        f"engine.tune = {text!r} is not valid."
        + (" Adapters are not combined with another way." if "lora" in text else ""),
        hint="Give full, head, last:N, gradual, gradual:N or lora; for several backbones also "
        "MODALITY=WAY,MODALITY=WAY.",
    )
