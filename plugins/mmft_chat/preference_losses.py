"""The losses of preferences, from log-probabilities of answers.

They and their names of constants are those of TRL, whose trainers compute the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def dpo(chosen: Tensor, rejected: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Direct preference optimization (Rafailov et al., 2023, equation 7).

    With label smoothing it is the conservative form (Mitchell, 2023, "A note on DPO with noisy
    preferences and relationship to IPO").

    Args:
        chosen, rejected: (B,) by how many nats each answer is likelier than for the reference.

    Returns:
        (B,) the loss of each pair.
    """
    return _sigmoid(beta * (chosen - rejected), label_smoothing)


def ipo(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """Identity preference optimization (Azar et al., 2023, equation 17, where beta is tau).

    Args:
        chosen, rejected: (B,) as of `dpo`, for each token of the answer on average.
    """
    return (chosen - rejected - 1 / (2 * beta)) ** 2


def simpo(
    chosen: Tensor, rejected: Tensor, beta: float, gamma: float, label_smoothing: float = 0.0
) -> Tensor:
    """Simple preference optimization (Meng et al., 2024, equation 6).

    Args:
        chosen, rejected: (B,) log-probabilities for each token of the answer on average.
    """
    return _sigmoid(beta * (chosen - rejected) - gamma, label_smoothing)


def odds_ratio(chosen: Tensor, rejected: Tensor) -> Tensor:
    """The part of ORPO that compares answers (Hong et al., 2024, equation 7).

    Args:
        chosen, rejected: (B,) log-probabilities for each token of the answer on average.
    """
    odds = (chosen - rejected) - (_log_of_rest(chosen) - _log_of_rest(rejected))
    return -F.logsigmoid(odds)


def kto(
    ratios: Tensor, desirable: Tensor, kl: Tensor, beta: float, weights: tuple[float, float]
) -> Tensor:
    """Kahneman-Tversky optimization (Ethayarajh et al., 2024, equation 7).

    Args:
        ratios: (N,) by how many nats each answer is likelier than for the reference.
        desirable: (N,) bool.
        kl: scalar, an estimate of how far the model is from the reference, at least 0; of several
            processes each has its own.
        weights: of desirable and undesirable answers.
    """
    value = torch.sigmoid(beta * torch.where(desirable, ratios - kl, kl - ratios))
    weight = torch.where(desirable, ratios.new_tensor(weights[0]), ratios.new_tensor(weights[1]))
    return weight * (1 - value)


def _sigmoid(logits: Tensor, label_smoothing: float) -> Tensor:
    wrong = -F.logsigmoid(-logits) * label_smoothing
    return -F.logsigmoid(logits) * (1 - label_smoothing) + wrong


def _log_of_rest(logs: Tensor) -> Tensor:
    """log(1 - exp(x)) of x < 0, as Maechler (2012) computes it without cancellation."""
    near = logs > -math.log(2)
    one = torch.log(-torch.expm1(torch.where(near, logs, -1.0)))
    other = torch.log1p(-torch.exp(torch.where(near, -1.0, logs)))
    return torch.where(near, one, other)
