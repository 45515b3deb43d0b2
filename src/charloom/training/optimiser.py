"""Muon on the recurrent matrices, gate by gate, and AdamW on the rest; or plain Adam, as in the lesson."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from charloom.training.config import TrainConfig
from charloom.training.network import Network

MOMENTUM = 0.95  # of Muon's running gradient, with Nesterov's look ahead
BETAS = (0.9, 0.99)  # AdamW's: gradients of short runs on one text settle faster than 0.999 allows
QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest at zero among quintics that stay near one (Jordan et al. 2024)
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


class Muon:
    """Momentum whose every gate block is made orthogonal before it is added.

    Before that, a share `decay` of the rate is taken off the weights (Loshchilov and Hutter 2019): no
    singular value can grow beyond about 1 / decay.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], gates: int, rate: float, decay: float = 0.0
    ) -> None:
        self._parameters = parameters
        self._gates = gates
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
            blocks = ahead.view(self._gates, -1, ahead.shape[1])  # (G, H, I)
            taller = max(1.0, blocks.shape[1] / blocks.shape[2]) ** 0.5
            parameter.mul_(1 - self._rate * fraction * self._decay)
            parameter.add_(orthogonalised(blocks).view_as(parameter), alpha=-self._rate * fraction * taller)


class Optimiser:
    """All the parameters' updates, at one fraction of their full rates; its state is named tensors."""

    def __init__(self, network: Network, config: TrainConfig) -> None:
        parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
        recurrent = {
            name: p for name, p in parameters.items() if config.optimiser == "muon" and is_recurrent(name)
        }
        self._rest = {name: p for name, p in parameters.items() if name not in recurrent}
        self._all = list(parameters.values())
        self._clip = config.clip
        self._rate = config.rate
        self._muon = Muon(recurrent, network.config.gates, config.muon_rate, config.muon_decay)
        if config.optimiser == "adam":
            self._adam: torch.optim.Optimizer = torch.optim.Adam(self._rest.values(), config.rate)
        else:
            matrices = [p for p in self._rest.values() if p.ndim > 1]
            vectors = [p for p in self._rest.values() if p.ndim == 1]
            groups = [
                {"params": matrices, "weight_decay": config.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ]
            self._adam = torch.optim.AdamW(groups, config.rate, BETAS)
        for parameter in self._rest.values():  # what torch would make at the first step
            self._adam.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def zero_gradients(self) -> None:
        """Forget the last step's gradients."""
        for parameter in self._all:
            parameter.grad = None

    def step(self, fraction: float) -> float:
        """Clip, then update at `fraction` of the full rates; returns the gradient's norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self._all, self._clip or float("inf"))
        for group in self._adam.param_groups:
            group["lr"] = self._rate * fraction
        self._adam.step()
        self._muon.step(fraction)
        return float(norm)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on."""
        return dict(self._tensors())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Back to a saved `state`, in place."""
        for name, tensor in self._tensors():
            tensor.copy_(state[name])

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._rest.items():
            for key, value in self._adam.state[parameter].items():
                yield f"{name}.{key}", value
        for name, value in self._muon.momentum.items():
            yield f"{name}.momentum", value


def is_recurrent(name: str) -> bool:
    """Whether Muon takes this weight: what maps hidden values to hidden values."""
    return name.endswith("weight_hidden") or (
        name.endswith("weight_input") and name != "layers.0.weight_input"
    )
