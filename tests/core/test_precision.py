"""Which precision is trained in: as asked, or the one in which the device is faster."""

from __future__ import annotations

import pytest
import torch

from mmft_core import precision
from mmft_core.config.engine_config import EngineConfig
from mmft_core.engine.compute import Compute
from mmft_core.engine.device import make_accelerator
from mmft_core.errors import ConfigError
from mmft_core.precision import bf16_speedup, choose_device, choose_precision

CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="looks at what a CPU does")


@pytest.mark.parametrize(
    ("has_it", "speedup", "expected"),
    [(True, 3.0, "bf16"), (True, 1.05, "no"), (True, 0.5, "no"), (False, 3.0, "no")],
)
def test_a_cpu_trains_in_bf16_only_if_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, has_it: bool, speedup: float, expected: str
) -> None:
    monkeypatch.setattr(precision, "cpu_computes_bf16", lambda: has_it)
    monkeypatch.setattr(precision, "bf16_speedup", lambda: speedup)
    assert choose_precision("auto", CPU) == expected
    assert (choose_precision("bf16", CPU), choose_precision("fp32", CPU)) == ("bf16", "no")


def test_what_was_chosen_when_a_run_was_begun_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_computes_bf16", lambda: True)
    monkeypatch.setattr(precision, "bf16_speedup", lambda: 3.0)
    config = EngineConfig()
    begun = Compute.of(make_accelerator(config), config, None).record()
    assert (begun["device"], begun["precision"]) == ("cpu", "bf16")
    monkeypatch.setattr(precision, "bf16_speedup", lambda: 0.5)
    assert make_accelerator(EngineConfig(), chosen=begun).mixed_precision == "bf16"
    by_version_1 = {"device": "cpu", "precision": "no"}
    assert make_accelerator(EngineConfig(), chosen=by_version_1).mixed_precision == "no"
    elsewhere = {"device": "cuda", "precision": "fp16"}
    assert make_accelerator(EngineConfig(), chosen=elsewhere).mixed_precision == "no"
    asked = EngineConfig(precision="fp32")
    assert make_accelerator(asked, chosen=begun).mixed_precision == "no"


def test_the_measurement_is_a_ratio_of_times() -> None:
    assert 0.001 < bf16_speedup() < 1000


def test_a_gpu_that_is_not_there_is_refused_wherever_a_model_is_used() -> None:
    with pytest.raises(ConfigError, match="there is no GPU"):
        choose_device("cuda")
    assert choose_device("cpu") == choose_device("auto") == CPU
