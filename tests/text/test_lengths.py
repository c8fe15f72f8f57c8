"""Batches of texts of like numbers of tokens, whatever their numbers of characters."""

from __future__ import annotations

import numpy as np
import torch

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import NoTargets, Processor
from mmft_core.data.splits import Subset
from mmft_core.features.computing import Encoder
from mmft_core.loading.loaders import evaluation_loader, outcomes
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.loading.similar_lengths import WindowedBatchSampler
from mmft_core.precision import Inference
from mmft_text.processing import TextProcessor, TokenCodec, Vocabulary
from mmft_text.tokenizers import train_tokenizer
from mmft_text.written import WrittenCodec
from tests.text.tools import TEXTS, Texts, make_backbone

VOCABULARY = Vocabulary.of(train_tokenizer(Texts(), 400, "encoder"))
FEW, MANY = "the mean of the array along the axis", "x q z j ! ?"  # Tokens, not characters.


class Sized(Texts):
    """Whose sizes are numbers of characters."""

    def sizes(self) -> list[int]:
        return [len(text) for text in self.texts]


def prepared(split: Texts, processor: Processor, codec=None) -> PreparedSplit:
    return PreparedSplit(split, {"text": processor}, codec or NoTargets(), train=True)


def test_a_length_is_that_of_what_is_prepared() -> None:
    processor = TextProcessor(VOCABULARY, max_length=16)
    data = prepared(Texts(), processor)
    assert data.lengths is not None
    assert list(data.lengths) == [len(data[(0, i)].inputs["text"]["tokens"]) for i in range(6)]
    assert max(data.lengths) == 16 > min(data.lengths)


def test_a_written_target_counts() -> None:
    processor = TextProcessor(VOCABULARY, max_length=16)
    codec = WrittenCodec(TokenCodec(VOCABULARY, framed=False), 5, "summary")
    alone = prepared(Texts(), processor).lengths
    both = prepared(Texts(targets=["rain", *TEXTS[1:]]), processor, codec).lengths
    assert alone is not None and both is not None
    assert [b - a for a, b in zip(alone, both, strict=True)][1:] == [5] * 5
    assert 0 < both[0] - alone[0] < 5


def test_what_cannot_be_prepared_stops_nothing() -> None:
    lengths = prepared(Texts(["rain", "", "\ud800"]), TextProcessor(VOCABULARY, 16)).lengths
    assert lengths is not None and lengths[0] > 0 and lengths[1:] == [0, 0]


def test_sizes_of_the_data_stand_in_where_a_processor_does_not_tell() -> None:
    class Silent(TextProcessor):
        def measure(self, raw: str) -> None:  # type: ignore[override]
            return None

    assert prepared(Sized(), Silent(VOCABULARY, 16)).lengths == [len(text) for text in TEXTS]
    assert prepared(Texts(), Silent(VOCABULARY, 16)).lengths is None


def test_batches_go_by_tokens() -> None:
    assert len(FEW) > len(MANY) and len(VOCABULARY.ids(FEW)) < len(VOCABULARY.ids(MANY))
    data = prepared(Texts([FEW, MANY] * 20), TextProcessor(VOCABULARY, 64))
    loader = evaluation_loader(data, 10, workers=0, in_order=False)
    masks = [loaded.batch.inputs["text"]["mask"] for loaded in outcomes(loader) if loaded.batch]
    assert len(masks) == 4 and all(bool(np.all(mask.numpy())) for mask in masks)


def test_predictions_come_in_order_from_batches_that_go_by_tokens() -> None:
    texts = [f"{text} {number}" for number in range(90) for text in (FEW, MANY)]
    data = prepared(Texts(texts), TextProcessor(VOCABULARY, 64))
    batches = WindowedBatchSampler(data, 5)
    cuts = [[index for _, index in batch] for batch in batches]
    # In windows of 16 batches, in each of which the long ones come first.
    lengths = data.lengths
    assert lengths is not None
    assert [max(cut) // 80 for cut in cuts] == [min(cut) // 80 for cut in cuts]
    for window in (cuts[:16], cuts[16:32], cuts[32:]):
        own = [lengths[index] for cut in window for index in cut]
        assert own == sorted(own, reverse=True)
    given = [index for cut in cuts for index in cut]
    assert given != list(range(180))
    assert list(batches.in_order(given)) == list(range(180))


def test_so_do_the_batches_of_frozen_backbones() -> None:
    encoder = Encoder(
        modality="text",
        backbone=make_backbone("minilm"),
        keeps_sequence=True,
        inference=Inference.of("fp32", torch.device("cpu")),
        config=EngineConfig(batch_size=10, workers=0),
    )
    split = Sized([FEW, MANY] * 20)
    features = list(encoder.features(Subset(split, encoder.longest_first(split))))
    assert len(features) == 4
    assert all(part.mask is not None and bool(part.mask.all()) for part in features)
