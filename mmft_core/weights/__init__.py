"""Where a backbone's weights come from.

request     what the user asked for, and finding and loading it
hub         the Hugging Face Hub
http        whether a server answers
"""

from mmft_core.weights.request import (
    HUB_ID,
    LoadedWeights,
    StateDict,
    WeightsRequest,
    check_finite,
    fill,
    hub_id,
    named_weights,
    read_weights,
)

__all__ = [
    "HUB_ID",
    "LoadedWeights",
    "StateDict",
    "WeightsRequest",
    "check_finite",
    "fill",
    "hub_id",
    "named_weights",
    "read_weights",
]
