"""Forward passes of one sample, of which batch norm has no statistics."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mmft_core.config.engine_config import EngineConfig
from mmft_core.engine.lone_values import use_running_statistics
from mmft_core.errors import TrainingError
from tests.engine.test_fit import StopAt
from tests.engine.toy import Recorder, make_engine, same, weights

FAST = EngineConfig(epochs=3, batch_size=1, lr=0.02, precision="fp32", workers=0)


@pytest.mark.parametrize("batch_size, samples", [(1, 12), (2, 9), (4, 5), (2, 3), (8, 1)])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_pass_of_one_sample_trains(
    tmp_path: Path, batch_size: int, samples: int, ema: float | None
) -> None:
    callback = Recorder()
    config = replace(FAST, batch_size=batch_size, ema=ema)
    engine = make_engine(tmp_path, config, callback=callback, samples=samples)
    before = weights(engine)
    assert engine.fit().ending == "finished"
    after = weights(engine)
    alone = engine.batch_sampler.smallest_pass() == 1
    told = [r for r in callback.remarks if "--batch-size 2 or more" in r]
    assert len(told) == alone, "once, and only if it happens"
    assert not torch.equal(after["head.weight"], before["head.weight"])
    moved = not torch.equal(
        after["backbones.point.blocks.0.1.running_mean"],
        before["backbones.point.blocks.0.1.running_mean"],
    )
    assert moved == (batch_size > 1 and samples > 1), "one value says nothing of a mean"


def test_only_that_pass_differs_and_norms_are_in_training_again() -> None:
    torch.manual_seed(0)
    plain, guarded = (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)) for _ in range(2))
    guarded.load_state_dict(plain.state_dict())
    remarks: list[str] = []
    use_running_statistics(guarded, remarks.append)
    wide = torch.randn(1, 3, 2, 2)
    torch.testing.assert_close(guarded(wide), plain(wide))
    assert same(guarded.state_dict(), plain.state_dict()) and not remarks

    single = torch.randn(1, 3, 1, 1)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        plain(single)
    found = guarded(single)
    found.sum().backward()
    plain.eval()
    torch.testing.assert_close(found, plain(single))
    assert all(module.training for module in guarded.modules()) and len(remarks) == 1
    assert guarded[1].weight.grad is not None


def test_a_norm_that_fails_is_left_as_it_was() -> None:
    norm = nn.BatchNorm1d(4)
    use_running_statistics(norm, lambda text: None)
    with pytest.raises(ValueError):
        norm(torch.randn(1, 4, 1, 1))
    assert norm.training


def test_without_running_statistics_it_is_refused_in_one_sentence() -> None:
    norm = nn.BatchNorm1d(4, track_running_stats=False)
    use_running_statistics(norm, lambda text: None)
    norm(torch.randn(2, 4))
    with pytest.raises(TrainingError, match="--batch-size 2 or more"):
        norm(torch.randn(1, 4))


def test_resuming_is_exact(tmp_path: Path) -> None:
    config = replace(FAST, batch_size=2, checkpoint_every=1)
    whole = make_engine(tmp_path / "whole", config, samples=9)
    whole.fit()
    make_engine(tmp_path / "cut", config, samples=9, callback=StopAt(7, signal.SIGTERM)).fit()
    resumed = make_engine(tmp_path / "cut", config, samples=9)
    resumed.fit(resume=True)
    assert same(weights(whole), weights(resumed))
