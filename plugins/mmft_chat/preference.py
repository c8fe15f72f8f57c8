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
    `PreferenceProcessor` describes, and lists of answers to prompts.

    The log-probabilities are sums over an answer's tokens; of orpo and simpo, which have no
    reference, means. Dropout of the network is off, as rewards would be noise otherwise.
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
        """The number of samples; of kto that of answers."""
        keys = batch.inputs["chat"].get(KEYS)
        return len(batch) if keys is None or self.options.loss != "kto" else keys.numel()

    def targets_of(self, batch: Batch) -> Any:
        return batch.targets

    def forward(self, batch: Batch) -> Outputs:
        inputs = batch.inputs["chat"]
        if KEYS not in inputs:
            return Outputs(None, self.model.write(inputs, self.generation))
        scored, crossed, keys = scored_and_crossed(inputs)
        reference, drift = self._compared(scored, crossed, keys)
        if self.training:
            self.reference.trained = True
        logps, lengths, nats = self._answers(scored, keys)
        if self.options.loss in _WITHOUT_REFERENCE:
            logps, reference = logps / lengths, torch.zeros_like(logps)
        elif not self.reference.trained:  # It is its own reference yet.
            reference, drift = logps.detach(), logps.new_zeros(())
        loss = None
        if batch.targets is not None:
            liked = _liked(batch.targets["desirable"], keys)
            loss = self._loss(logps, lengths, reference, liked, drift) + nats
        if self.training:
            return Outputs(loss)
        if reference.isnan().any() or (self.options.loss == "kto" and drift.isnan()):
            loss = None
        predictions = {"logps": logps, "keys": keys}
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
        own, all_chosen = learned[:, 1:][wanted], chosen[:, 1:][wanted]
        sums, lengths = _by_chat(nats[own], chats[own], keys)
        return sums, lengths, nats[all_chosen].mean()

    def _holds_places(self, tokens: Tensor) -> Tensor:
        """Which tokens stand for pictures and recordings, which nobody says."""
        names = (f"{name}_{end}" for name in _PLACEHOLDERS for end in ("id", "index"))
        ids = [getattr(self.model.config, name, None) for name in names]
        return torch.isin(tokens, tokens.new_tensor([i for i in ids if isinstance(i, int)]))

    @torch.no_grad()
    def _compared(self, scored: Tensors, crossed: Tensors, keys: Tensor) -> tuple[Tensor, Tensor]:
        """The reference's log-probabilities (B, S) of the scored answers, and the drift (scalar) of
        the crossed ones; NaN where they are not known."""
        known = self.reference.known(keys)
        unknown = torch.full((), torch.nan, device=keys.device)
        if self.options.loss in _WITHOUT_REFERENCE or not (self.training or self.reference.trained):
            return known, unknown
        crosses = self.options.loss == "kto"
        if not crosses and not known.isnan().any():
            return known, unknown
        drift = known.new_zeros(()) if crosses and not crossed else unknown
        with self.reference.of(self.model, training=self.training) as model:
            if model is None:
                return known, drift
            if known.isnan().any():
                found, _ = _sums(model, scored, keys, self.chunk)
                known = torch.where(known.isnan(), found, known)
            if crossed:
                before, _ = _sums(model, crossed, keys, self.chunk)
        if crossed:
            now, _ = _sums(self.model, crossed, keys, self.chunk)
            drift = (now - before).mean()
        return known, drift

    # --- the reference --------------------------------------------------------------------------

    def reference_splits(self, splits: Collection[str]) -> Collection[str]:
        if self.options.loss in _WITHOUT_REFERENCE:
            return ()
        return [split for split in splits if split != "train" or self._precomputes]

    def remember(self, predictions: Any, targets: Any) -> None:
        self.reference.remember(predictions["keys"].flatten(), predictions["logps"].flatten())

    def reference_model(self) -> nn.Module | None:
        needless = self.options.loss in _WITHOUT_REFERENCE or self._precomputes
        return None if needless or has_adapters(self.model) else self.reference.copy(self.model)

    @property
    def _precomputes(self) -> bool:
        """Whether log-probabilities of train are computed beforehand. Those of crossed answers
        cannot be, for who meets in a batch is not known."""
        if self.options.loss == "kto":
            return False
        wanted = self.options.precompute
        return not has_adapters(self.model) if wanted is None else wanted

    def save_assets(self, folder: Path) -> None:
        if self.options.loss not in _WITHOUT_REFERENCE:
            self.reference.save(folder)

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        super().adopt(runners)
        self.preferences.chat = self.processor
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
