"""Muon on the recurrent matrices, by parts of gates; AdamW on the rest; or plain Adam, as in the lesson."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from charloom.model.config import GATES, Cell
from charloom.training.config import TrainConfig
from charloom.training.network import Network

MOMENTUM = 0.95  # of Muon's running gradient, with Nesterov's look ahead
BETAS = (0.9, 0.99)  # AdamW's: gradients of short runs on one text settle faster than 0.999 allows
LESSON_BETAS = (0.9, 0.999)  # Adam's own
EPSILON = 1e-8  # Adam's own, too
QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest at zero among quintics that stay near one (Jordan et al. 2024)
QUARTERS = 4  # parts of a gate: whole gates learn no better, and cost five times as much (docs/log.md)
ROUNDS = 3  # of the five usual: no worse in any text we tried, and a tenth of a step saved (docs/log.md)


def orthogonalised(blocks: Tensor) -> Tensor:
    """Near the nearest (semi-)orthogonal matrix to each (N, M, K) block: large singular values come near one.

    A few Newton–Schulz rounds X ← aX + (bA + cA²)X with A = XXᵀ, in bfloat16 (Jordan et al., "Muon: an
    optimizer for hidden layers in neural networks", 2024).
    """
    a, b, c = QUINTIC
    x = blocks.bfloat16()
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(blocks)


def blocks_of(cell: Cell, hidden: int) -> int:
    """Blocks of a recurrent matrix that are made orthogonal apart: quarters of gates, where these divide."""
    return GATES[cell] * math.gcd(hidden, QUARTERS)


class Muon:
    """Momentum whose every block of rows is made orthogonal before it is added.

    Before that, a share `decay` of the rate is taken off the weights (Loshchilov and Hutter 2019): no
    singular value can grow beyond about 1 / decay.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], blocks: int, rate: float, decay: float = 0.0
    ) -> None:
        self._parameters = parameters
        self._blocks = blocks
        self._rate = rate
        self._decay = decay
        self.momentum = {name: torch.zeros_like(value) for name, value in parameters.items()}

    @torch.no_grad()
    def step(self, fraction: float) -> None:
        """One update at `fraction` of the full rate."""
        for name, parameter in self._parameters.items():
            gradient = cast(Tensor, parameter.grad)
            momentum = self.momentum[name]
            momentum.lerp_(gradient, 1 - MOMENTUM)
            ahead = gradient.lerp(momentum, MOMENTUM)
            blocks = ahead.view(self._blocks, -1, ahead.shape[1])  # rows of one block, I
            taller = max(1.0, blocks.shape[1] / blocks.shape[2]) ** 0.5
            parameter.mul_(1 - self._rate * fraction * self._decay)
            parameter.add_(orthogonalised(blocks).view_as(parameter), alpha=-self._rate * fraction * taller)


class Adam:
    """AdamW (I. Loshchilov, F. Hutter 2019); Adam (D. P. Kingma, J. Ba 2015) where nothing decays.

    What torch.optim computes, in its order; that would first load torch's compiler, a second of every start.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        rate: float,
        betas: tuple[float, float],
        decay: float,
    ) -> None:
        self._parameters = parameters
        self._rate, self._betas = rate, betas
        self._decay = {name: decay if value.ndim > 1 else 0.0 for name, value in parameters.items()}
        self.state = {
            name: {"step": torch.zeros(()), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            for name, p in parameters.items()
        }

    @torch.no_grad()
    def step(self, fraction: float) -> None:
        """One update at `fraction` of the full rate."""
        rate, (first, second) = self._rate * fraction, self._betas
        for name, parameter in self._parameters.items():
            if (gradient := parameter.grad) is None:
                continue
            count, mean, square = self.state[name].values()
            count += 1
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            parameter.mul_(1 - rate * self._decay[name])
            root = square.sqrt() / (1 - second ** count.item()) ** 0.5
            parameter.addcdiv_(mean, root.add_(EPSILON), value=-rate / (1 - first ** count.item()))


class Optimiser:
    """All the parameters' updates, at one fraction of their full rates; its state is named tensors."""

    def __init__(self, network: Network, config: TrainConfig) -> None:
        parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
        recurrent = {
            name: p for name, p in parameters.items() if config.optimiser == "muon" and is_recurrent(name)
        }
        rest = {name: p for name, p in parameters.items() if name not in recurrent}
        self._all = list(parameters.values())
        self._clip = config.clip
        blocks = blocks_of(network.config.cell, network.config.hidden)
        self._muon = Muon(recurrent, blocks, config.muon_rate, config.muon_decay)
        lesson = config.optimiser == "adam"
        betas, decay = (LESSON_BETAS, 0.0) if lesson else (BETAS, config.weight_decay)
        self._adam = Adam(rest, config.rate, betas, decay)

    def zero_gradients(self) -> None:
        """Forget the last step's gradients."""
        for parameter in self._all:
            parameter.grad = None

    def step(self, fraction: float) -> Tensor:
        """Clip, then update at `fraction` of the full rates; returns the gradient's norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self._all, self._clip or float("inf"))
        self._adam.step(fraction)
        self._muon.step(fraction)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on."""
        return dict(self._tensors())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Back to a saved `state`, in place."""
        for name, tensor in self._tensors():
            tensor.copy_(state[name])

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, state in self._adam.state.items():
            for key, value in state.items():
                yield f"{name}.{key}", value
        for name, value in self._muon.momentum.items():
            yield f"{name}.momentum", value


def is_recurrent(name: str) -> bool:
    """Whether Muon takes this weight: what maps hidden values to hidden values."""
    return name.endswith("weight_hidden") or (
        name.endswith("weight_input") and name != "layers.0.weight_input"
    )
