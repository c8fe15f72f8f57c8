"""Which layers of each backbone are trained: `engine.tune`, typed. Imports no torch.

`EngineConfig.tuning` parses it once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmft_core.errors import ConfigError, did_you_mean

_FORM = re.compile(
    r"(?P<mode>full|head|frozen|lora)|(?P<last>last)[=:](?P<layers>[1-9]\d*)"
    r"|(?P<gradual>gradual)([=:](?P<epochs>[1-9]\d*))?"
)


@dataclass(frozen=True)
class Tuning:
    """Which of a backbone's layers are trained, at each epoch.

    "gradual" starts with the head alone and adds one layer, the deepest first, every `number`
    epochs (Howard and Ruder, 2018, "Universal Language Model Fine-tuning"). "lora" trains adapters
    on all layers, but not the layers themselves.
    """

    mode: Literal["full", "head", "last", "gradual", "lora"] = "full"
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Tuning | None:
        """Read "full", "head", "last=N", "gradual", "gradual=N" or "lora"; None for others.

        "frozen" means the same as "head", for parts of a backbone, which have no head. As in mmft
        0.1, a colon may replace the equals sign.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            return None
        mode = match["mode"] or match["last"] or match["gradual"]
        mode = "head" if mode == "frozen" else mode
        return cls(mode, int(match["layers"] or match["epochs"] or 1))  # type: ignore[arg-type]

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
    """The tuning of every backbone: one for all, or some modalities their own.

    A backbone that has parts (`Backbone.parts`) may have a tuning for each; parts that are not
    named are tuned as the backbone is.

    Attributes:
        shared: that of everything that `own` does not name.
        own: by modality, or by the name of a part.
    """

    shared: Tuning = field(default_factory=Tuning)
    own: Mapping[str, Tuning] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Tunings:
        """Read "head", "image=head,text=lora" (others fully), "head,text=last=2", or with parts
        "frozen,language=lora".

        Raises:
            ConfigError: it is none of these.
        """
        own: dict[str, Tuning] = {}
        for entry in text.split(","):
            modality, tuning = "", Tuning.parse(entry)
            if tuning is None:
                modality, _, way = (part.strip() for part in entry.partition("="))
                tuning = Tuning.parse(way)
                if not modality:
                    raise _invalid(text)
            if tuning is None or modality in own:
                raise _invalid(text)
            own[modality] = tuning
        return cls(own.pop("", Tuning()), own)

    def check(self, modalities: Iterable[str], parts: Iterable[str] = ()) -> None:
        """Args:
            modalities: those of the run's backbones.
            parts: those of the backbones.

        Raises:
            ConfigError: `own` names another.
        """
        backbones, inside = list(modalities), list(dict.fromkeys(parts))
        known = [*backbones, *inside]
        for strange in (name for name in self.own if name not in known):
            of_parts = f" Their parts are {', '.join(inside)}." if inside else ""
            raise ConfigError(
                f"engine.tune names {strange}, but no backbone reads it"
                f"{' and none has such a part' if inside else ''}.{did_you_mean(strange, known)}",
                hint=f"The run's backbones read {', '.join(backbones)}.{of_parts}",
            )

    def __getitem__(self, modality: str) -> Tuning:
        return self.own.get(modality, self.shared)

    def modes(self, modality: str, parts: Iterable[str]) -> set[str]:
        """The modes of a backbone's parts that have their own, and of the rest of it if any."""
        named = [part for part in parts if part in self.own]
        whole = set() if named and set(named) == set(parts) else {self[modality].mode}
        return whole | {self.own[part].mode for part in named}

    def of_part(self, modality: str, part: str) -> Tuning:
        """The tuning of a part of a backbone."""
        return self.own.get(part, self[modality])

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
        + (" Adapters cannot be combined with another way of tuning." if "lora" in text else ""),
        hint="Give full, head, last=N, gradual, gradual=N or lora; for several backbones also "
        "MODALITY=WAY,MODALITY=WAY, and for the parts of one PART=WAY.",
    )
