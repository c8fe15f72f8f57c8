"""A tokenizer of one's own, for a network that starts from random weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

Kind = Literal["encoder", "causal", "seq2seq"]

_PAD, _START, _END, _UNKNOWN, _MASK = "<pad>", "<s>", "</s>", "<unk>", "<mask>"

_FRAMES = {
    "encoder": f"{_START} $A {_END}",
    "causal": "$A",
    "seq2seq": f"$A {_END}",
}
"""What a text stands between."""


def train(texts: Iterable[str], vocabulary: int, kind: Kind) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE (Sennrich et al., 2015; Radford et al., 2019) on texts.

    Bytes leave no text unknown, whatever its language. The same texts give the same tokenizer,
    which those for WordPiece and Unigram do not: they differ from process to process.

    Args:
        vocabulary: the number of tokens, at most; few texts give fewer.
        kind: of network, which decides what a text stands between.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_PAD, _START, _END, _UNKNOWN, _MASK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(_characters, texts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=_FRAMES[kind],
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (_START, _END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        bos_token=_START,
        eos_token=_END,
        unk_token=_UNKNOWN,
        mask_token=_MASK,
        cls_token=_START,
        sep_token=_END,
        clean_up_tokenization_spaces=False,
    )


def _characters(text: str) -> str:
    """A text without halves of surrogate pairs, which tokenizers cannot take."""
    return text.encode(errors="ignore").decode()
