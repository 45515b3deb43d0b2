"""The recurrent network: `(ids, state) -> (logits, state)`.

ids ─ table lookup ─▶ [ recurrent layer ─ dropout ─ (+ residual from the second layer on) ] × layers
    ─▶ linear ─▶ logits

What a text depends on besides itself decides the state it begins with: `begun`.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from charloom.model.config import Cell, ModelConfig, condition_weights
from charloom.model.folder import Weights
from charloom.text.condition import slices
from charloom.training import recurrence
from charloom.training.loss import cross_entropy

FORGET_BIAS = 1.0  # an LSTM that remembers at first learns to (Jozefowicz et al. 2015)
KEPT = 1 / 16  # share of units that keep what a text begins with, where that depends on a condition
SLOW = 0.5  # share of units that begin slow to forget, where a source is read before the text
HELD = 150  # characters that they hold it, at most: a sentence or two
SHUT = 30.0  # a gate at it lets all through, at its negative nothing, and has no gradient: it stays so
CONDITION_SPREAD: dict[Cell, tuple[float, ...]] = {"lstm": (0.5, 4.0), "gru": (0.5,), "rnn": (0.5,)}
"""Of the first condition weights, by part of a state: the more beginnings differ, the more is learned from
them. A large hidden value makes the codes of the others coarse; an LSTM's cell may be large."""


class Layer(nn.Module):
    """One recurrent layer, in the names, order and equations of torch's own cells."""

    def __init__(self, config: ModelConfig, inputs: int) -> None:
        super().__init__()
        rows = config.gates * config.hidden
        self.cell = config.cell
        self.weight_input = nn.Parameter(torch.empty(rows, inputs))
        self.weight_hidden = nn.Parameter(torch.empty(rows, config.hidden))
        self.bias_input = nn.Parameter(torch.empty(rows))
        self.bias_hidden = nn.Parameter(torch.empty(rows))

    def columns(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` computes, faster: (I, T, B), (parts, H, B) -> (H, T, B), (parts, H, B)."""
        bias = self.bias_input + self.bias_hidden
        matrix = torch.cat((self.weight_hidden, self.weight_input, bias[:, None]), 1)
        if self.cell == "gru":  # the candidate's two sides stay apart: the reset gate multiplies one of them
            width, end = state.shape[1], matrix.shape[1] - 1
            sides = matrix.new_zeros(2, width, end + 1)
            sides[0, :, width:end] = self.weight_input[-width:]
            sides[0, :, end] = self.bias_input[-width:]
            sides[1, :, :width] = self.weight_hidden[-width:]
            sides[1, :, end] = self.bias_hidden[-width:]
            matrix = torch.cat((matrix[:-width], sides.flatten(0, 1)))
        return recurrence.recur(self.cell, matrix, inputs, state)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, I), (parts, B, H) -> (B, T, H), (parts, B, H).

        Under autocast all of it is in autocast's type: by itself torch would take float16 on a GPU.
        """
        kind = inputs.device.type
        low = recurrence.precision(kind)
        apart = (self.weight_input, self.weight_hidden, self.bias_input, self.bias_hidden)
        chunk = torch.cat([weight.flatten() for weight in apart]).to(low)  # cuDNN wants them in one piece
        pieces = torch.split(chunk, [weight.numel() for weight in apart])
        weights = [piece.view_as(weight) for piece, weight in zip(pieces, apart, strict=True)]
        parts = [part.unsqueeze(0).contiguous() for part in state.to(low)]
        fixed: tuple[Any, ...] = (True, 1, 0.0, self.training, False, True)
        # biases, layers, dropout, training, both directions, batch first
        with torch.autocast(kind, enabled=False):
            if self.cell == "lstm":
                outputs, hidden, memory = torch.lstm(inputs.to(low), parts, weights, *fixed)
                return outputs, torch.cat((hidden, memory))
            step = torch.gru if self.cell == "gru" else torch.rnn_tanh
            outputs, hidden = step(inputs.to(low), parts[0], weights, *fixed)
        return outputs, hidden


class Network(nn.Module):
    """The whole network; the names of its parameters are those of the model folder.

    Where it reads a `source` before a text, half of the units begin slow to forget.
    """

    def __init__(
        self, config: ModelConfig, vocabulary: int, generator: torch.Generator, *, source: bool = False
    ) -> None:
        super().__init__()
        self.config = config
        width = config.embedding or vocabulary
        with torch.random.fork_rng(devices=[]):  # torch draws weights, replaced below, from the global state
            self.embedding = nn.Embedding(vocabulary, width)
            self.layers = nn.ModuleList(
                Layer(config, config.hidden if k else width) for k in range(config.layers)
            )
            self.output = nn.Linear(config.hidden, vocabulary)
            self.conditions = nn.ModuleList(
                nn.ModuleList(
                    nn.Linear(condition.width, config.parts * config.hidden) for _ in range(config.layers)
                )
                for condition in config.conditions
            )
        self.initialise(generator)
        if source:
            self._slow(generator)

    @torch.no_grad()
    def _slow(self, generator: torch.Generator) -> None:
        """Let what was read first still be there at the end, and the gradient come back.

        Gates' biases are ln U(1, `HELD`) (C. Tallec, Y. Ollivier, "Can recurrent neural networks warp
        time?", 2018). The units are the last ones, since the first may keep a condition.
        """
        hidden, some = self.config.hidden, int(SLOW * self.config.hidden)
        for layer in self.layers:
            bias = cast(Layer, layer).bias_hidden
            longer = torch.empty(some).uniform_(1, HELD, generator=generator).log()
            if self.config.cell == "lstm":
                bias[2 * hidden - some : 2 * hidden] += longer - FORGET_BIAS
                bias[hidden - some : hidden] -= longer
            elif self.config.cell == "gru":
                bias[2 * hidden - some : 2 * hidden] += longer  # its update gate keeps

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights.

        Recurrent weights as torch draws them, uniform within 1/√H; what a character's E numbers add to a gate
        with unit variance (LeCun et al., "Efficient BackProp", 1998); the forget gate's bias at one; the
        output at zero, so that the first loss is that of the uniform distribution, ln V.
        """
        if self.config.embedding:
            self.embedding.weight.normal_(generator=generator)
        else:
            self.embedding.weight.copy_(torch.eye(self.embedding.num_embeddings))
            self.embedding.weight.requires_grad_(False)
        bound = 1 / math.sqrt(self.config.hidden)
        for layer in self.layers:
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=generator)
            if self.config.cell == "lstm":
                cast(Layer, layer).bias_hidden[self.config.hidden : 2 * self.config.hidden] += FORGET_BIAS
        if self.config.embedding:
            cast(Layer, self.layers[0]).weight_input.mul_(math.sqrt(3 / self.config.embedding) / bound)
        self.output.weight.zero_()
        self.output.bias.zero_()
        if self.config.conditions:
            self._keep(generator)

    def _keep(self, generator: torch.Generator) -> None:
        """Let conditions be felt at every character of a text, however long it is.

        Some units of each layer keep for ever what they begin with, since their gates are shut from the first
        step on; the others read them through the recurrent matrix, as they would read a vector fed at every
        step. To everything that runs the model they are units like any other. The plain RNN has no gates.
        """
        hidden, kept = self.config.hidden, math.ceil(KEPT * self.config.hidden)
        held = {"lstm": {0: -SHUT, 1: SHUT, 3: SHUT}, "gru": {1: SHUT}, "rnn": {}}[self.config.cell]
        for layer in self.layers:
            for gate, bias in held.items():
                rows = slice(gate * hidden, gate * hidden + kept)
                for parameter in layer.parameters():
                    parameter[rows] = 0
                cast(Layer, layer).bias_hidden[rows] = bias
        for maps, condition in zip(self.conditions, self.config.conditions, strict=True):
            parts = torch.tensor(CONDITION_SPREAD[self.config.cell]).repeat_interleave(hidden)
            added = max(1, condition.size) * len(self.config.conditions)  # numbers add up, and conditions
            for linear in cast(nn.ModuleList, maps):
                weight = cast(nn.Linear, linear).weight.normal_(generator=generator)
                weight *= parts[:, None] / math.sqrt(added)
                cast(nn.Linear, linear).bias.zero_()

    def forward(
        self, ids: Tensor, state: Tensor, dropout: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Ids (B, T) and a state (layers, parts, B, H) -> logits (B, T, V) and the state after them."""
        x, after = self.hidden(ids, state, dropout)
        return self.output(x).float(), after

    def nats(
        self, ids: Tensor, state: Tensor, targets: Tensor, dropout: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Ids and `targets` (B, T) and a state -> the sum of the targets' nats and the state after the ids.

        A target below 0 counts nothing. This is `forward` and a cross-entropy in far less memory.
        """
        x, after = self.hidden(ids, state, dropout)
        if recurrence.fits(ids.device):  # the order in which they lie in memory
            x, targets = x.transpose(0, 1), targets.t()
        low = recurrence.precision(ids.device.type)
        weight, bias = self.output.weight, self.output.bias
        return cross_entropy(x.flatten(0, 1), weight, bias, targets.flatten(), low), after

    def hidden(
        self, ids: Tensor, state: Tensor, dropout: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Ids (B, T) and a state -> what the output layer reads (B, T, H) and the state after the ids.

        Dropout happens only where its `dropout` generator is given. One mask serves all T characters of
        a row (variational dropout, Gal and Ghahramani 2016).
        """
        if recurrence.fits(ids.device):
            return self._by_columns(ids, state, dropout)
        x = self.embedding(ids)  # (B, T, E)
        after = []
        for k, layer in enumerate(self.layers):
            y, layer_state = layer(x, state[k])  # (B, T, H)
            after.append(layer_state)
            if dropout is not None and self.config.dropout:
                y = y * self._mask(len(ids), dropout).to(y)
            x = y + x if k else y
        return x, torch.stack(after).detach().float()

    def _by_columns(
        self, ids: Tensor, state: Tensor, dropout: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """`hidden`, computed with the batch last."""
        x = self.embedding(ids).permute(2, 1, 0)  # (E, T, B)
        after = []
        for k, layer in enumerate(self.layers):
            y, layer_state = cast(Layer, layer).columns(x, state[k].transpose(1, 2))  # (H, T, B)
            after.append(layer_state)
            if dropout is not None and self.config.dropout:
                y = y * self._mask(len(ids), dropout).permute(2, 1, 0).contiguous().to(y)
            x = y + x if k else y
        return x.permute(2, 1, 0), torch.stack(after).transpose(2, 3).detach().float().contiguous()

    def _mask(self, batch: int, generator: torch.Generator) -> Tensor:
        """(B, 1, H): zero or, so that the mean stays, a little more than one."""
        kept = 1 - self.config.dropout
        drawn = torch.empty(batch, 1, self.config.hidden, device=generator.device)
        return drawn.bernoulli_(kept, generator=generator) / kept

    def begun(self, state: Tensor, fresh: Tensor, condition: Tensor) -> Tensor:
        """A state (layers, parts, B, H) whose `fresh` (B,) rows are what `condition` (B, S) begins with.

        That is a linear map of each condition, summed; what is unknown adds nothing.
        """
        begin = torch.zeros_like(state)
        for maps, (_, place) in zip(self.conditions, slices(self.config.conditions), strict=True):
            vector = condition[:, place]
            of_layers = [vector[:, -1:] * layer(vector[:, :-1]) for layer in cast(nn.ModuleList, maps)]
            by_row = torch.stack(of_layers).reshape(len(of_layers), len(vector), -1, state.shape[3])
            begin = begin + by_row.transpose(1, 2)
        return torch.where(fresh[:, None], begin, state)

    def zero_state(self, batch: int) -> Tensor:
        """The state (layers, parts, B, H) before any text."""
        return torch.zeros(self.config.state_shape(batch), device=self.output.weight.device)

    def warm(self) -> None:
        """Compile, if need be, what a step takes, so that it happens before the clock runs."""
        ids = torch.zeros(1, 1, dtype=torch.long, device=self.output.weight.device)
        torch.autograd.backward(self(ids, self.zero_state(1))[0].sum())
        self.zero_grad()

    def is_finite(self) -> bool:
        """Whether every weight is a finite number."""
        return all(bool(parameter.isfinite().all()) for parameter in self.parameters())

    def to_weights(self) -> Weights:
        """A copy of the weights, as the model folder names them."""
        names = self._names()
        return {
            names.get(name, name): value.detach().float().cpu().numpy().copy()
            for name, value in self.state_dict().items()
        }

    @torch.no_grad()
    def load_weights(self, weights: Weights) -> None:
        """Take over the weights of a model folder of the same shape; what it lacks stays as it is."""
        ours = {folder: name for name, folder in self._names().items()}
        given = {ours.get(name, name): torch.from_numpy(np.array(value)) for name, value in weights.items()}
        self.load_state_dict({**self.state_dict(), **given})

    def _names(self) -> dict[str, str]:
        """What the folder calls the conditions' weights; torch takes no dots, so here they have numbers."""
        found: dict[str, str] = {}
        for i, condition in enumerate(self.config.conditions):
            for k in range(self.config.layers):
                weight, bias = condition_weights(condition.name, k)
                found |= {f"conditions.{i}.{k}.weight": weight, f"conditions.{i}.{k}.bias": bias}
        return found
