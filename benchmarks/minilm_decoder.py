"""A language model whose weights are those of MiniLM: a folder to start a summarizer from.

    pip install -e '.[bench]'
    python benchmarks/minilm_decoder.py FOLDER

MiniLM reads in both directions and writes nothing. Its weights with causal attention and a new head
are a better start for a language model than random ones (Rothe et al., 2020, "Leveraging
Pre-trained Checkpoints for Sequence Generation Tasks").
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from minilm import minilm
from transformers import AutoTokenizer, BertConfig, BertLMHeadModel


def main(folder: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(minilm())
    config.is_decoder = True
    BertLMHeadModel.from_pretrained(minilm(), config=config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm()).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
