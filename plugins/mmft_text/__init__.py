"""Texts: encoders, language models and encoder-decoders of transformers; text data sets; tasks."""

from typing import Any

from mmft_classification import DEFAULT_METRICS, MULTI_LABEL
from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl
from mmft_core.data import TABLE_SUFFIXES

_FINE_TUNING = {"engine.lr": 5e-5, "engine.epochs": 3, "engine.weight_decay": 0.01}
"""What pretrained transformers are usually fine-tuned with (Devlin et al., 2018)."""

_SCRATCH = {"engine.lr": 1e-3, "engine.epochs": 6}
"""Random weights have further to go."""

_ENCODERS = {
    "bert-base": "BERT base, uncased (Devlin et al., 2018), 110 M parameters",
    "bert-large": "BERT large, uncased (Devlin et al., 2018), 335 M parameters",
    "distilbert": "DistilBERT base, uncased (Sanh et al., 2019), 66 M parameters",
    "roberta-base": "RoBERTa base (Liu et al., 2019), 125 M parameters",
    "roberta-large": "RoBERTa large (Liu et al., 2019), 355 M parameters",
    "minilm": "MiniLM L6, trained on sentence pairs (Wang et al., 2020), 23 M parameters",
    "modernbert-base": "ModernBERT base (Warner et al., 2024), 149 M parameters",
    "text-encoder": "Any encoder in transformers, from a folder or Hub id given by --weights",
}

_CAUSAL = {
    "gpt2": "GPT-2 (Radford et al., 2019), 124 M parameters",
    "gpt2-medium": "GPT-2 medium (Radford et al., 2019), 355 M parameters",
    "distilgpt2": "DistilGPT-2 (Sanh et al., 2019), 82 M parameters",
    "causal-lm": "Any causal language model in transformers, from a folder or Hub id (--weights)",
}

_SEQ2SEQ = {
    "bart-base": "BART base (Lewis et al., 2019), 139 M parameters",
    "bart-large": "BART large (Lewis et al., 2019), 406 M parameters",
    "t5-small": "T5 small (Raffel et al., 2019), 61 M parameters",
    "t5-base": "T5 base (Raffel et al., 2019), 223 M parameters",
    "seq2seq-lm": "Any encoder-decoder in transformers, from a folder or Hub id given by --weights",
}


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    families = [
        ("encoders", _ENCODERS, ("pooled", "sequence")),
        ("causal", _CAUSAL, ("pooled", "sequence", "generation", "likelihoods", "prefix")),
        ("seq2seq", _SEQ2SEQ, ("pooled", "sequence", "generation")),
    ]
    return [
        BackboneSpec(
            name=name,
            summary=summary,
            modality="text",
            provides=provides,
            build=f"mmft_text.{module}:build_{name.replace('-', '_')}",
            options="mmft_text.options:TextBackboneOptions",
            defaults=_FINE_TUNING,
            from_scratch=_SCRATCH,
        )
        for module, names, provides in families
        for name, summary in names.items()
    ]


@hookimpl
def register_dataset() -> list[DatasetSpec]:
    inspectors = {"text": "mmft_text.inspection:TextInspector"}
    texts: dict[str, Any] = {
        "modalities": ("text",),
        "targets": ("class", "text", "none"),
        "inspectors": inspectors,
    }
    return [
        DatasetSpec(
            name="docstrings",
            summary="Documentation strings of the Python packages that are installed",
            build="mmft_text.docstrings:build",
            options="mmft_text.options:DocstringOptions",
            bundled=True,
            defaults={"backbone.random_size": "tiny", "backbone.max_length": 128},
            from_scratch={"engine.epochs": 3},  # More takes long, and fits train alone.
            **texts,
        ),
        DatasetSpec(
            name="docstring-sections",
            summary="Documentation strings, labelled with the sections that they contain",
            build="mmft_text.docstrings:build",
            options="mmft_text.options:DocstringOptions",
            bundled=True,
            defaults={"backbone.random_size": "tiny", "backbone.max_length": 128},
            from_scratch={"engine.epochs": 6},
            **(texts | {"targets": ("labels",)}),
        ),
        DatasetSpec(
            name="text-table",
            summary="A table (CSV, JSON, Parquet, Excel): texts, and labels or target texts",
            build="mmft_text.text_table:build",
            options="mmft_text.options:TextTableOptions",
            opens=TABLE_SUFFIXES,
            describe="mmft_text.text_table:describe",
            **(texts | {"targets": ("class", "labels", "text", "none")}),
        ),
        DatasetSpec(
            name="text-folder",
            summary="A folder of text files; folders in it are classes, or train/, val/ and test/",
            build="mmft_text.text_folder:build",
            options="mmft_text.options:TextFolderOptions",
            modalities=("text",),
            targets=("class", "none"),
            inspectors=inspectors,
            opens=("/", ".txt"),
        ),
        DatasetSpec(
            name="hub-text",
            summary="A text data set on the Hugging Face Hub, given by its id",
            build="mmft_text.hub:build",
            options="mmft_text.options:HubTextOptions",
            **(texts | {"targets": ("class", "labels", "text", "none")}),
        ),
    ]


@hookimpl
def register_task() -> list[TaskSpec]:
    common: dict[str, Any] = {
        "modalities": ("text",),
        "default_dataset": "docstrings",
        "usage": ("mmft predict {run} TEXT", "mmft serve {run}"),
    }
    return [
        TaskSpec(
            name="text-cls",
            summary="Text classification: one class for each text",
            target="class",
            predicts="classes",
            build="mmft_text.classification:build",
            options="mmft_text.options:TextClassificationOptions",
            default_metrics=DEFAULT_METRICS,
            monitor="accuracy",
            pipeline="text-classification",
            **common,
        ),
        TaskSpec(
            name="text-multilabel",
            summary="Text classification with any number of labels for each text",
            build="mmft_text.multilabel:build",
            pipeline="text-classification",
            **MULTI_LABEL,
            **(common | {"default_dataset": "docstring-sections"}),
        ),
        TaskSpec(
            name="text-retrieval",
            summary="Sentence embeddings: texts that belong together are close together",
            target="text",
            predicts="embeddings",
            build="mmft_text.retrieval:build",
            options="mmft_text.options:TextRetrievalOptions",
            default_metrics=("retrieval-recall", "map-r", "ndcg", "mrr"),
            monitor="retrieval-recall/at-1",
            pipeline="sentence-similarity",
            **common,
        ),
        TaskSpec(
            name="summarization",
            summary="Summaries, written by a language model or an encoder-decoder",
            target="text",
            predicts="text",
            needs=("generation",),
            build="mmft_text.summarization:build",
            options="mmft_text.options:SummarizationOptions",
            from_scratch={"engine.batch_size": 16},  # A summary is few tokens to learn from.
            default_metrics=("rouge", "bleu", "chrf"),
            monitor="rouge/l",
            pipeline="summarization",
            **common,
        ),
        TaskSpec(
            name="language-modeling",
            summary="Language modelling: predict each token from those before it",
            target="none",
            predicts="likelihoods",
            needs=("likelihoods",),
            build="mmft_text.language_modeling:build",
            options="mmft_text.options:LanguageModelingOptions",
            default_metrics=("perplexity",),
            monitor="perplexity",
            pipeline="text-generation",
            **common,
        ),
    ]


@hookimpl
def register_metric() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="rouge",
            summary="ROUGE-1, ROUGE-2 and ROUGE-L, F1 (Lin, 2004)",
            build="mmft_text.metrics:build_rouge",
            options="mmft_text.options:RougeOptions",
            measures="text",
        ),
        MetricSpec(
            name="bleu",
            summary="BLEU of the corpus, by sacrebleu (Papineni et al., 2002; Post, 2018)",
            build="mmft_text.metrics:build_bleu",
            measures="text",
        ),
        MetricSpec(
            name="chrf",
            summary="chrF of the corpus, by sacrebleu (Popović, 2015)",
            build="mmft_text.metrics:build_chrf",
            measures="text",
        ),
        MetricSpec(
            name="perplexity",
            summary="Perplexity: the exponential of the mean loss per token",
            build="mmft_text.metrics:build_perplexity",
            measures="likelihoods",
            higher_is_better=False,
        ),
    ]
