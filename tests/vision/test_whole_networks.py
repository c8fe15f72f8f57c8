"""torchvision's networks as they are published; other tests take narrow ones."""

from __future__ import annotations

import re

import pytest
import torch

from mmft_core import BackboneSpec, discover
from mmft_core.contracts import BackboneContext, DatasetInfo
from mmft_core.weights import WeightsRequest
from tests.vision.narrow import NARROW

INFO = DatasetInfo(name="pictures")
NAMES = sorted(name.replace("_", "-") for name in NARROW)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_network_has_the_parameters_that_its_summary_names(name: str) -> None:
    component = discover().get(BackboneSpec, name)
    context = BackboneContext(weights=WeightsRequest("none"), info=INFO)
    with torch.device("meta"):
        backbone = component.build(component.options_type()(), context)
        features = backbone.encode({"pixels": torch.zeros(2, 3, 224, 224)})
    found = re.search(r"(\d+) M parameters", component.spec.summary)
    assert found is not None
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert abs(count / 1e6 - int(found[1])) < 1
    assert features.pooled.shape == (2, backbone.width)
    assert features.sequence.shape[2] == backbone.width
