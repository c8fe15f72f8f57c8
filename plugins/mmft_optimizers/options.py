"""Options of optimizers and schedules. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Decay = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class BitsAdamOptions:
    """Options of adamw-8bit, paged-adamw and paged-adamw-8bit."""

    betas: Annotated[
        tuple[Decay, Decay],
        Meta(description="Decay rates of the averages of the gradient and of its square."),
    ] = (0.9, 0.999)
    eps: Annotated[
        float, Meta(gt=0, description="Added to the denominator for numerical stability.")
    ] = 1e-8


@dataclass(frozen=True, kw_only=True)
class AdamOptions(BitsAdamOptions):
    """Options of adam and adamw."""

    amsgrad: Annotated[
        bool, Meta(description="Divide by the largest average so far (Reddi et al., 2018).")
    ] = False


@dataclass(frozen=True, kw_only=True)
class SgdOptions:
    """Options of sgd."""

    momentum: Annotated[float, Meta(ge=0, lt=1, description="Momentum; 0 for none.")] = 0.9
    nesterov: Annotated[
        bool, Meta(description="Use Nesterov momentum; without momentum it does nothing.")
    ] = True


@dataclass(frozen=True, kw_only=True)
class AdafactorOptions:
    """Options of adafactor."""

    beta2_decay: Annotated[
        float,
        Meta(lt=0, description="Exponent of the decay of the average of the squared gradient."),
    ] = -0.8
    clip_threshold: Annotated[
        float, Meta(ge=1, description="Root mean square at which an update is clipped.")
    ] = 1.0


@dataclass(frozen=True, kw_only=True)
class MuonOptions:
    """Options of muon."""

    momentum: Annotated[float, Meta(ge=0, lt=1, description="Momentum for matrices.")] = 0.95
    nesterov: Annotated[bool, Meta(description="Use Nesterov momentum.")] = True
    betas: Annotated[
        tuple[Decay, Decay], Meta(description="AdamW's betas, for everything but matrices.")
    ] = (0.9, 0.999)
    eps: Annotated[float, Meta(gt=0, description="AdamW's eps, for everything but matrices.")] = (
        1e-8
    )


@dataclass(frozen=True, kw_only=True)
class DecayOptions:
    """Options of cosine and linear."""

    final: Annotated[
        float,
        Meta(ge=0, le=1, description="Learning rate at the end, as a share of the peak."),
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class StableOptions(DecayOptions):
    """Options of warmup-stable-decay."""

    decay: Annotated[
        float, Meta(gt=0, le=1, description="Share of all steps during which the rate falls.")
    ] = 0.2


@dataclass(frozen=True, kw_only=True)
class OneCycleOptions:
    """Options of one-cycle."""

    rise: Annotated[
        float, Meta(gt=0, lt=1, description="Share of all steps during which the rate rises.")
    ] = 0.3
    start: Annotated[
        float, Meta(gt=0, le=1, description="Learning rate at the start, as a share of the peak.")
    ] = 1 / 25
    final: Annotated[
        float, Meta(ge=0, le=1, description="Learning rate at the end, as a share of the peak.")
    ] = 1e-4 / 25
