"""Parts of models that see and hear, each tuned in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmft_chat.options import ChatOptions
from mmft_chat.task import Chat
from mmft_core import discover
from mmft_core.config.engine_config import EngineConfig, LoraConfig
from mmft_core.config.resolving import resolve
from mmft_core.engine import tuning
from mmft_core.engine.lora import is_adapter
from mmft_core.errors import ConfigError, IncompatibleError
from mmft_core.weights import LoadedWeights
from tests.chat.networks import HEARD, SEEN, built, chats_for, collated, narrow, saved

__all__ = ["narrow"]


def task_of(name: str) -> Chat:
    torch.manual_seed(0)
    return Chat(built(name), ChatOptions())


def prepared(name: str, tune: str, **lora: Any) -> tuple[Chat, dict[str, set[bool]]]:
    """A task made ready, and by part whether its weights and its adapters learn: "language",
    "language adapters"."""
    task, config = task_of(name), EngineConfig(tune=tune, lora=LoraConfig(**lora))
    tuning.prepare(task, config)
    task.train()
    tuning.apply(task, config.tuning, 0)
    names = {id(p): n for n, p in task.model.named_parameters()}
    found: dict[str, set[bool]] = {}
    for part, layers in task.model.parts().items():
        for parameter in (p for layer in layers for p in layer.parameters()):
            kind = f"{part} adapters" if is_adapter(names[id(parameter)]) else part
            found.setdefault(kind, set()).add(parameter.requires_grad)
    return task, found


def test_parts_learn_as_they_are_told() -> None:
    task, found = prepared("qwen2.5-vl", "frozen,language=lora,connector=full")
    assert found == {
        "vision": {False},
        "connector": {True},
        "language": {False},
        "language adapters": {True},
    }
    inputs = collated(task.model, SEEN)
    before = {n: p.detach().clone() for n, p in task.model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # At first one half of an adapter is zero, so the other half gets nothing.
        optimizer.zero_grad()
        task.model.learned_nats(inputs, 64)[0].mean().backward()
        optimizer.step()
    changed = {n for n, p in task.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {n for n, p in task.model.named_parameters() if p.requires_grad}
    merger = [n for n in changed if "merger" in n]
    assert merger and any(is_adapter(n) for n in changed)


@pytest.mark.parametrize("part", ["language", "audio", "connector"])
def test_adapters_go_on_any_part(part: str) -> None:
    task, found = prepared("qwen2-audio", f"frozen,{part}=lora", targets=("all",))
    assert found.pop(f"{part} adapters") == {True}
    assert set(found) == {"language", "audio", "connector"}
    assert all(learns == {False} for learns in found.values())
    assert task.model.learned_nats(collated(task.model, HEARD), 64)[0].requires_grad


def test_last_layers_are_those_of_a_part() -> None:
    _, found = prepared("qwen2-audio", "frozen,audio=last=1")
    assert found == {"language": {False}, "audio": {True, False}, "connector": {False}}
    with pytest.raises(ConfigError, match="more layers than the 3 of the audio part of the chat"):
        prepared("qwen2-audio", "frozen,audio=last=4")


def test_all_parts_by_default() -> None:
    _, found = prepared("gemma-3-vision", "full,vision=frozen")
    assert found == {"vision": {False}, "connector": {True}, "language": {True}}
    _, found = prepared("gemma-3-vision", "lora", targets=("all",))
    assert found["vision adapters"] == found["language adapters"] == {True}


def test_what_a_model_does_not_have_is_not_tuned() -> None:
    registry = discover()
    tree = {"task": {"name": "chat"}, "engine": {"tune": "frozen,audio=full"}}
    own = {"backbone": {"name": "qwen2.5-vl", "weights": "none"}}
    with pytest.raises(
        ConfigError, match="names audio, but no backbone reads it and none has"
    ) as caught:
        resolve({**tree, **own}, registry)
    assert "language, vision, connector" in str(caught.value.hint)
    plan = resolve({**tree, "backbone": {"name": "qwen2-audio", "weights": "none"}}, registry)
    assert plan.dataset.component.name == "chat-recordings"
    with pytest.raises(ConfigError, match="names vision, but no backbone"):
        prepared("qwen2-audio", "frozen,vision=full")  # Others that hear can see, too.


def test_adapters_kept_alone_go_with_frozen_parts_alone(tmp_path: Path) -> None:
    task = task_of("qwen2-audio")
    task.model.loaded = LoadedWeights(source=str(tmp_path))
    config = EngineConfig(tune="lora,connector=full", lora=LoraConfig(save="adapter"))
    with pytest.raises(IncompatibleError, match="trains the weights of the connector as well"):
        tuning.prepare(task, config)


@pytest.mark.parametrize("name", ["qwen3", "qwen2.5-vl", "qwen2-audio"])
def test_adapters_learn_on_weights_in_8_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bitsandbytes computes them on a CPU too, slowly, for which mmft asks for a GPU."""
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr("mmft_chat.building.check_bits", lambda *_: None)
    torch.manual_seed(0)
    whole, chats = built(name), chats_for(name)
    few = built(name, str(saved(whole, tmp_path)), load_bits=8)
    inputs = collated(few, chats)
    nats = [model.learned_nats(inputs, 64)[0].mean() for model in (whole, few)]
    torch.testing.assert_close(*nats, atol=0.02, rtol=0)
    task, config = (
        Chat(few, ChatOptions()),
        EngineConfig(tune="lora", lora=LoraConfig(save="adapter")),
    )
    tuning.prepare(task, config)
    task.train()
    tuning.apply(task, config.tuning, 0)
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        loss = few.learned_nats(inputs, 64)[0].mean()
        loss.backward()
        optimizer.step()
    assert loss < nats[1]
    with pytest.raises(IncompatibleError, match="connector|chat backbone"):
        tuning.prepare(Chat(few, ChatOptions()), EngineConfig(tune="full"))
