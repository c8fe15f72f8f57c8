"""A text backbone as a model of transformers: its class, tokenizer, generation, and its use."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmft_classification.task import Classification
from mmft_core.contracts import Task
from mmft_retrieval.task import Embedding
from mmft_text.backbone import TransformersText
from mmft_text.processing import TextProcessor
from mmft_text.writing import writing_config
from mmft_text.written import Written
from mmft_transformers.published_models import Described, TransformersModel, loading

_POOLED = {
    "encoder": "mean over all tokens",
    "seq2seq": "mean over all tokens that the encoder gives",
    "causal": "state of the last token",
}
"""What features of a whole text are."""

_STATES = {
    "encoder": "network(**inputs).last_hidden_state",
    "seq2seq": "network.get_encoder()(**inputs).last_hidden_state",
    "causal": "network(**inputs).last_hidden_state",
}


def published_model(backbone: TransformersText, task: Task) -> TransformersModel:
    """The network with its tokenizer, as it is used by the task."""
    side = backbone.processor.side

    def save_tokenizer(folder: Path) -> None:
        exported_tokenizer(backbone, side).save_pretrained(folder)

    def save_sentences(folder: Path) -> None:
        save_tokenizer(folder)
        _save_sentences(backbone, folder)

    if not backbone.writes and _embeds(backbone, task):
        return TransformersModel(backbone, _SENTENCES, more=save_sentences)
    if not backbone.writes:
        return TransformersModel(backbone, _of_features(backbone, task), more=save_tokenizer)
    if isinstance(task, Written):
        generation = writing_config(backbone, task.generation, start=backbone.start)
    else:
        generation = copy.deepcopy(backbone.advice)
        special = backbone.vocabulary
        generation.update(
            pad_token_id=special.pad,
            eos_token_id=special.end,
            bos_token_id=special.start,
            defaults_only=True,
        )
    described = _of_writing(backbone, task)
    return TransformersModel(backbone, described, more=save_tokenizer, generation=generation)


def exported_tokenizer(backbone: TransformersText, side: str) -> Any:
    """The tokenizer, which by itself cuts and pads as the backbone's processor does."""
    tokenizer = copy.deepcopy(backbone.tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(backbone.vocabulary.pad)
    settings = {
        "model_max_length": backbone.processor.max_length,
        "padding_side": side,
        # Without kinds of tokens, which not all networks know and none needs here.
        "model_input_names": ["input_ids", "attention_mask"],
    }
    for name, value in settings.items():
        setattr(tokenizer, name, value)
    tokenizer.init_kwargs |= settings
    return tokenizer


_SENTENCES = Described(
    code="""\
from sentence_transformers import SentenceTransformer

network = SentenceTransformer(".")
embeddings = network.encode(["A text."])""",
    library="sentence-transformers",
    pipeline="sentence-similarity",
)


def _embeds(backbone: TransformersText, task: Task) -> bool:
    """Whether a task's embeddings are what sentence-transformers can make of the network."""
    return backbone.kind != "seq2seq" and isinstance(task, Embedding) and task.dim is None


def _save_sentences(backbone: TransformersText, folder: Path) -> None:
    """Write what sentence-transformers reads: how tokens become an embedding of length one."""
    place = "sentence_transformers.models"
    steps = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{place}.{kind}"}
        for i, (path, kind) in enumerate(steps.items())
    ]
    pooling = "lasttoken" if backbone.kind == "causal" else "mean_tokens"
    contents: dict[str, Any] = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": backbone.processor.max_length},
        "1_Pooling/config.json": {
            "word_embedding_dimension": backbone.width,
            f"pooling_mode_{pooling}": True,
            **({"pooling_mode_mean_tokens": False} if pooling == "lasttoken" else {}),
        },
    }
    for path in steps:
        (folder / path).mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _of_features(backbone: TransformersText, task: Task) -> Described:
    pooled = _POOLED[backbone.kind]
    if not isinstance(task, Classification):
        note = f"Its use in mmft is the {pooled}."
        return Described(code=loading(backbone.loaded_by, tokenizer="AutoTokenizer"), note=note)
    note = (
        f"It is the network without the classifier, which is linear on the {pooled} "
        "(head.safetensors in the folder above): transformers has no class with such a head, so "
        'pipeline("text-classification") cannot use it. README.md beside the network computes the '
        "probabilities."
    )
    return Described(code=_probabilities(backbone, task.codec.classes), note=note)


def _probabilities(backbone: TransformersText, classes: Sequence[str]) -> str:
    """Python that computes what mmft predicts."""
    pooled = "states[:, -1]"
    if backbone.kind != "causal":
        pooled = "(states * mask).sum(1) / mask.sum(1)"
    return f"""\
import torch
from safetensors.torch import load_file
{loading(backbone.loaded_by, tokenizer="AutoTokenizer")}
head = load_file("../head.safetensors")
classes = {list(classes)}

inputs = tokenizer("A text.", truncation=True, return_tensors="pt")
with torch.no_grad():
    states = {_STATES[backbone.kind]}
mask = inputs["attention_mask"].unsqueeze(-1)
pooled = {pooled}
probabilities = (pooled @ head["head.weight"].T + head["head.bias"]).softmax(-1)"""


def _of_writing(backbone: TransformersText, task: Task) -> Described:
    code = loading(backbone.loaded_by, tokenizer="AutoTokenizer")
    pipeline = "text-generation" if backbone.kind == "causal" else ""
    if not isinstance(task, Written):
        return Described(code=code, pipeline=pipeline)
    processor = task.processors.get("text")
    if not isinstance(processor, TextProcessor):
        return Described(code=code, note="In mmft it writes on what another network has seen.")
    vocabulary = processor.vocabulary
    before = [*vocabulary.head, *processor.before]
    after = [*processor.after, *vocabulary.tail]
    most = processor.max_length - len(before) - len(after)
    written = "written[0]" if backbone.kind == "seq2seq" else "written[0, len(tokens) :]"
    code += f"""

text = tokenizer("A text.", add_special_tokens=False)["input_ids"]
tokens = [*{before}, *text[:{most}], *{after}]
written = network.generate(input_ids=torch.tensor([tokens]))
print(tokenizer.decode({written}, skip_special_tokens=True).strip())"""
    return Described(code=f"import torch\n{code}", pipeline=pipeline)
