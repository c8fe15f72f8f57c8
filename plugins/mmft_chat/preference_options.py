"""The options of the task `preference`. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_chat.options import AnswerOptions

Loss = Literal["dpo", "ipo", "orpo", "kto", "simpo"]


@dataclass(frozen=True, kw_only=True)
class PreferenceOptions(AnswerOptions):
    """Options of `preference`."""

    loss: Annotated[
        Loss,
        Meta(
            description="Loss: dpo, ipo and kto compare the model with the one that training "
            "starts from; orpo and simpo need no reference. kto also learns from single answers "
            "with a label."
        ),
    ] = "dpo"
    beta: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Strength of the preferences: larger values stay closer to the reference. "
            "It is tau of ipo and lambda of orpo. Unset is 0.1, and 2 for simpo.",
        ),
    ] = None
    label_smoothing: Annotated[
        float,
        Meta(ge=0, lt=0.5, description="Share of wrong preferences to expect; for dpo and simpo."),
    ] = 0.0
    simpo_gamma: Annotated[
        float, Meta(ge=0, description="Margin by which simpo wants the chosen answer to win.")
    ] = 0.5
    desirable_weight: Annotated[
        float, Meta(gt=0, description="Weight of desirable answers in kto.")
    ] = 1.0
    undesirable_weight: Annotated[
        float, Meta(gt=0, description="Weight of undesirable answers in kto.")
    ] = 1.0
    precompute: Annotated[
        bool | None,
        Meta(
            description="Compute the reference's log-probabilities of all samples once before "
            "training, instead of in every step. Unset does so unless adapters are trained, "
            "because the reference then needs no second model."
        ),
    ] = None
