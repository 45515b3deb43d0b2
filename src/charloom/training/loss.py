"""The output layer and its cross-entropy, a few rows at a time.

With an alphabet of thousands the logits of a step are a hundred megabytes, and so is each temporary of
a plain cross-entropy: the allocator maps and unmaps them in every step, and nothing stays in a cache.
Here logits exist for some rows only, and their gradients are taken at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LOGITS = {"cpu": 2**21}  # at a time: 8 MB stay in a cache; other devices have room for more
MORE_LOGITS = 2**26
MIN_ROWS = 128  # fewer would pass over the gradient of the weights too often


def cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, low: torch.dtype) -> Tensor:
    """Return the sum of the nats that `targets` (N,) cost after `hidden` (N, H).

    A target below 0 counts nothing. `weight` (V, H) and `bias` (V,) give the logits. Products are made in
    the type `low`, the rest in float32.
    """
    total: Tensor = _CrossEntropy.apply(hidden, weight, bias, targets, low)  # type: ignore[no-untyped-call]
    return total


class _CrossEntropy(torch.autograd.Function):
    """Takes the gradients on the way forward: the logits are gone on the way back."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, low: torch.dtype
    ) -> Tensor:
        """Keep the gradients of the sum, if there will be a way back."""
        learns = any(ctx.needs_input_grad)
        read, matrix = hidden.to(low), weight.to(low)
        of_hidden = torch.empty_like(read) if learns else read
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        total = torch.zeros((), device=hidden.device)
        rows = max(MIN_ROWS, LOGITS.get(hidden.device.type, MORE_LOGITS) // len(weight))
        for start in range(0, len(read), rows):
            some = slice(start, start + rows)
            counted = (targets[some] >= 0).float()
            places = (torch.arange(len(counted), device=hidden.device), targets[some].clamp(min=0))
            logits = torch.mm(read[some], matrix.t()).float().add_(bias)  # (rows, V)
            highest = logits.amax(1)
            of_targets = logits[places] - highest
            powers = logits.sub_(highest[:, None]).exp_()
            sums = powers.sum(1)
            total += ((sums.log() - of_targets) * counted).sum()
            if not learns:
                continue
            gradient = powers.mul_((counted / sums)[:, None])
            gradient[places] -= counted
            of_bias += gradient.sum(0)
            gradient = gradient.to(low)
            if low == torch.float32:
                of_weight.addmm_(gradient.t(), read[some])
            else:
                of_weight += torch.mm(gradient.t(), read[some])
            torch.mm(gradient, matrix, out=of_hidden[some])
        ctx.gradients = (of_hidden.to(hidden.dtype), of_weight, of_bias) if learns else ()
        return total

    @staticmethod
    def backward(ctx: Any, of_total: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients of the sum."""
        return *(gradient * of_total for gradient in ctx.gradients), None, None
