"""Models that chat: what they learn of chats, and how they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList, TextStreamer

from mmft_chat.learned import Learn
from mmft_chat.loss import chunked_nats, mean_nats
from mmft_chat.networks import (
    computes_logits_by_head,
    forward,
    head_logits,
    ignores_padding,
    keeps_apart,
)
from mmft_chat.options import ChatBackboneOptions
from mmft_chat.packing import MIXES, UnpackableError
from mmft_chat.processing import ChatProcessor
from mmft_chat.templates import Template
from mmft_chat.trials import Trials
from mmft_core.config import Generation
from mmft_core.contracts import Features, Graph, Runner, Task, Tensors
from mmft_transformers.caches import blank
from mmft_transformers.choosing import processors_of_each, seeds_of
from mmft_transformers.exported import ExportedCausal
from mmft_transformers.generation import (
    drawing,
    generation_arguments,
    generation_config,
    one_by_one,
    save_advice,
)
from mmft_transformers.graphs import causal_graphs, one_step
from mmft_transformers.network import TransformersBackbone
from mmft_transformers.published_models import Described, TransformersModel, loading
from mmft_transformers.quiet import quietly


class ChatBackbone(TransformersBackbone):
    """A causal language model with its tokenizer and its chat template.

    Attributes:
        advice: what a checkpoint says of generation.
        trials: what was found by trying the network.
    """

    loaded_by = "AutoModelForCausalLM"
    task_type = "CAUSAL_LM"
    processor: ChatProcessor

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Any,
        options: ChatBackboneOptions,
        template: str | None = None,
    ) -> None:
        """Args:
        template: the source of the chat template; None for the tokenizer's.
        """
        super().__init__()
        self.network, self.tokenizer = network, tokenizer
        text = self.config.get_text_config()
        self.width = text.hidden_size
        self.advice: GenerationConfig = network.generation_config  # type: ignore[assignment]
        # A checkpoint's own would fill in what the settings of a task leave open.
        network.generation_config = GenerationConfig()  # type: ignore[assignment]
        self.positions: int | None = getattr(text, "max_position_embeddings", None)
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        pad = tokenizer.pad_token_id
        self.processor = ChatProcessor(
            backend=backend,
            template=Template.of(tokenizer, template or tokenizer.get_chat_template()),
            pad=pad if pad is not None else (tokenizer.eos_token_id or 0),
            max_length=min(options.max_length, self.positions or options.max_length),
            overlong=options.overlong,
        )
        self.trials = Trials()

    # --- learning -------------------------------------------------------------------------------

    def encode(self, inputs: Tensors) -> Features:
        """The state of each chat's last token (B, D), which alone has seen all others."""
        states = self._states(inputs)
        samples = inputs["samples"]
        last = (samples >= 0) & (samples != samples.roll(-1, 1))
        last[:, -1] = samples[:, -1] >= 0
        order = samples[last].argsort()
        return Features(states[last][order])

    def learned_nats(self, inputs: Tensors, chunk: int) -> tuple[Tensor, Tensor]:
        """The loss in nats (N,) of each learned token, given those before it in its chat; and the
        chat in the batch (N,) that it belongs to.

        Args:
            chunk: tokens whose logits are computed at a time.
        """
        wanted = self.predicted(inputs)[:, 1:]
        targets, samples = inputs["tokens"][:, 1:][wanted], inputs["samples"][:, 1:][wanted]
        if self._by_head:
            states = self._states(inputs)[:, :-1][wanted]
            logits_of = partial(head_logits, self.network)
            return chunked_nats(states, targets, logits_of, chunk), samples
        logits = self._run(self.network, inputs).logits
        return chunked_nats(logits[:, :-1][wanted], targets, lambda own: own, chunk), samples

    def learned_mean(self, inputs: Tensors, chunk: int) -> Tensor:
        """The mean (scalar) of `learned_nats`, which costs less."""
        if not self._by_head:
            nats, _ = self.learned_nats(inputs, chunk)
            return nats.sum() / max(1, len(nats))
        wanted = self.predicted(inputs)[:, 1:]
        states = self._states(inputs)[:, :-1][wanted]
        head: nn.Module = self.network.get_output_embeddings()
        weights = [own for own in head.parameters() if own.requires_grad]
        targets = inputs["tokens"][:, 1:][wanted]
        return mean_nats(states, targets, partial(head_logits, self.network), chunk, weights)

    def predicted(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(R, L) bool: the learned tokens that have others of their chat before them."""
        return inputs["learned"] & (inputs["positions"] > 0) & (inputs["samples"] >= 0)

    def packed(self, *, join: bool | None, learn: Learn) -> ChatProcessor:
        """The preprocessing for a task.

        Args:
            join: whether chats share rows; None for wherever the network keeps them apart.

        Raises:
            IncompatibleError: they are to share rows, and the network would mix them.
        """
        reason = None if join is False else self._mixes()
        if join and reason is not None:
            raise UnpackableError(reason, f"type {self.config.model_type}")
        join = join is not False and reason is None
        return replace(self.processor, join=join, learn=learn)

    def _states(self, inputs: Tensors) -> Tensor:
        """The last hidden states (R, L, D) of packed rows."""
        if self.network.base_model is self.network:
            output = self._run(self.network, inputs, output_hidden_states=True)
            states: Tensor = output.hidden_states[-1]
        else:
            states = self._run(self.network.base_model, inputs).last_hidden_state
        return states

    def _run(self, module: Any, inputs: Tensors, **more: Any) -> Any:
        """What the network, or a part of it, gives for packed rows."""
        return forward(module, {**self._arguments(inputs), **more})

    def _arguments(self, inputs: Tensors) -> dict[str, Any]:
        """What the network's forward pass is given."""
        # Padding comes last in its row and belongs to no chat, so it needs no mask.
        tokens, positions = inputs["tokens"], inputs["positions"]
        return {"input_ids": tokens, "attention_mask": None, "position_ids": positions}

    @property
    def _by_head(self) -> bool:
        """Whether logits may be computed piece by piece. Tried once, for families differ."""
        if self.trials.by_head is None:
            self.trials.by_head = computes_logits_by_head(self.network)
        return self.trials.by_head

    def _mixes(self) -> str | None:
        """Why chats cannot share a row; None where they can. Tried once."""
        if self.trials.mixes is None:
            self.trials.mixes = self._try_packing() or ""
        return self.trials.mixes or None

    def _try_packing(self) -> str | None:
        return None if keeps_apart(self.network, self._rounding) else MIXES

    @property
    def ignores_padding(self) -> bool:
        """Whether prompts of different lengths may be written after at once. Tried once."""
        if self.trials.ignores_padding is None:
            self.trials.ignores_padding = ignores_padding(self.network, self._rounding)
        return self.trials.ignores_padding

    @property
    def _rounding(self) -> float:
        """By how much of the largest number the same results may differ."""
        return 1e-2 if self.quantized else 1e-4

    # --- writing --------------------------------------------------------------------------------

    @torch.no_grad()
    def write(
        self,
        inputs: Tensors,
        settings: Generation,
        show: Callable[[str], None] | None = None,
    ) -> list[str]:
        """Write an answer for each prompt (B, P), whatever else is in the batch.

        Sampling draws by a seed that follows from each prompt.

        Args:
            show: is told the pieces of a lone answer as they are written.
        """
        inputs = self._prompted(inputs)
        prompts, mask = inputs["prompt"], inputs["prompt_mask"]
        groups = self._groups(mask.sum(1).tolist(), settings)
        if len(groups) > 1:
            answers = {
                k: text
                for rows in groups
                for k, text in zip(rows, self.write(_some(inputs, rows), settings), strict=True)
            }
            return [answers[k] for k in range(len(prompts))]
        room = self.room(settings.max_new_tokens, prompts.shape[1])
        seeds = seeds_of({"tokens": prompts, "mask": mask})
        starts = (prompts.shape[1] - mask.long().sum(1)).tolist()
        arguments = generation_arguments(
            settings, self.writing_config(settings, room), starts, seeds
        )
        if show is not None and settings.num_beams == 1:
            arguments["streamer"] = _Streamer(self.tokenizer, show)
        with quietly(), drawing(settings, seeds[0], prompts.device):
            written: Tensor = self.network.generate(**self._prompts(inputs), **arguments)
        texts = self.tokenizer.batch_decode(
            written[:, prompts.shape[1] :], skip_special_tokens=True
        )
        return [answer_in(text) for text in texts]

    def _groups(self, lengths: Sequence[int], settings: Generation) -> list[list[int]]:
        """Which prompts of these lengths are written after at once."""
        if one_by_one(settings) or not self.ignores_padding:
            return [[k] for k in range(len(lengths))]
        most = [self.room(settings.max_new_tokens, length) for length in lengths]
        return together(lengths, most, self.positions)

    def room(self, most: int, length: int) -> int:
        """How many tokens fit after a prompt of this length, `most` at most and 1 at least."""
        return most if self.positions is None else max(1, min(most, self.positions - length))

    @torch.no_grad()
    def write_each(
        self,
        inputs: Tensors,
        settings: Sequence[Generation],
        seeds: Sequence[int],
        ended: Callable[[Sequence[int]], Sequence[bool]],
    ) -> None:
        """Write an answer for each prompt (B, P), by settings of its own, without beams.

        Args:
            seeds: which of the samples of each prompt is drawn.
            ended: is told the next token of each, and says which of the answers end with it.
        """
        inputs = self._prompted(inputs)
        prompts, mask = inputs["prompt"], inputs["prompt_mask"]
        own = zip(seeds_of({"tokens": prompts, "mask": mask}), seeds, strict=True)
        starts = (prompts.shape[1] - mask.long().sum(1)).tolist()
        most = max(each.max_new_tokens for each in settings)
        with quietly():
            self.network.generate(
                **self._prompts(inputs),
                generation_config=self.writing_config(Generation(), most),
                logits_processor=processors_of_each(
                    settings, starts, [(prompt + seed) % 2**63 for prompt, seed in own]
                ),
                stopping_criteria=StoppingCriteriaList([_Ended(ended)]),
            )

    def references(self, inputs: Tensors) -> list[str]:
        """The last answer of each chat, as the model would write it: as its template renders it."""
        tokens, samples = inputs["tokens"], inputs["samples"]
        lengths = enumerate(self._prompt_lengths(inputs))
        texts = [tokens[samples == k][length:] for k, length in lengths]
        return [answer_in(self.tokenizer.decode(text, skip_special_tokens=True)) for text in texts]

    def _prompt_lengths(self, inputs: Tensors) -> list[int]:
        """How many tokens of each chat stand before its last answer."""
        return inputs["prompt_mask"].sum(1).tolist()

    def _prompted(self, inputs: Tensors) -> Tensors:
        """With "prompt" (B, P), padded on the left, and "prompt_mask"."""
        return inputs

    def _prompts(self, inputs: Tensors) -> dict[str, Tensor]:
        """What is written after, as the network's `generate` takes it."""
        return {"input_ids": inputs["prompt"], "attention_mask": inputs["prompt_mask"].long()}

    def writing_config(self, settings: Generation, most: int) -> GenerationConfig:
        """transformers' settings of writing; it ends with any token that ends an answer."""
        return generation_config(
            settings,
            most,
            pad_token_id=self.processor.pad,
            eos_token_id=self._ends(),
            bos_token_id=self.tokenizer.bos_token_id,
        )

    def _ends(self) -> list[int]:
        """The ids of the tokens by which an answer ends: the template's and the tokenizer's."""
        template = self.processor.template
        ends = [template.first_special(t) for t in (template.tail, template.between)]
        ids = [self.tokenizer.convert_tokens_to_ids(end.strip()) for end in ends if end.strip()]
        advised = self.advice.eos_token_id if self.advice is not None else None
        more = advised if isinstance(advised, list) else [advised]
        found = [*ids, self.tokenizer.eos_token_id, *more]
        return sorted({int(token) for token in found if token is not None})

    def graphs(self) -> Sequence[Graph]:
        """What `write` computes, as graphs with a key-value cache between its steps."""
        return causal_graphs(self.network, vectors=False)

    def adopt(self, runners: Mapping[str, Runner]) -> None:
        """Let runners of these graphs compute in place of the network."""
        self.network = ExportedCausal(self.config, runners, blank(one_step(self.network)))
        # Graphs give logits alone, and remember keys and values of attention, which masks padding.
        padding = self.trials.ignores_padding is not False
        self.trials = replace(self.trials, by_head=False, ignores_padding=padding)

    # --- keeping --------------------------------------------------------------------------------

    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        self.trials.save(folder)
        self.tokenizer.chat_template = self.processor.template.source
        self._save_reader(folder)
        if self.advice is not None:
            save_advice(self.advice, folder)

    def published_model(self, task: Task) -> TransformersModel:
        generation = getattr(task, "generation", None)
        return TransformersModel(
            self,
            self._described(),
            more=self._save_reader,
            generation=None
            if generation is None
            else self.writing_config(generation, generation.max_new_tokens),
        )

    def _described(self) -> Described:
        return Described(
            code=loading(self.loaded_by, tokenizer="AutoTokenizer"),
            note="It answers chats and uses the chat template of its tokenizer.",
            pipeline="text-generation",
        )

    def _save_reader(self, folder: Path) -> None:
        """Write what chats are read by."""
        self.tokenizer.save_pretrained(folder)


def together(lengths: Sequence[int], most: Sequence[int], positions: int | None) -> list[list[int]]:
    """Which chats are answered at once: the longest, and all whose answers end before it would run
    out of positions, since rows that have ended go on beside those that have not.

    Args:
        lengths: tokens of each prompt.
        most: tokens of each answer.
        positions: of the network; None for any number.
    """
    left = sorted(range(len(lengths)), key=lambda k: -lengths[k])
    groups = []
    while left:
        room = None if positions is None else positions - lengths[left[0]]
        first, others = left[0], left[1:]
        fits = [k for k in others if room is None or most[k] <= room]
        groups.append([first, *fits])
        left = [k for k in others if k not in fits]
    return groups


def _some(inputs: Tensors, rows: Sequence[int]) -> Tensors:
    """What is written after for some chats of a batch, padded to the longest of them."""
    width = int(inputs["prompt_mask"][rows].sum(1).max())
    return {name: inputs[name][rows, -width:] for name in ("prompt", "prompt_mask")}


class _Ended(StoppingCriteria):  # type: ignore[misc]
    """Asks which rows have ended."""

    def __init__(self, ended: Callable[[Sequence[int]], Sequence[bool]]) -> None:
        self.ended = ended

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # type: ignore[override]
        return torch.tensor(self.ended(input_ids[:, -1].tolist()), device=input_ids.device)


class _Streamer(TextStreamer):  # type: ignore[misc]
    """Tells of whole words as they are written, without the prompt."""

    def __init__(self, tokenizer: Any, show: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.show = show

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.show(text)


def answer_in(written: str) -> str:
    """What was written, without what was thought before."""
    _, thought, answer = written.rpartition("</think>")
    return (answer if thought else written).strip()
