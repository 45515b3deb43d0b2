"""The network, its optimiser and the states that it carries; `step` is one optimisation step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from charloom.training.batches import UNCOUNTED, Batch
from charloom.training.device import Place
from charloom.training.network import Network
from charloom.training.optimiser import Optimiser
from charloom.training.ranks import Ranks


class Learner:
    """Everything that a step changes. Of a batch's rows, and of their states, it holds its rank's own."""

    def __init__(self, network: Network, optimiser: Optimiser, place: Place, seed: int, ranks: Ranks) -> None:
        self.network = network
        self.optimiser = optimiser
        self.state = network.zero_state(0)
        self._place = place
        self._seed = seed
        self._ranks = ranks
        self._rows = 0  # of the last batch, those of all ranks
        self._losses: list[Tensor] = []

    def step(self, step: int, batch: Batch, fraction: float) -> int:
        """Read a batch, follow the gradient at `fraction` of the full rate; the number of targets.

        Dropout is drawn from (seed, step, rank) alone.
        """
        device = self._place.device
        self._rows = len(batch.inputs)
        own = self._ranks.rows(self._rows)
        inputs, targets, fresh, condition = (
            torch.from_numpy(array[own]).to(device)
            for array in (batch.inputs, batch.targets, batch.fresh, batch.condition)
        )
        if self.state.shape[2] != len(inputs):
            self.state = self.network.zero_state(len(inputs))
        drawn = np.random.Philox(key=(self._seed, step), counter=self._ranks.rank).random_raw()
        noise = torch.Generator(device).manual_seed(int(drawn))
        counted = int((batch.targets != UNCOUNTED).sum())  # of all ranks: so their losses sum to the mean
        self.optimiser.zero_gradients()
        loss = torch.zeros((), device=device)
        if len(inputs):
            state = self.network.begun(self.state, fresh, condition)
            with self._place.autocast():
                logits, self.state = self.network(inputs, state, noise)
            loss = functional.cross_entropy(
                logits.float().flatten(0, 1), targets.flatten(), ignore_index=UNCOUNTED, reduction="sum"
            ) / max(counted, 1)
            torch.autograd.backward(loss)
        self._losses.append(self._exchanged(loss.detach()))
        self.optimiser.step(fraction)
        return counted

    @torch.no_grad()
    def _exchanged(self, loss: Tensor) -> Tensor:
        """Add up the ranks' gradients and losses; gives the loss."""
        if self._ranks.size == 1:
            return loss
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = self._ranks.sum(torch.cat([*(g.flatten() for g in gradients), loss[None]]))
        start = 0
        for parameter in parameters:
            parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
        return flat[-1]

    def mean_loss(self) -> float:
        """Nats a character over the steps since this was asked last; NaN where a weight is not finite."""
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        return loss if self.network.is_finite() else math.nan

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Copies of all tensors that the next step depends on, by group and name."""
        return {
            "weights": {name: value.detach().clone() for name, value in self.network.state_dict().items()},
            "optimiser": {name: value.detach().clone() for name, value in self.optimiser.state().items()},
            "state": {"state": self._ranks.join_rows(self.state, self._rows).clone()},
        }

    def load(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Back to what `tensors` gave."""
        self.network.load_state_dict(dict(tensors["weights"]))
        self.optimiser.load_state(tensors["optimiser"])
        state = tensors["state"]["state"]
        self._rows = state.shape[2]
        self.state = state[:, :, self._ranks.rows(self._rows)].to(self._place.device, copy=True)
