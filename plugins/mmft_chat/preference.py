"""Preference: which of two answers is better, learned from people's choices.

Losses with a reference need its log-probabilities, that is, those of the model that training starts
from. They are computed beforehand where they can be: of val and test always, of train as
`task.precompute` has it. They are kept with the run, so that it resumes bit by bit, and with its
model, which is evaluated on the run's own data without the reference. On other data the likelihoods
of answers are known, and their rewards are not. A finished model answers prompts as `chat` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmft_chat.backbone import ChatBackbone
from mmft_chat.preference_losses import dpo, ipo, kto, odds_ratio, simpo
from mmft_chat.preference_metrics import rewards
from mmft_chat.preference_options import PreferenceOptions
from mmft_chat.preference_processing import (
    KEYS,
    PreferenceCodec,
    PreferenceProcessor,
    scored_and_crossed,
)
from mmft_chat.reference import Reference, has_adapters
from mmft_chat.task import Chat
from mmft_core.contracts import Batch, Outputs, Processor, Runner, Task, TaskContext, Tensors
from mmft_core.distributed import gathered
from mmft_core.errors import ConfigError, IncompatibleError

_WITHOUT_REFERENCE = ("orpo", "simpo")
_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "label_smoothing": ("dpo", "simpo"),
    "simpo_gamma": ("simpo",),
    "desirable_weight": ("kto",),
    "undesirable_weight": ("kto",),
}
_PLACEHOLDERS = ("image_token", "audio_token", "video_token")


class Preference(Chat):
    """Predictions are {"logps": (B, S) nats, "keys": (B, S)} of scored answers, which
    `PreferenceProcessor` describes, and lists of answers to prompts. Of kto the same of answers
    after other prompts is beside them as "crossed" and "crossed_keys".

    The log-probabilities are sums over an answer's tokens; of orpo and simpo, which have no
    reference, means. Dropout of the network is off, as rewards would be noise otherwise; that of
    adapters is as `engine.lora.dropout` has it, whereas TRL turns it off as well.
    """

    def __init__(
        self, backbone: ChatBackbone, options: PreferenceOptions, reference: Reference
    ) -> None:
        super().__init__(backbone, options)
        self.options, self.reference = options, reference
        by_default = 2.0 if options.loss == "simpo" else 0.1
        self.beta = by_default if options.beta is None else options.beta
        self.preferences = PreferenceProcessor(self.processor, crosses=options.loss == "kto")
        self.codec = PreferenceCodec(self.preferences, loss=options.loss)
        if options.loss == "kto":
            self.compares, self.minimum_batch_size = True, 2
        for module in backbone.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    @property
    def processors(self) -> dict[str, Processor]:
        return {"chat": self.preferences}

    def weight(self, batch: Batch) -> int:
        """The number of samples; of kto that of answers. Where a step has several forward passes,
        the mean loss of orpo's chosen tokens, too, is weighted by samples, not by tokens."""
        keys = batch.inputs["chat"].get(KEYS)
        return len(batch) if keys is None or self.options.loss != "kto" else keys.numel()

    def targets_of(self, batch: Batch) -> Any:
        return batch.targets

    def forward(self, batch: Batch) -> Outputs:
        inputs = batch.inputs["chat"]
        if KEYS not in inputs:
            return Outputs(None, self.model.write(inputs, self.generation))
        scored, crossed, keys = scored_and_crossed(inputs)
        crossed_keys = crossed.pop(KEYS, keys[:0])
        reference, before = self._compared(scored, keys, crossed, crossed_keys)
        if self.training:
            self.reference.trained = True
        logps, lengths, nats = self._answers(scored, keys)
        now = self._crossed(crossed, crossed_keys)
        if self.options.loss in _WITHOUT_REFERENCE:
            logps, reference = logps / lengths, torch.zeros_like(logps)
        elif not self.reference.trained:  # It is its own reference yet.
            reference, before = logps.detach(), now
        drift = self._drift(now - before)
        loss = None
        if batch.targets is not None:
            liked = _liked(batch.targets["desirable"], keys)
            loss = self._loss(logps, lengths, reference, liked, drift) + nats
        if self.training:
            return Outputs(loss)
        if reference.isnan().any() or (self.options.loss == "kto" and drift.isnan()):
            loss = None
        predictions = {"logps": logps, "keys": keys}
        if self.options.loss == "kto":
            unknown = torch.full_like(logps, torch.nan)
            predictions |= {
                "crossed": now if len(now) else unknown,
                "crossed_keys": crossed_keys if len(now) else keys,
            }
        return Outputs(loss, predictions, self._targets(batch, reference))

    def _targets(self, batch: Batch, reference: Tensor) -> Any:
        if batch.targets is None:
            return None
        beta = torch.full_like(reference[:, 0], self.beta)
        return {**batch.targets, "reference": reference, "beta": beta}

    def _loss(
        self, logps: Tensor, lengths: Tensor, reference: Tensor, liked: Tensor, drift: Tensor
    ) -> Tensor:
        """The loss, of orpo without that of the chosen answers themselves; NaN if the reference is
        not known.

        Args:
            logps, lengths, reference: (B, S).
            liked: (B, S) bool.
            drift: scalar, by how many nats answers to other prompts became likelier.
        """
        own, beta, ratios = self.options, self.beta, logps - reference
        chosen, rejected = ratios[:, 0], ratios[:, -1]
        match own.loss:
            case "dpo":
                losses = dpo(chosen, rejected, beta, own.label_smoothing)
            case "ipo":
                losses = ipo(chosen / lengths[:, 0], rejected / lengths[:, -1], beta)
            case "simpo":
                losses = simpo(chosen, rejected, beta, own.simpo_gamma, own.label_smoothing)
            case "orpo":
                losses = beta * odds_ratio(chosen, rejected)
            case "kto":
                weights = own.desirable_weight, own.undesirable_weight
                losses = kto(ratios, liked, drift.clamp(min=0), beta, weights)
        return losses.mean()

    # --- log-probabilities ----------------------------------------------------------------------

    def _answers(self, inputs: Tensors, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities (B, S) and numbers of tokens (B, S) of the scored answers; and for orpo
        the mean loss of a token of the chosen chats, prompts included (else 0)."""
        if self.options.loss != "orpo":
            return (*_sums(self.model, inputs, keys, self.chunk), keys.new_zeros(()).float())
        samples, learned = inputs["samples"], inputs["learned"]
        chosen = (samples >= 0) & (samples < len(keys)) & ~self._holds_places(inputs["tokens"])
        more = {**inputs, "learned": learned | chosen}
        nats, chats = self.model.learned_nats(more, self.chunk)
        wanted = self.model.predicted(more)[:, 1:]
        scored, all_chosen = learned[:, 1:][wanted], chosen[:, 1:][wanted]
        sums, lengths = _by_chat(nats[scored], chats[scored], keys)
        return sums, lengths, nats[all_chosen].mean()

    def _holds_places(self, tokens: Tensor) -> Tensor:
        """Which tokens stand for pictures and recordings, which nobody says."""
        names = (f"{name}_{end}" for name in _PLACEHOLDERS for end in ("id", "index"))
        ids = [getattr(self.model.config, name, None) for name in names]
        return torch.isin(tokens, tokens.new_tensor([i for i in ids if isinstance(i, int)]))

    @torch.no_grad()
    def _compared(
        self, scored: Tensors, keys: Tensor, crossed: Tensors, crossed_keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The reference's log-probabilities (B, S) of the scored answers, and those of the crossed
        ones; NaN where they are not known."""
        found = [self.reference.known(keys), self.reference.known(crossed_keys)]
        lacking = [bool(logps.isnan().any()) for logps in found]
        compares = self.options.loss not in _WITHOUT_REFERENCE
        if compares and any(lacking) and (self.training or self.reference.trained):
            with self.reference.of(self.model, training=self.training) as model:
                for k, (chats, own) in enumerate(((scored, keys), (crossed, crossed_keys))):
                    if model is not None and lacking[k]:
                        logps, _ = _sums(model, chats, own, self.chunk)
                        found[k] = torch.where(found[k].isnan(), logps, found[k])
        return found[0], found[1]

    @torch.no_grad()
    def _crossed(self, crossed: Tensors, keys: Tensor) -> Tensor:
        """The log-probabilities (B, S) of answers after other prompts; (0, S) without them."""
        if not crossed:
            return torch.zeros(keys.shape, device=keys.device)
        return _sums(self.model, crossed, keys, self.chunk)[0]

    def _drift(self, ratios: Tensor) -> Tensor:
        """By how many nats answers after other prompts became likelier, in the mean of those of
        all processes; 0 without any."""
        if self.training and self.options.loss == "kto":
            (ratios,), _ = gathered(ratios)
        return ratios.mean() if len(ratios) else ratios.new_zeros(())

    # --- the reference --------------------------------------------------------------------------

    def reference_splits(self, splits: Collection[str]) -> Collection[str]:
        if self.options.loss in _WITHOUT_REFERENCE:
            return ()
        return [split for split in splits if split != "train" or self._precomputes]

    def remember(self, predictions: Any, targets: Any) -> None:
        self.reference.remember(predictions["keys"], predictions["logps"])
        if "crossed" in predictions:
            self.reference.remember(predictions["crossed_keys"], predictions["crossed"])

    def reference_model(self) -> nn.Module | None:
        needless = self.options.loss in _WITHOUT_REFERENCE or self._precomputes
        return None if needless or has_adapters(self.model) else self.reference.copy(self.model)

    @property
    def _precomputes(self) -> bool:
        """Whether log-probabilities of train are computed beforehand. Those of crossed answers
        cannot be, because which samples share a batch is not known."""
        if self.options.loss == "kto":
            return False
        wanted = self.options.precompute
        return not has_adapters(self.model) if wanted is None else wanted

    def save_assets(self, folder: Path) -> None:
        if self.options.loss not in _WITHOUT_REFERENCE:
            self.reference.save(folder)

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        super().adopt(runners)
        self.preferences.inner = self.processor
        return self

    # --- records --------------------------------------------------------------------------------

    def decode(self, predictions: Any, top_k: int = 1) -> list[dict[str, Any]]:
        if not isinstance(predictions, Mapping):
            return super().decode(predictions, top_k)
        rows = predictions["logps"].tolist()
        names = ("chosen_logp", "rejected_logp") if len(rows[0]) == 2 else ("logp",)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def rank(self, predictions: Any, targets: Any) -> dict[str, Tensor]:
        """By how far the reward is from what was preferred."""
        if "reference" not in targets:
            return {}
        found = rewards(predictions, targets)
        liked = _liked(targets["desirable"], found)
        margin = torch.where(liked, found, -found).sum(1)
        lacking = margin.isnan()
        return {
            "Most wrong": (-margin).masked_fill(lacking, -torch.inf),
            "Most right": margin.masked_fill(lacking, -torch.inf),
        }


def build(options: PreferenceOptions, context: TaskContext) -> Preference:
    """Build the task on a chat backbone.

    Raises:
        ConfigError: an option is given that the loss does not have.
        IncompatibleError: the loss compares two answers, and the data have single ones.
    """
    _check(options, context)
    backbone = context.backbones["chat"]
    assert isinstance(backbone, ChatBackbone)
    reference = Reference(trained=context.train is None or context.assets is not None)
    if context.assets is not None and options.loss not in _WITHOUT_REFERENCE:
        reference.load(context.assets)
    return Preference(backbone, options, reference)


def _check(options: PreferenceOptions, context: TaskContext) -> None:
    plain = PreferenceOptions()
    for name, losses in _ONLY_FOR.items():
        if getattr(options, name) != getattr(plain, name) and options.loss not in losses:
            raise ConfigError(
                f"task.{name} is an option of {' and '.join(losses)}, but task.loss is "
                f"'{options.loss}'.",
                hint="Leave it out, or choose another loss.",
            )
    if options.precompute and options.loss not in ("dpo", "ipo"):
        reason = (
            "also compares answers with the prompts of other samples of the batch, which are not "
            "known in advance"
            if options.loss == "kto"
            else "has no reference"
        )
        raise ConfigError(
            f"task.precompute cannot be used with task.loss = '{options.loss}', which {reason}.",
            hint="Leave it out.",
        )
    train = context.train
    if train is not None and len(train) and "label" in train.target(0) and options.loss != "kto":
        raise IncompatibleError(
            f"task.loss = '{options.loss}' compares two answers to a prompt, but the data have "
            "single answers with a label.",
            hint="Give --set task.loss=kto, or data with chosen and rejected answers.",
        )


def _sums(model: ChatBackbone, inputs: Tensors, keys: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """The log-probabilities (B, S) and the numbers of tokens (B, S) of answers."""
    return _by_chat(*model.learned_nats(inputs, chunk), keys)


def _by_chat(nats: Tensor, chats: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of the tokens of each chat, which are the same in every run, unlike those of scatter."""
    own = chats == torch.arange(keys.numel(), device=chats.device)[:, None]
    sums, lengths = -torch.where(own, nats, 0.0).sum(1), own.sum(1)
    sides, samples = keys.shape[1], len(keys)
    return sums.view(sides, samples).T, lengths.view(sides, samples).T


def _liked(desirable: Tensor, answers: Tensor) -> Tensor:
    """(B, S) which answers are liked: of two the first, of single ones those that are labelled so.

    Args:
        answers: (B, S) of any type.
    """
    if answers.shape[1] == 1:
        return desirable[:, None]
    return torch.tensor([True, False], device=answers.device).expand(answers.shape)
