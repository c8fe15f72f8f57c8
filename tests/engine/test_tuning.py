"""What is trained: full, head, last N, gradual; and how fast each layer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmft_classification.task import Classification
from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.tuning_choice import Tuning, Tunings
from mmft_core.contracts.callbacks import TrainStep
from mmft_core.engine.optim import build_optimizer, build_schedule
from mmft_core.engine.tuning import apply, count_parameters, parameter_groups, prepare
from mmft_core.errors import ConfigError
from tests.engine.toy import CLASSES, OPTIMIZERS, Layered, Recorder, make_engine, recipe, weights

FAST = EngineConfig(epochs=3, batch_size=10, lr=0.02, precision="fp32", workers=0)


def changed_blocks(folder: Path, tune: str) -> list[bool]:
    """Which of the backbone's three blocks training changes, statistics included."""
    engine = make_engine(folder, replace(FAST, tune=tune))
    before = weights(engine)
    engine.fit()
    after = weights(engine)
    assert not torch.equal(before["head.weight"], after["head.weight"])
    return [
        any(not torch.equal(v, after[k]) for k, v in before.items() if f"blocks.{i}." in k)
        for i in range(3)
    ]


@pytest.mark.parametrize(
    ("tune", "expected"),
    [
        ("full", [True, True, True]),
        ("head", [False, False, False]),
        ("last:1", [False, False, True]),
        ("last=2", [False, True, True]),
        ("gradual", [False, True, True]),
        ("gradual:2", [False, False, True]),
    ],
)
def test_only_the_chosen_layers_change(tmp_path: Path, tune: str, expected: list[bool]) -> None:
    assert changed_blocks(tmp_path, tune) == expected


def test_gradual_unfreezing_adds_one_layer_each_epoch(tmp_path: Path) -> None:
    trained: list[int] = []

    class Watch(Recorder):
        def on_step(self, event: TrainStep) -> None:
            blocks = engine.state.task.backbone("point").layers()
            trained.append(sum(next(b.parameters()).requires_grad for b in blocks))

    engine = make_engine(tmp_path, replace(FAST, epochs=5, tune="gradual"), callback=Watch())
    engine.fit()
    per_epoch = [set(trained[i : i + 5]) for i in range(0, 25, 5)]
    assert per_epoch == [{0}, {1}, {2}, {3}, {3}]


@pytest.mark.parametrize(
    "text", ["", "heads", "last", "last=0", "last:x", "full=2", "gradual:0", "=head", "head,lora"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="engine.tune"):
        Tunings.parse(text)


def test_more_layers_than_there_are_is_a_mistake() -> None:
    task = Classification("point", Layered(), CLASSES)
    prepare(task, replace(FAST, tune="last:3"))
    with pytest.raises(
        ConfigError, match=r"'last:4' asks for more layers than the 3 of the point backbone"
    ):
        prepare(task, replace(FAST, tune="last:4"))


def test_layer_decay_gives_lower_layers_lower_rates() -> None:
    task = Classification("point", Layered(), CLASSES)
    rates = {}
    for group in parameter_groups(task, lr=1.0, weight_decay=0.1, layer_decay=0.5):
        for parameter in group["params"]:
            rates[id(parameter)] = (group["lr"], group["weight_decay"])
    layers = task.backbone("point").layers()
    assert [rates[id(layer[0].weight)] for layer in layers] == [
        (0.125, 0.1),
        (0.25, 0.1),
        (0.5, 0.1),
    ]
    assert rates[id(task.head.weight)] == (1.0, 0.1)
    assert rates[id(task.head.bias)] == (1.0, 0.0), "biases are not decayed"
    assert len(rates) == len(list(task.parameters()))


def test_parameters_are_counted_as_they_are_trained() -> None:
    task = Classification("point", Layered(), CLASSES)
    apply(task.train(), Tunings.parse("head"), 0)
    total, trained = count_parameters(task)
    assert trained == 8 * 2 + 2
    assert total > trained


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_all_parameters(name: str) -> None:
    task = Classification("point", Layered(), CLASSES)
    optimizer = build_optimizer(task, recipe(replace(FAST, optimizer=name)))
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(task.parameters()))


@pytest.mark.parametrize(
    ("schedule", "start", "top", "end"),
    [
        ("cosine", 1 / 11, 10, 0.0),
        ("linear", 1 / 11, 10, 0.0),
        ("constant", 1 / 11, 10, 1.0),
        ("warmup-stable-decay", 1 / 11, 10, 0.0),
        ("one-cycle", 1 / 25, 30, 1e-4 / 25),
    ],
)
def test_schedules_rise_to_one_and_end_where_they_should(
    schedule: str, start: float, top: int, end: float
) -> None:
    wanted = recipe(replace(FAST, schedule=schedule, warmup=0.1))
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": weights[:1], "lr": 1.0}, {"params": weights[1:], "lr": 10}]
    )
    built = build_schedule(optimizer, wanted, total_steps=100)
    values = []
    for _ in range(101):
        own, other = (group["lr"] for group in optimizer.param_groups)
        assert other == pytest.approx(10 * own), "every group has its own peak"
        values.append(own)
        optimizer.step()
        built.step()
    assert values[0] == pytest.approx(start)
    assert values[top] == pytest.approx(1.0)
    assert values[100] == pytest.approx(end, abs=1e-9)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(values[: top + 1]))
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(values[top:]))


def test_each_modality_may_be_tuned_its_own_way() -> None:
    tunings = Tunings.parse("image=head, text=last=2")
    assert (tunings["image"], tunings["text"]) == (Tuning("head"), Tuning("last", 2))
    assert tunings["audio"] == Tuning("full")
    assert tunings == Tunings.parse("text=last:2,image=head")
    assert Tunings.parse("gradual=3") == Tunings(Tuning("gradual", 3)) == Tunings.parse("gradual:3")
    assert Tunings.parse("head,text=gradual")["audio"] == Tuning("head")
    assert Tunings.parse("head,text=gradual").changes
    assert not Tunings.parse("head").changes


@pytest.mark.parametrize("text", ["image=head,image=full", "head,full", "=head", "image="])
def test_a_tuning_that_says_two_things_or_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.tune = .* is not valid"):
        Tunings.parse(text)


def test_a_modality_without_a_backbone_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"names imag, but .* 'image'"):
        EngineConfig(tune="imag=head").tuning.check(["image", "text"])
