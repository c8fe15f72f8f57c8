"""Causal language models that chat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, TextStreamer
from transformers.generation.streamers import BaseStreamer

from mmft_chat.learned import Learn
from mmft_chat.loss import chunked_nats
from mmft_chat.options import ChatBackboneOptions
from mmft_chat.processing import ChatProcessor
from mmft_chat.templates import Template
from mmft_core.config import Generation
from mmft_core.contracts import (
    BackboneContext,
    Features,
    Graph,
    Runner,
    Split,
    Task,
    Tensors,
)
from mmft_core.errors import ConfigError, IncompatibleError, SampleError, WeightsError, first_line
from mmft_core.weights import LoadedWeights
from mmft_transformers.building import Builder
from mmft_transformers.caches import blank
from mmft_transformers.checkpoints import Checkpoint, load_network, make_network
from mmft_transformers.choosing import seeds_of
from mmft_transformers.exported import ExportedCausal
from mmft_transformers.generation import (
    drawing,
    generation_arguments,
    generation_config,
    one_by_one,
    read_advice,
    save_advice,
)
from mmft_transformers.graphs import causal_graphs, one_step
from mmft_transformers.network import TransformersBackbone
from mmft_transformers.published_models import Described, TransformersModel, loading
from mmft_transformers.quiet import quietly
from mmft_transformers.sizes import chosen_size
from mmft_transformers.steps import accepted
from mmft_transformers.tokenizers import train

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ (message['content'] or '') }}"
    "{% for call in message['tool_calls'] or [] %}"
    "{{ '<tool_call>' + (call['function'] | tojson) + '</tool_call>' }}"
    "{% endfor %}{{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The template of models that start from random weights, in the manner of ChatML."""

_START, _END = "<|im_start|>", "<|im_end|>"

_LLAMA = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "tie_word_embeddings": True,
}


class ChatBackbone(TransformersBackbone):
    """A causal language model with its tokenizer and its chat template.

    Attributes:
        advice: what a checkpoint says of generation.
    """

    auto: Any = AutoModelForCausalLM
    loaded_by = "AutoModelForCausalLM"
    task_type = "CAUSAL_LM"
    processor: ChatProcessor

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Any,
        options: ChatBackboneOptions,
        *,
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
        source = template_source(tokenizer, options) if template is None else template
        pad = tokenizer.pad_token_id
        self.processor = ChatProcessor(
            backend=backend,
            template=Template.of(tokenizer, source),
            pad=pad if pad is not None else (tokenizer.eos_token_id or 0),
            max_length=min(options.max_length, self.positions or options.max_length),
            overlong=options.overlong,
        )
        self._head_alone: bool | None = None

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
        if self._computes_logits_by_head():
            states = self._states(inputs)[:, :-1][wanted]
            return chunked_nats(states, targets, self._logits, chunk), samples
        logits = self._forward(self.network, self._arguments(inputs)).logits
        return chunked_nats(logits[:, :-1][wanted], targets, lambda own: own, chunk), samples

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
        if join is None:
            join = self._keeps_apart()
        elif join and not self._keeps_apart():
            raise IncompatibleError(
                f"A network of type {self.config.model_type} mixes chats that share a row.",
                hint="Give each a row of its own: --set task.packing=false",
            )
        return replace(self.processor, join=join, learn=learn)

    def _states(self, inputs: Tensors) -> Tensor:
        """The last hidden states (R, L, D) of packed rows."""
        states: Tensor = self._forward(
            self.network.base_model, self._arguments(inputs)
        ).last_hidden_state
        return states

    def _arguments(self, inputs: Tensors) -> dict[str, Any]:
        """What the network's forward pass is given."""
        # Padding comes last in its row and belongs to no chat, so it needs no mask.
        tokens, positions = inputs["tokens"], inputs["positions"]
        return {"input_ids": tokens, "attention_mask": None, "position_ids": positions}

    def _forward(self, module: Any, arguments: Mapping[str, Any]) -> Any:
        known = accepted(module.forward, position_ids=None, use_cache=None)
        given = {n: t for n, t in arguments.items() if n != "position_ids" or n in known}
        with quietly():
            return module(**given, **({"use_cache": False} if "use_cache" in known else {}))

    def _logits(self, states: Tensor) -> Tensor:
        """From states (N, D) to logits (N, V), scaled as some families do."""
        config = self.config.get_text_config()
        logits: Tensor = self.network.get_output_embeddings()(states)
        divisor, factor = (
            getattr(config, "logits_scaling", None),
            getattr(config, "logit_scale", None),
        )
        cap = getattr(config, "final_logit_softcapping", None)
        logits = logits / divisor if divisor else logits
        logits = logits * factor if factor else logits
        return cap * torch.tanh(logits / cap) if cap else logits

    @torch.no_grad()
    def _computes_logits_by_head(self) -> bool:
        """Whether the network's logits are what its output layer makes of the last states, so that
        they may be computed piece by piece. Tried once, for families differ."""
        if self._head_alone is None:
            head = self.network.get_output_embeddings()
            if head is None or head.weight.device.type == "meta":
                return head is not None
            tokens = torch.arange(8, device=head.weight.device)[None]
            training = self.network.training
            self.network.eval()
            given = {"input_ids": tokens, "position_ids": tokens}
            states = self._forward(self.network.base_model, given).last_hidden_state
            logits = self._forward(self.network, given).logits
            self.network.train(training)
            own = self._logits(states)
            rounding = 1e-4 if logits.dtype == torch.float32 else 2e-2
            same = own.shape == logits.shape
            self._head_alone = same and bool(
                (own - logits).abs().max() <= rounding * logits.abs().max()
            )
        return self._head_alone

    @torch.no_grad()
    def _keeps_apart(self) -> bool:
        """Whether a chat's logits stay the same behind another one and before a third.

        transformers tells from positions that begin anew where another begins, but not for all
        its networks; those pass over it in silence.
        """
        device = self.network.get_input_embeddings().weight.device
        if device.type == "meta":
            return True  # Of an export, whose run was asked.
        first, text, last = torch.arange(24, device=device).view(3, 8)
        rows = torch.stack([torch.cat([first, text]), torch.cat([text, last])])
        positions = torch.arange(8, device=device).repeat(2, 2)
        training = self.network.training
        self.network.eval()
        both = {"input_ids": rows, "position_ids": positions}
        one = {"input_ids": text[None], "position_ids": positions[:1, :8]}
        logits = self._forward(self.network, both).logits.float()
        alone = self._forward(self.network, one).logits.float()[0]
        self.network.train(training)
        rounding = (1e-2 if self.quantized else 1e-4) * alone.abs().max()
        return all(
            bool((own - alone).abs().max() <= rounding) for own in (logits[0, 8:], logits[1, :8])
        )

    # --- writing --------------------------------------------------------------------------------

    @torch.no_grad()
    def write(
        self,
        inputs: Tensors,
        settings: Generation,
        show: Callable[[str], None] | BaseStreamer | None = None,
        seed: int = 0,
    ) -> list[str]:
        """Write an answer for each prompt (B, P).

        Sampling draws by a seed that follows from each prompt, whatever else is in the batch.

        Args:
            show: is told the pieces of a lone answer as they are written; a streamer of
                transformers, its tokens.
            seed: which of the samples of each prompt is drawn.
        """
        prompts, mask = inputs["prompt"], inputs["prompt_mask"]
        if one_by_one(settings) and len(prompts) > 1:
            rows = (self._alone(inputs, k) for k in range(len(prompts)))
            return [self.write(row, settings, seed=seed)[0] for row in rows]
        room = settings.max_new_tokens
        if self.positions is not None:
            room = max(1, min(room, self.positions - prompts.shape[1]))
        seeds = [(own + seed) % 2**63 for own in seeds_of({"tokens": prompts, "mask": mask})]
        starts = (prompts.shape[1] - mask.long().sum(1)).tolist()
        arguments = generation_arguments(
            settings, self.writing_config(settings, room), starts, seeds
        )
        if show is not None and settings.num_beams == 1:
            told = show if isinstance(show, BaseStreamer) else _Streamer(self.tokenizer, show)
            arguments["streamer"] = told
        with quietly(), drawing(settings, seeds[0], prompts.device):
            written: Tensor = self.network.generate(**self._prompts(inputs), **arguments)
        texts = self.tokenizer.batch_decode(
            written[:, prompts.shape[1] :], skip_special_tokens=True
        )
        return [answer_in(text) for text in texts]

    def references(self, inputs: Tensors) -> list[str]:
        """The last answer of each chat, as the model would write it: as its template renders it."""
        tokens, samples = inputs["tokens"], inputs["samples"]
        lengths = enumerate(self._prompt_lengths(inputs))
        texts = [tokens[samples == k][length:] for k, length in lengths]
        return [answer_in(self.tokenizer.decode(text, skip_special_tokens=True)) for text in texts]

    def _prompt_lengths(self, inputs: Tensors) -> list[int]:
        """How many tokens of each chat stand before its last answer."""
        return inputs["prompt_mask"].sum(1).tolist()

    def _alone(self, inputs: Tensors, k: int) -> Tensors:
        """What is written after for one chat of a batch."""
        return {name: inputs[name][k : k + 1] for name in ("prompt", "prompt_mask")}

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

    # --- keeping --------------------------------------------------------------------------------

    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        self.tokenizer.chat_template = self.processor.template.source
        self.tokenizer.save_pretrained(folder)
        if self.advice is not None:
            save_advice(self.advice, folder)

    def published_model(self, task: Task) -> TransformersModel:
        generation = getattr(task, "generation", None)
        return TransformersModel(
            self,
            Described(
                code=loading(self.loaded_by, tokenizer="AutoTokenizer"),
                note="It answers chats, by the chat template of its tokenizer.",
                pipeline="text-generation",
            ),
            more=lambda folder: self.tokenizer.save_pretrained(folder),
            generation=None
            if generation is None
            else self.writing_config(generation, generation.max_new_tokens),
        )


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


@dataclass(frozen=True)
class ChatBuilder(Builder[ChatBackbone]):
    """How a chat backbone is built."""

    def empty(self, checkpoint: Checkpoint) -> ChatBackbone:
        network: Any = make_network(AutoModelForCausalLM, checkpoint.config())
        advice = read_advice(checkpoint.folder)
        if advice is not None:
            network.generation_config = advice
        return ChatBackbone(network, checkpoint.tokenizer(), self.options)

    def filled(
        self, checkpoint: Checkpoint, loaded: LoadedWeights
    ) -> tuple[ChatBackbone, LoadedWeights]:
        config, tokenizer = checkpoint.config(), checkpoint.tokenizer()
        template_source(tokenizer, self.options)  # Before weights are read.
        network = load_network(AutoModelForCausalLM, checkpoint, config, self.quantization())
        backbone = ChatBackbone(network, tokenizer, self.options)
        backbone.quantized = self.options.load_bits is not None
        return backbone, loaded

    def random(self, loaded: LoadedWeights) -> tuple[ChatBackbone, LoadedWeights]:
        """With a tokenizer of its own."""
        context, options = self.context, self.options
        tokenizer = random_tokenizer(context.train, options.vocabulary)
        tokenizer.chat_template = CHATML
        config, loaded = chosen_size(AutoConfig.for_model("llama", **_LLAMA), options, loaded)
        config.vocab_size = options.vocabulary if context.train is None else len(tokenizer)
        for role in ("pad", "bos", "eos"):
            setattr(config, f"{role}_token_id", getattr(tokenizer, f"{role}_token_id"))
        return ChatBackbone(make_network(AutoModelForCausalLM, config), tokenizer, options), loaded

    def quantization(self) -> Any:
        """The configuration of weights in few bits; None for full precision."""
        bits = self.options.load_bits
        if bits is None:
            return None
        from mmft_core.utils import require_extra
        from mmft_text.quantization import quantization

        option = f"backbone.load_bits = {bits}"
        if not torch.cuda.is_available():
            raise ConfigError(
                f"{option} needs a CUDA GPU, which this machine does not have.",
                hint="Leave it out to load in 32 bits.",
            )
        require_extra(option, "quantize")
        return quantization(bits)


def random_tokenizer(split: Split | None, vocabulary: int, *special: str) -> Any:
    """A tokenizer trained on all that is said in a split, with the tokens of ChatML.

    Args:
        special: other tokens that stand for themselves.
    """
    tokens = [_START, _END, *special]
    tokenizer = train(_texts(split), vocabulary - len(tokens), "causal")
    tokenizer.add_special_tokens({"eos_token": _END, "additional_special_tokens": tokens})
    return tokenizer


def build_chat_lm(options: ChatBackboneOptions, context: BackboneContext) -> ChatBackbone:
    """Any causal language model of transformers.

    Raises:
        WeightsError: the weights cannot be had, or have no chat template.
    """
    return ChatBuilder(None, options, context).build()


def _texts(split: Split | None) -> Iterator[str]:
    """All that is said in a split, and by whom; of chats that cannot be read the check tells."""
    for index in range(0 if split is None else len(split)):
        try:
            chat = split.input(index, "chat")  # type: ignore[union-attr]
        except SampleError:
            continue
        for message in (*chat.messages, *chat.rejected):
            yield from (message.role, message.answer)


def template_source(tokenizer: Any, options: ChatBackboneOptions) -> str:
    """The chat template that is used.

    Raises:
        ConfigError: the file that the options name cannot be read.
        WeightsError: there is none.
    """
    if options.chat_template is not None:
        path = Path(options.chat_template).expanduser()
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The chat template {path} cannot be read: {first_line(error)}."
            ) from None
    try:
        source: str = tokenizer.get_chat_template()
    except ValueError:
        raise WeightsError(
            f"The tokenizer in {tokenizer.name_or_path} has no chat template.",
            hint="Give one: --set backbone.chat_template=FILE.jinja, or choose weights that are "
            "tuned for chats (their names mostly end with 'instruct' or 'it').",
        ) from None
    return source
