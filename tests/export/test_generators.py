"""Networks that write, as graphs: what is written by them is what the network writes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from mmft_audio.options import RecognitionOptions
from mmft_audio.recognition import Recognition
from mmft_core.config.generation import Generation
from mmft_core.contracts import Batch, Runner, Tensors
from mmft_core.errors import IncompatibleError
from mmft_fusion.captioning import Captioning
from mmft_fusion.options import CaptioningOptions
from tests.audio.networks import TEXTS as SPOKEN
from tests.audio.networks import Recordings
from tests.audio.networks import collated as recordings
from tests.audio.networks import make_backbone as make_whisper
from tests.export.tools import traced
from tests.text.tools import TEXTS, collated, make_backbone

pytestmark = pytest.mark.usefixtures("two_layers")

SETTINGS = (
    Generation(max_new_tokens=10),
    Generation(max_new_tokens=10, num_beams=3),
    Generation(max_new_tokens=10, num_beams=2, no_repeat_ngram=2, length_penalty=2.0),
)


def shaken(backbone: Any) -> Any:
    """With weights that write something else for every input."""
    torch.manual_seed(0)
    for parameter in backbone.network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return backbone


def rows(inputs: Tensors, chosen: slice) -> Tensors:
    return {name: tensor[chosen] for name, tensor in inputs.items()}


def written_text(backbone: Any, inputs: Tensors) -> list[list[str]]:
    return [backbone.generate(inputs, settings) for settings in SETTINGS]


@torch.no_grad()
@pytest.mark.parametrize("prefix", [False, True], ids=["tokens", "prefix"])
@pytest.mark.parametrize("name", ["gpt2", "causal-lm", "t5-small", "bart-base"])
def test_graphs_write_what_the_network_writes(name: str, prefix: bool) -> None:
    """Every kind, computed by the graphs' own modules: the way there and back."""
    if prefix and name in ("t5-small", "bart-base"):
        pytest.skip("it goes on from no vectors")
    backbone = shaken(make_backbone(name))
    inputs = {"prefix": torch.randn(6, 4, backbone.width)} if prefix else collated(backbone)
    targets = backbone.codec.collate([backbone.codec.encode(text) for text in TEXTS])
    exported = copy.deepcopy(backbone).to("meta")
    exported.adopt({graph.name: graph.module for graph in backbone.graphs(inputs)})
    assert written_text(exported, inputs) == written_text(backbone, inputs)
    losses = exported.token_losses(inputs, targets)
    assert torch.allclose(losses, backbone.token_losses(inputs, targets), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "t5-small"])
def test_exported_graphs_take_any_batch_and_length(name: str) -> None:
    backbone = shaken(make_backbone(name))
    inputs = collated(backbone)
    runners: Mapping[str, Runner] = {g.name: traced(g) for g in backbone.graphs(inputs)}
    exported = copy.deepcopy(backbone).to("meta")
    exported.adopt(runners)
    for chosen in (slice(0, 6), slice(1, 2), slice(2, 5)):
        some = rows(inputs, chosen)
        assert written_text(exported, some) == written_text(backbone, some)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("spoken"))


def heard(backbone: Any, inputs: Tensors) -> list[list[str]]:
    features = backbone.encode(inputs)
    return [
        [transcript.text for transcript in backbone.transcribe(features, settings)]
        for settings in SETTINGS
    ]


@torch.no_grad()
@pytest.mark.parametrize("padding", ["window", "batch"])
def test_graphs_of_whisper_hear_what_it_hears(spoken: Recordings, padding: str) -> None:
    backbone = shaken(make_whisper("whisper-tiny.en", spoken, padding=padding))
    inputs = recordings(backbone, spoken, [0, 3])
    exported = backbone.adopt({g.name: g.module for g in backbone.graphs(inputs)})
    assert heard(exported, inputs) == heard(backbone, inputs)
    targets = backbone.codec.collate([backbone.codec.encode(SPOKEN[i]) for i in (0, 3)])
    losses = exported.transcript_losses(exported.encode(inputs), targets)
    wanted = backbone.transcript_losses(backbone.encode(inputs), targets)
    assert torch.allclose(losses, wanted, atol=1e-3)


def test_times_of_words_are_refused_before_anything_is_heard(spoken: Recordings) -> None:
    backbone = make_whisper("whisper-tiny.en", spoken, padding="batch")
    task = Recognition(backbone, RecognitionOptions(timestamps="words"))
    with pytest.raises(IncompatibleError, match="has no word timestamps"):
        task.adopt({})


@torch.no_grad()
def test_exported_graphs_of_whisper_take_any_batch_and_length(spoken: Recordings) -> None:
    backbone = shaken(make_whisper("whisper-tiny.en", spoken, padding="batch"))
    inputs = recordings(backbone, spoken)
    exported = backbone.adopt({g.name: traced(g) for g in backbone.graphs(inputs)})
    for chosen in ([0, 1, 2, 3], [2], [3, 0, 1]):
        some = recordings(backbone, spoken, chosen)
        assert heard(exported, some) == heard(backbone, some)


@torch.no_grad()
def test_captions_by_graphs_are_the_task_s() -> None:
    """What reads is a graph as well, and of the whole task nothing else is left."""
    writer = shaken(make_backbone("gpt2"))
    reader = make_backbone("minilm", seed=1)
    options = CaptioningOptions(prefix_length=4, heads=2, max_new_tokens=10, num_beams=2)
    task = Captioning("text-read", {"text-read": reader, "text": writer}, options).eval()
    inputs = collated(reader)
    batch = Batch(inputs={"text-read": inputs}, targets=None, ids=list(TEXTS))
    wanted = task(batch).predictions
    graphs = task.graphs(batch)
    assert [graph.name for graph in graphs] == ["prefix", "embedding", "decoder"]
    runners = {g.name: copy.deepcopy(g.module).forward for g in graphs}
    exported = copy.deepcopy(task).to("meta").adopt(runners)
    assert not list(exported.parameters())
    assert exported(batch).predictions == wanted
    assert len(set(wanted)) > 1
