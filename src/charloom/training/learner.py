"""The network, its optimiser and the states that it carries; `step` is one optimisation step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

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
        self._rows = len(batch.inputs)
        own = len(batch.inputs[self._ranks.rows(self._rows)])
        if self.state.shape[2] != own:
            self.state = self.network.zero_state(own)
        drawn = np.random.Philox(key=(self._seed, step), counter=self._ranks.rank).random_raw()
        noise = torch.Generator(self._place.device).manual_seed(int(drawn))
        self.optimiser.zero_gradients()
        loss, self.state = self._read(batch, self.state, noise)
        if own:
            torch.autograd.backward(loss)
        self._losses.append(self._exchanged(loss.detach()))
        self.optimiser.step(fraction)
        return _counted(batch)

    @torch.no_grad()
    def look(self, batch: Batch) -> float:
        """Nats a character of a batch, read from zero states; nothing is learned."""
        rows = len(batch.inputs[self._ranks.rows(len(batch.inputs))])
        loss, _ = self._read(batch, self.network.zero_state(rows), None)
        return self._ranks.total([float(loss)])[0]

    def _read(self, batch: Batch, state: Tensor, noise: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """The rank's own share of the mean loss, so that the shares sum to it; and the states afterwards."""
        device = self._place.device
        own = self._ranks.rows(len(batch.inputs))
        inputs, targets, fresh, condition = (
            torch.from_numpy(array[own]).to(device)
            for array in (batch.inputs, batch.targets, batch.fresh, batch.condition)
        )
        if not len(inputs):
            return torch.zeros((), device=device), state
        begun = self.network.begun(state, fresh, condition)
        with self._place.autocast():
            nats, after = self.network.nats(inputs, begun, targets, noise)
        return nats / max(_counted(batch), 1), after

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

    def losses(self) -> list[float]:
        """Nats a character of every step since this was asked last."""
        found: list[float] = torch.stack(self._losses).tolist()
        self._losses.clear()
        return found

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


def _counted(batch: Batch) -> int:
    return int((batch.targets != UNCOUNTED).sum())
