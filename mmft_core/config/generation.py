"""Options for generating text, shared by all tasks that do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How a generator chooses its next tokens. The defaults are greedy search."""

    max_new_tokens: Annotated[int, Meta(ge=1, description="Maximum tokens to generate.")] = 64
    num_beams: Annotated[
        int, Meta(ge=1, description="Beams of beam search; 1 is greedy search.")
    ] = 1
    length_penalty: Annotated[
        float, Meta(description="Length penalty of beam search; above 1 favours longer texts.")
    ] = 1.0
    no_repeat_ngram: Annotated[
        int, Meta(ge=0, description="No n-gram of this many tokens occurs twice; 0 disables it.")
    ] = 0
    repetition_penalty: Annotated[
        float,
        Meta(
            gt=0,
            description="Repetition penalty; above 1 discourages tokens that occurred before "
            "(CTRL, Keskar et al., 2019).",
        ),
    ] = 1.0
    sample: Annotated[
        bool,
        Meta(description="Sample tokens at random; the same input always gives the same sample."),
    ] = False
    temperature: Annotated[
        float,
        Meta(gt=0, description="Temperature of sampling; below 1 favours more probable tokens."),
    ] = 1.0
    top_k: Annotated[
        int, Meta(ge=0, description="Sample from this many of the most probable tokens; 0 for all.")
    ] = 50
    top_p: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Sample from the most probable tokens with this total probability "
            "(nucleus sampling, Holtzman et al., 2019).",
        ),
    ] = 1.0
