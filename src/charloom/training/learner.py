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


class Learner:
    """Everything that a step changes."""

    def __init__(self, network: Network, optimiser: Optimiser, place: Place, seed: int) -> None:
        self.network = network
        self.optimiser = optimiser
        self.state = network.zero_state(0)
        self._place = place
        self._seed = seed
        self._losses: list[Tensor] = []

    def step(self, step: int, batch: Batch, fraction: float) -> int:
        """Read a batch, follow the gradient at `fraction` of the full rate; the number of targets.

        Dropout is drawn from (seed, step) alone.
        """
        device = self._place.device
        inputs, targets, fresh, condition = (
            torch.from_numpy(array).to(device)
            for array in (batch.inputs, batch.targets, batch.fresh, batch.condition)
        )
        if self.state.shape[2] != len(inputs):
            self.state = self.network.zero_state(len(inputs))
        noise = torch.Generator(device).manual_seed(
            int(np.random.Philox(key=(self._seed, step)).random_raw())
        )
        state = self.network.begun(self.state, fresh, condition)
        with self._place.autocast():
            logits, self.state = self.network(inputs, state, noise)
        counted = int((batch.targets != UNCOUNTED).sum())
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=UNCOUNTED, reduction="sum"
        ) / max(counted, 1)
        self.optimiser.zero_gradients()
        torch.autograd.backward(loss)
        self.optimiser.step(fraction)
        self._losses.append(loss.detach())
        return counted

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
            "state": {"state": self.state.clone()},
        }

    def load(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Back to what `tensors` gave."""
        self.network.load_state_dict(dict(tensors["weights"]))
        self.optimiser.load_state(tensors["optimiser"])
        self.state = tensors["state"]["state"].to(self._place.device)
