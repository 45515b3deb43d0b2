"""Dynamic evaluation: the model goes on learning as it reads; each stretch is scored before it is learned.

The recipe of Krause et al., "Dynamic evaluation of neural sequence models" (2018), with Adam for their
scaled gradients: stretches of `STRETCH` symbols, one step of Adam at `RATE` after each, no dropout, and each
weight pulled back towards the trained one by `PULL` of the distance. The model itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from charloom.errors import UsageError
from charloom.model.folder import Model
from charloom.training import device
from charloom.training.config import TrainConfig
from charloom.training.network import Network
from charloom.training.optimiser import LESSON_BETAS, Adam

STRETCH = 64  # as in training; what stands further back is learned through the weights
RATE = 3e-4  # weak models would learn faster at 1e-3, good ones lose by it: in between, not fitted
PULL = 0.001  # share of the way back to the trained weights, a stretch

Ids = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def losses(model: Model, texts: Iterable[tuple[Ids, int]]) -> Iterator[Floats]:
    """For each text (n,), of which the first `skip` symbols are not scored, the others' nats, in float64.

    Every text is read from a zero state, after `<bos>` if the model has one, by a network that has learned
    all texts before. Raises UsageError for a model with conditions or sources.
    """
    vocabulary = model.vocabulary
    if model.config.conditions or vocabulary.sep is not None:
        raise UsageError("--dynamic reads plain text alone; this model has conditions or sources")
    place = device.choose(TrainConfig(precision="float32", device="cpu"))
    network = Network(model.config, len(vocabulary), torch.Generator())
    network.load_weights(model.weights)
    named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    learned: list[Tensor] = list(named.values())
    trained = [parameter.detach().clone() for parameter in learned]
    adam = Adam(named, RATE, LESSON_BETAS, 0.0)
    given = [] if vocabulary.bos is None else [vocabulary.bos]
    for ids, skip in texts:
        read = torch.from_numpy(np.concatenate((np.array(given, np.int64), ids.astype(np.int64))))
        found, state = [np.zeros(0)], network.zero_state(1)
        for start in range(0, len(read) - 1, STRETCH):
            window = read[start : start + STRETCH + 1]
            with place.engaged():
                logits, state = network(window[None, :-1], state)
                nats = functional.cross_entropy(logits[0].double(), window[1:], reduction="none")
                for parameter in learned:
                    parameter.grad = None
                torch.autograd.backward(nats.mean())
                adam.step(1.0)
                with torch.no_grad():
                    torch._foreach_lerp_(learned, trained, PULL)
            found.append(nats.detach().numpy())
        yield np.concatenate(found)[max(0, skip - 1 + len(given)) :]
