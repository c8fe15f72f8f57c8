"""Adapters: where they go, what they train, what is kept of them, and what is refused."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mmft_classification.task import Classification
from mmft_core.config.engine_config import EngineConfig, LoraConfig
from mmft_core.config.tuning_choice import Tunings
from mmft_core.contracts import Backbone, Batch, Features, Tensors
from mmft_core.contracts.lora_targets import find_roles
from mmft_core.engine import adapter_files, kept_weights, lora
from mmft_core.engine.checkpoint import load_latest
from mmft_core.engine.tuning import apply, count_parameters, parameter_groups, prepare
from mmft_core.errors import ConfigError, IncompatibleError, WeightsError
from mmft_core.weights import LoadedWeights
from tests.engine.test_fit import StopAt
from tests.engine.toy import CLASSES, Layered, make_engine, same, weights

LORA = EngineConfig(
    epochs=3,
    batch_size=10,
    lr=0.02,
    precision="fp32",
    workers=0,
    tune="lora",
    lora=LoraConfig(rank=2, dropout=0.1),
)
APART = replace(LORA, lora=LoraConfig(rank=2, save="adapter"))
PUBLISHED = LoadedWeights(source="published", detail="toy weights")


def adapted(config: LoraConfig) -> Classification:
    """A task with adapters that are no longer zero."""
    torch.manual_seed(0)
    task = Classification("point", Layered(), CLASSES)
    prepare(task, replace(LORA, lora=config))
    with torch.no_grad():
        for name, parameter in task.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return task.eval()


def encoded(backbone: Backbone) -> torch.Tensor:
    inputs = {"values": torch.linspace(-1, 1, 10).view(5, 2)}
    with torch.no_grad():
        return backbone.eval().encode(inputs).pooled


def test_only_adapters_and_head_learn_and_statistics_stay(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, LORA)
    before = weights(engine)
    engine.fit()
    changed = {k for k, v in weights(engine).items() if not torch.equal(v, before[k])}
    assert {k for k in before if "lora_" in k or k.startswith("head.")} == changed
    assert len(changed) == 3 * 2 + 2


def test_adapters_learn_like_layers() -> None:
    """What a layer may learn in rank 8 of 8 it learns."""
    torch.manual_seed(0)
    task = Classification("point", Layered(), CLASSES)
    prepare(task, replace(LORA, lora=LoraConfig(rank=8)))
    apply(task.train(), Tunings.parse("lora"), 0)
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], 0.01)
    values = torch.randn(64, 2)
    batch = Batch({"point": {"values": values}}, (values.prod(1) > 0).long(), [""] * 64)
    for _ in range(150):
        optimizer.zero_grad()
        loss = task(batch).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.45, "the head alone cannot tell the quadrants apart"


def test_the_count_is_of_what_learns() -> None:
    task = Classification("point", Layered(), CLASSES)
    all_before, _ = count_parameters(task)
    prepare(task, LORA)
    apply(task.train(), Tunings.parse(LORA.tune), 0)
    total, trained = count_parameters(task)
    adapters = 2 * (2 + 8) + 2 * 2 * (8 + 8)
    assert total == all_before + adapters
    assert trained == adapters + 8 * 2 + 2


def test_dropout_is_on_in_training_and_running_statistics_are_off() -> None:
    task = Classification("point", Layered(), CLASSES)
    prepare(task, LORA)
    apply(task.train(), Tunings.parse(LORA.tune), 0)
    training = {type(m).__name__: m.training for m in task.modules()}
    assert training["Dropout"] and not training["BatchNorm1d"]
    apply(task.eval(), Tunings.parse(LORA.tune), 0)
    assert not any(m.training for m in task.modules())


def test_layer_decay_holds_for_adapters() -> None:
    task = Classification("point", Layered(), CLASSES)
    prepare(task, LORA)
    rates = {
        id(p): group["lr"]
        for group in parameter_groups(task, lr=1.0, weight_decay=0.1, layer_decay=0.5)
        for p in group["params"]  # type: ignore[attr-defined]
    }
    names = {n: rates[id(p)] for n, p in task.named_parameters() if "lora_A" in n}
    assert list(names.values()) == [0.125, 0.25, 0.5]


@pytest.mark.parametrize("config", [LORA, APART, replace(LORA, ema=0.9), replace(APART, ema=0.9)])
@pytest.mark.parametrize("step", [3, 5])
def test_resuming_is_exact(
    tmp_path: Path, config: EngineConfig, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Layered, "loaded", PUBLISHED)
    whole = make_engine(tmp_path / "whole", config)
    whole.fit()
    outcome = make_engine(tmp_path / "cut", config, callback=StopAt(step, signal.SIGINT)).fit()
    assert outcome.ending == "interrupted"
    resumed = make_engine(tmp_path / "cut", config)
    assert resumed.fit(resume=True).ending == "finished"
    assert same(weights(whole), weights(resumed))


def test_checkpoints_and_best_weights_without_the_base_hold_what_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Layered, "loaded", PUBLISHED)
    engine = make_engine(tmp_path, APART)
    outcome = engine.fit()
    state, _ = load_latest(tmp_path)
    assert outcome.best_weights is not None
    for keys in (state["task"].keys(), load_file(outcome.best_weights).keys()):
        assert len(keys) == 3 * 2 + 2
        assert all("lora_" in key or key.startswith("head.") for key in keys)
    best = load_file(outcome.best_weights)
    kept_weights.read(engine.state.task, outcome.best_weights)
    assert all(torch.equal(weights(engine)[key], value) for key, value in best.items())


def test_merged_it_is_a_plain_network_that_computes_the_same() -> None:
    task = adapted(LoraConfig(rank=2))
    wanted = encoded(task.backbone("point"))
    lora.merge(task)
    plain = Classification("point", Layered(), CLASSES)
    assert list(task.state_dict()) == list(plain.state_dict())
    assert torch.allclose(encoded(task.backbone("point")), wanted, atol=1e-5)


def test_adapters_are_written_in_pefts_format_and_read_again(tmp_path: Path) -> None:
    import peft

    task = adapted(LoraConfig(rank=2, alpha=4))
    plain = Layered()
    plain.load_state_dict(Unadapted(task).state_dict())
    wanted = encoded(task.backbone("point"))
    adapter_files.save(task.backbone("point"), tmp_path / "point")
    again = Layered()
    again.load_state_dict(plain.state_dict())
    adapter_files.load(again, tmp_path / "point")
    assert torch.allclose(encoded(again), wanted, atol=1e-6)
    loaded = peft.PeftModel.from_pretrained(plain, str(tmp_path / "point"))
    assert torch.allclose(encoded(loaded.base_model.model), wanted, atol=1e-6)


def test_parts_that_start_afresh_are_trained_and_kept_with_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Layered, "loaded", PUBLISHED)
    monkeypatch.setattr(Layered, "fresh", ("blocks.2.0",))
    engine = make_engine(tmp_path / "whole", APART)
    before = weights(engine)
    engine.fit()
    fresh = {f"backbones.point.blocks.2.0.{name}" for name in ("weight", "bias")}
    changed = {k for k, v in weights(engine).items() if not torch.equal(v, before[k])}
    assert {k for k in before if "lora_" in k or k.startswith("head.")} | fresh == changed
    assert not any("blocks.2.0.lora" in key for key in before), "they need no adapters"
    task = engine.state.eval_model
    assert isinstance(task, Classification)
    # Weights that start at random are no part of what is loaded again.
    again = Layered()
    with torch.no_grad():
        for name, parameter in Unadapted(task).state_dict().items():
            if not name.startswith("blocks.2.0."):
                again.state_dict()[name].copy_(parameter)
    kept_weights.check_same(again, task.backbone("point").loaded)
    adapter_files.save(task.backbone("point"), tmp_path / "point")
    adapter_files.load(again, tmp_path / "point")
    assert torch.equal(encoded(again), encoded(task.backbone("point")))
    cut = make_engine(tmp_path / "cut", APART, callback=StopAt(4, signal.SIGINT))
    assert cut.fit().ending == "interrupted"
    resumed = make_engine(tmp_path / "cut", APART)
    assert resumed.fit(resume=True).ending == "finished"
    assert same(weights(engine), weights(resumed))


class Unadapted(nn.Module):
    """The state of a task's backbone as it is below the adapters."""

    def __init__(self, task: Classification) -> None:
        super().__init__()
        self.backbone = task.backbone("point")

    def state_dict(self) -> dict[str, torch.Tensor]:  # type: ignore[override]
        state = self.backbone.state_dict()
        return {lora.without_adapters(k): v for k, v in state.items() if not lora.is_adapter(k)}


def test_adapters_of_another_network_are_refused(tmp_path: Path) -> None:
    adapter_files.save(adapted(LoraConfig(rank=2)).backbone("point"), tmp_path / "point")
    other = Layered()
    other.blocks = other.blocks[:2]
    with pytest.raises(ValueError, match="does not fit"):
        adapter_files.load(other, tmp_path / "point")


def test_the_digest_is_of_the_base_alone() -> None:
    backbone = Layered()
    digest = kept_weights.digest(backbone)
    lora.inject(backbone, LoraConfig(rank=2))
    assert kept_weights.digest(backbone) == digest
    with torch.no_grad():
        next(backbone.parameters()).add_(1e-3)
    assert kept_weights.digest(backbone) != digest
    with pytest.raises(WeightsError, match=r"toy weights.*have changed"):
        kept_weights.check_same(backbone, replace(PUBLISHED, digest=digest))


class Mixed(nn.Module):
    """One of everything that can take adapters, and of what cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.stem = nn.Conv2d(3, 4, 3)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.self_attn = nn.ModuleDict({"q": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})
        self.closed = nn.MultiheadAttention(4, 2)
        self.fc = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 10, bias=False)
        self.tied.weight = self.embedding.weight


def test_roles_follow_from_types_and_names() -> None:
    assert find_roles(Mixed()) == {
        "attention": ["self_attn.q"],
        "mlp": ["fc"],
        "convolution": ["stem"],
    }
    assert find_roles(nn.ReLU()) == {}


class Attentive(Layered):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Linear(8, 8)

    def encode(self, inputs: Tensors) -> Features:
        return Features(self.attention(super().encode(inputs).pooled))


@pytest.mark.parametrize(
    ("targets", "expected"), [(("attention",), 1), (("mlp",), 3), (("all",), 4)]
)
def test_targets_choose_by_role(targets: tuple[str, ...], expected: int) -> None:
    backbone = Attentive()
    lora.inject(backbone, LoraConfig(rank=2, targets=targets))
    assert sum("lora_A" in name for name, _ in backbone.named_parameters()) == expected


def test_all_layers_get_adapters_unless_told_otherwise() -> None:
    backbone = Attentive()
    lora.inject(backbone, LoraConfig(rank=2))
    assert sum("lora_A" in name for name, _ in backbone.named_parameters()) == 4


def test_a_role_that_the_backbone_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(ConfigError, match=r"no layers of role 'convolution'.* mlp, all"):
        lora.inject(Layered(), LoraConfig(targets=("mlp", "convolution")))


def test_a_backbone_without_such_layers_is_refused() -> None:
    class Bare(Layered):
        def roles(self) -> dict[str, list[str]]:
            return {}

    with pytest.raises(IncompatibleError, match="no layers that take adapters"):
        lora.inject(Bare(), LoraConfig())


def test_a_random_base_must_be_kept() -> None:
    with pytest.raises(ConfigError, match=r"save = 'adapter' keeps no base weights.*random"):
        prepare(Classification("point", Layered(), CLASSES), APART)


@pytest.mark.parametrize("text", ["gradual+lora", "lora:2", "lora,gradual"])
def test_adapters_are_not_combined_with_unfreezing(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be combined with another way of tuning"):
        Tunings.parse(text)


class Quantized(Layered):
    quantized = True
    loaded = PUBLISHED


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EngineConfig(tune="full"), "cannot train the point backbone"),
        (EngineConfig(tune="last:1"), "cannot train the point backbone"),
        (EngineConfig(tune="gradual"), "cannot train the point backbone"),
        (LORA, "cannot be merged"),
    ],
)
def test_weights_of_few_bits_cannot_be_trained(config: EngineConfig, message: str) -> None:
    with pytest.raises(IncompatibleError, match=message):
        prepare(Classification("point", Quantized(), CLASSES), config)


@pytest.mark.parametrize("config", [EngineConfig(tune="head"), APART])
def test_weights_of_few_bits_are_not_kept(config: EngineConfig) -> None:
    task = Classification("point", Quantized(), CLASSES)
    kept_weights.leave_out(task.backbone("point"), "the test")  # As when it is built.
    prepare(task, config)
    apply(task.train(), Tunings.parse(config.tune), 0)
    assert task.backbone("point").loaded.digest
    keys = {key for key in task.state_dict() if kept_weights.kept(task)(key)}
    assert keys == {k for k in task.state_dict() if "lora_" in k or k.startswith("head.")}


def test_checkpointing_that_a_backbone_cannot_do_is_refused() -> None:
    task = Classification("point", Layered(), CLASSES)
    with pytest.raises(IncompatibleError, match="Layered cannot compute its activations again"):
        prepare(task, EngineConfig(gradient_checkpointing=True))
