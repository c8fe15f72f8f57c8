"""How text is generated: the options that every generating task offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How a generator chooses its next tokens. The defaults are greedy search."""

    max_new_tokens: Annotated[int, Meta(ge=1, description="Longest text that is generated.")] = 64
    num_beams: Annotated[
        int, Meta(ge=1, description="Alternatives that beam search follows; 1 for greedy search.")
    ] = 1
    length_penalty: Annotated[
        float, Meta(description="Of beam search: above 1 favours longer texts.")
    ] = 1.0
    no_repeat_ngram: Annotated[
        int, Meta(ge=0, description="No sequence of so many tokens comes twice; 0 for any.")
    ] = 0
    repetition_penalty: Annotated[
        float, Meta(gt=0, description="Above 1 discourages tokens that were there (CTRL, 2019).")
    ] = 1.0
    sample: Annotated[
        bool,
        Meta(
            description="Draw tokens at random by their probability; the same inputs draw the same."
        ),
    ] = False
    temperature: Annotated[
        float, Meta(gt=0, description="Of sampling: below 1 for more probable tokens.")
    ] = 1.0
    top_k: Annotated[int, Meta(ge=0, description="Draw among so many tokens; 0 for all.")] = 50
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Draw among the tokens of this share (Holtzman, 2019).")
    ] = 1.0
