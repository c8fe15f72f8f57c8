"""Checks of backbones that write text: the codec, losses of tokens, writing."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence

import torch
from torch import Tensor

from mmft_core import BackboneSpec, Component
from mmft_core.config import Generation
from mmft_core.contracts import PADDING, Generator, TargetCodec
from mmft_testing.backbones import TOLERANCE
from mmft_testing.tools import check_graphs, equal
from mmft_testing.workbench import Workbench

Spec = Component[BackboneSpec]

TEXTS = ("a few words", "one", "somewhat more of these words than there were in the others")
"""Targets of unlike lengths."""

STEPS = 300
"""Within so many, a text is learned by heart."""


def codec_ends_and_pads_texts(bench: Workbench, component: Spec) -> None:
    """Texts become token ids (T,), which collate to (B, T) with PADDING behind shorter ones."""
    generator = _generator(bench, component)
    codec = pickle.loads(pickle.dumps(generator.codec))
    rows = [codec.encode(text) for text in TEXTS]
    assert equal(rows, [generator.codec.encode(text) for text in TEXTS]), (
        "a pickled codec encodes something else"
    )
    for row in rows:
        assert isinstance(row, Tensor) and row.dtype == torch.int64 and row.dim() == 1, (
            "codec.encode gives no token ids (T,) of int64"
        )
        assert (row >= 0).all(), "codec.encode gives token ids below 0"
    ends = {int(row[-1]) for row in rows}
    assert len(ends) == 1, f"texts end with different tokens: {sorted(ends)}"
    batch = codec.collate(rows)
    shape = (len(rows), max(map(len, rows)))
    assert isinstance(batch, Tensor) and batch.shape == shape, (
        f"codec.collate gives no tensor of shape {shape}"
    )
    for row, padded in zip(rows, batch, strict=True):
        assert equal(padded[: len(row)], row), "codec.collate changes tokens"
        assert (padded[len(row) :] == PADDING).all(), "shorter texts are not padded with PADDING"


def an_empty_target_is_refused(bench: Workbench, component: Spec) -> None:
    """There is nothing to learn from an empty text; `encode` says so by a ValueError."""
    try:
        _generator(bench, component).codec.encode("")
    except ValueError:
        return
    raise AssertionError("codec.encode takes an empty text")


def token_losses_have_their_shape(bench: Workbench, component: Spec) -> None:
    """(B, T) in nats, 0 where there is no token; of full precision even under autocast."""
    targets = _targets(bench, component)
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            losses = _losses(bench, component, targets)
        assert losses.shape == targets.shape, (
            f"token_losses gives {tuple(losses.shape)}, not {tuple(targets.shape)}"
        )
        assert losses.dtype == torch.float32, (
            f"token_losses gives {losses.dtype}{' under autocast' if autocast else ''}"
        )
        assert torch.isfinite(losses).all(), "a token's loss is not finite"
        assert (losses[targets == PADDING] == 0).all(), "there are losses where there is no token"
        assert (losses[targets != PADDING] > 0).all(), "a token of random weights has no loss"


def token_losses_do_not_mix(bench: Workbench, component: Spec) -> None:
    """A text's losses are the same alone and in a batch, its source and itself padded or not."""
    generator, targets = _generator(bench, component), _targets(bench, component)
    together = _losses(bench, component, targets)
    for index, row in enumerate(_rows(generator)):
        alone = _losses(bench, component, generator.codec.collate([row]), [index])[0]
        difference = float((together[index, : len(row)] - alone).abs().max())
        assert difference <= TOLERANCE, (
            f"a text's losses depend on its batch: they differ by {difference:.2g} nats"
        )


def tokens_do_not_see_those_behind_them(bench: Workbench, component: Spec) -> None:
    """Another last token leaves the losses before it as they are; else writing has no chance."""
    targets = _targets(bench, component)
    before = _losses(bench, component, targets)
    other = targets.clone()
    lasts = (targets != PADDING).sum(1) - 1
    rows = torch.arange(len(lasts))
    other[rows, lasts] = targets[rows, 0]
    after = _losses(bench, component, other)
    earlier = torch.arange(targets.shape[1]) < lasts[:, None]
    assert torch.allclose(before[earlier], after[earlier], atol=TOLERANCE), (
        "a token's loss depends on the tokens behind it"
    )
    assert not equal(before[rows, lasts], after[rows, lasts]), "losses do not depend on the target"


def losses_depend_on_the_input(bench: Workbench, component: Spec) -> None:
    """The same text has other losses for another source."""
    generator = _generator(bench, component)
    targets = generator.codec.collate([_rows(generator)[0]])
    one, other = (_losses(bench, component, targets, [index]) for index in (0, 1))
    assert not equal(one, other), "losses do not depend on the input"


def writes_one_text_for_each_input(bench: Workbench, component: Spec) -> None:
    """Greedy search and beams write the same text for an input alone and in a batch."""
    generator = _generator(bench, component)
    for settings in (Generation(max_new_tokens=6), Generation(max_new_tokens=6, num_beams=2)):
        together = generator.generate(bench.inputs(component), settings)
        assert isinstance(together, list) and len(together) == 3, (
            "generate gives no list of one text for each input"
        )
        assert all(isinstance(text, str) for text in together), "generate gives no strings"
        alone = [generator.generate(_inputs(bench, component, [i]), settings)[0] for i in range(3)]
        assert together == alone, "what is written for an input depends on its batch"
    sampled = Generation(max_new_tokens=6, sample=True, temperature=0.8)
    assert len(generator.generate(bench.inputs(component), sampled)) == 3, "sampling gives no texts"
    assert not any(module.training for module in generator.modules()), (
        "generate leaves the backbone in training mode"
    )


def writes_what_it_has_learned(bench: Workbench, component: Spec) -> None:
    """A text that is learned by heart is written: codec, losses and writing mean the same."""
    generator = copy.deepcopy(bench.backbone(component))
    assert isinstance(generator, Generator)
    advice = {**component.spec.defaults, **component.spec.from_scratch}
    optimizer = torch.optim.Adam(generator.parameters(), lr=advice.get("engine.lr", 1e-3))
    inputs, targets = _inputs(bench, component, [0]), generator.codec.collate(_rows(generator)[:1])
    worst = float("inf")
    for _ in range(STEPS):
        losses = generator.token_losses(inputs, targets)
        worst = float(losses.detach().max())
        if worst < 0.1:
            break
        optimizer.zero_grad()
        losses.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert worst < 0.1, f"in {STEPS} steps the worst loss of a token came down to {worst:.2g} only"
    (written,) = generator.generate(inputs, Generation(max_new_tokens=targets.shape[1] + 4))
    assert written == TEXTS[0], f"it has learned {TEXTS[0]!r} and writes {written!r}"


def graphs_are_of_any_batch(bench: Workbench, component: Spec) -> None:
    """What is exported can be traced, and not for the size of the example's batch alone."""
    generator = _generator(bench, component)
    check_graphs(lambda: generator.graphs(bench.inputs(component)))


def _generator(bench: Workbench, component: Spec) -> Generator:
    backbone = bench.backbone(component)
    assert isinstance(backbone, Generator), "it declares generation but is not a Generator"
    assert isinstance(backbone.codec, TargetCodec), "its codec is not a TargetCodec"
    assert backbone.prompt.count("{text}") == 1, "its prompt does not hold {text} once"
    return backbone


def _rows(generator: Generator) -> list[Tensor]:
    return [generator.codec.encode(text) for text in TEXTS]


def _targets(bench: Workbench, component: Spec) -> Tensor:
    generator = _generator(bench, component)
    targets: Tensor = generator.codec.collate(_rows(generator))
    return targets


def _inputs(bench: Workbench, component: Spec, chosen: Sequence[int]) -> dict[str, Tensor]:
    processor = bench.backbone(component).processor
    raw = bench.raw(component, 3)
    return processor.collate([processor.prepare(raw[i], train=False) for i in chosen])


@torch.no_grad()
def _losses(
    bench: Workbench, component: Spec, targets: Tensor, chosen: Sequence[int] = (0, 1, 2)
) -> Tensor:
    """The losses of targets for the chosen ones of three sources."""
    losses = _generator(bench, component).token_losses(_inputs(bench, component, chosen), targets)
    assert isinstance(losses, Tensor), "token_losses gives no tensor"
    return losses


CHECKS = (
    codec_ends_and_pads_texts,
    an_empty_target_is_refused,
    token_losses_have_their_shape,
    token_losses_do_not_mix,
    tokens_do_not_see_those_behind_them,
    losses_depend_on_the_input,
    writes_one_text_for_each_input,
    writes_what_it_has_learned,
    graphs_are_of_any_batch,
)
