"""Muon against torch's, gate by gate; Adam and AdamW against torch's; a state that can be put back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from charloom.model.config import ModelConfig
from charloom.training.config import TrainConfig
from charloom.training.network import Network
from charloom.training.optimiser import (
    BETAS,
    MOMENTUM,
    QUINTIC,
    ROUNDS,
    Muon,
    Optimiser,
    is_recurrent,
    orthogonalised,
)

STEPS = 6


def gradients(shape: tuple[int, ...], steps: int = STEPS, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * 0.9**step for step in range(steps)]


def theirs(parameter: nn.Parameter, rate: float, decay: float) -> torch.optim.Optimizer:
    return torch.optim.Muon(
        [parameter], rate, decay, MOMENTUM, True, QUINTIC, ns_steps=ROUNDS, adjust_lr_fn="original"
    )


@pytest.mark.parametrize(
    ("shape", "decay"), [((24, 24), 0.0), ((24, 10), 0.0), ((10, 24), 0.0), ((24, 24), 4.0)]
)
def test_muon_is_torchs_on_one_block(shape: tuple[int, int], decay: float) -> None:
    start = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    ours, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    muon, reference = Muon({"w": ours}, 1, 0.05, decay), theirs(other, 0.05, decay)
    for gradient in gradients(shape):
        ours.grad, other.grad = gradient.clone(), gradient.clone()
        muon.step(1.0)
        reference.step()
        # both multiply in bfloat16, which keeps 8 bits, in another order
        assert (ours - other).norm() < 0.02 * (other - start).norm()
    assert (ours - start).abs().max() > 0.05


@pytest.mark.parametrize(("gates", "inputs"), [(4, 16), (3, 16), (1, 16), (4, 40)])
def test_muon_of_a_layer_is_muon_of_every_block(gates: int, inputs: int) -> None:
    hidden = 16
    start = torch.randn((gates * hidden, inputs), generator=torch.Generator().manual_seed(2))
    whole = nn.Parameter(start.clone())
    blocks = [nn.Parameter(block.clone()) for block in start.split(hidden)]
    muon = Muon({"w": whole}, gates, 0.05)
    apart = [Muon({"w": block}, 1, 0.05) for block in blocks]
    for step, gradient in enumerate(gradients((gates * hidden, inputs))):
        whole.grad = gradient
        muon.step(1 / (step + 1))
        for block, part, alone in zip(blocks, gradient.split(hidden), apart, strict=True):
            block.grad = part
            alone.step(1 / (step + 1))
    torch.testing.assert_close(whole.detach(), torch.cat([b.detach() for b in blocks]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 30, 12), (4, 12, 30)])
def test_orthogonalised(shape: tuple[int, ...]) -> None:
    """Every singular value near one, and each block by itself."""
    blocks = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    blocks[0] *= 1000
    found = orthogonalised(blocks)
    values = torch.linalg.svdvals(found)
    assert values.max() < 1.3
    assert values.median() > 0.6
    torch.testing.assert_close(found[0], orthogonalised(blocks[:1] / 1000)[0], atol=0.02, rtol=0)
    assert not orthogonalised(torch.zeros(shape)).any()


def network(cell: str = "lstm", embedding: int = 6) -> Network:
    config = ModelConfig(cell=cell, layers=2, hidden=8, embedding=embedding)  # type: ignore[arg-type]
    made = Network(config, 12, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.output.weight.normal_(generator=torch.Generator().manual_seed(1))
    return made


def give_gradients(made: Network, seed: int, scale: float = 0.01) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def test_muon_takes_the_recurrent_matrices_alone() -> None:
    names = {name for name in ModelConfig(layers=2, hidden=4).weight_shapes(5) if is_recurrent(name)}
    assert names == {"layers.0.weight_hidden", "layers.1.weight_hidden", "layers.1.weight_input"}
    state = Optimiser(network(), TrainConfig()).state()
    assert {name.removesuffix(".momentum") for name in state if name.endswith(".momentum")} == names
    assert not any(
        name.endswith(".momentum") for name in Optimiser(network(), TrainConfig(optimiser="adam")).state()
    )


@pytest.mark.parametrize("kind", ["muon", "adam"])
@pytest.mark.parametrize("embedding", [0, 6])
def test_the_rest_is_torchs_adam(kind: Any, embedding: int) -> None:
    """AdamW with its decay on matrices alone; the lesson's Adam on everything."""
    made, other = network(embedding=embedding), network(embedding=embedding)
    config = TrainConfig(optimiser=kind, rate=0.003, weight_decay=0.1, clip=0.0)
    optimiser = Optimiser(made, config)
    rest = {
        n: p
        for n, p in other.named_parameters()
        if p.requires_grad and not (kind == "muon" and is_recurrent(n))
    }
    reference: torch.optim.Optimizer
    if kind == "adam":
        reference = torch.optim.Adam(rest.values(), 0.003)
    else:
        groups = [{"params": [p], "weight_decay": 0.1 if p.ndim > 1 else 0.0} for p in rest.values()]
        reference = torch.optim.AdamW(groups, 0.003, BETAS)
    for step in range(STEPS):
        give_gradients(made, step)
        give_gradients(other, step)
        optimiser.step(1 / (step + 1))
        for group in reference.param_groups:
            group["lr"] = 0.003 / (step + 1)
        reference.step()
    for name, parameter in rest.items():
        torch.testing.assert_close(made.get_parameter(name), parameter, atol=1e-7, rtol=1e-5, msg=name)
    if not embedding:
        assert torch.equal(made.embedding.weight, torch.eye(12))


def test_the_norm_is_clipped_and_told() -> None:
    made = network()
    give_gradients(made, 0, scale=10.0)
    before = {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}
    norm = torch.cat([g.flatten() for g in before.values()]).norm().item()
    assert float(Optimiser(made, TrainConfig(clip=1.0)).step(1.0)) == pytest.approx(norm, rel=1e-5)
    for name, gradient in before.items():
        torch.testing.assert_close(made.get_parameter(name).grad, gradient / norm, rtol=1e-3, atol=1e-7)
    made = network()
    give_gradients(made, 0, scale=10.0)
    Optimiser(made, TrainConfig(clip=0.0)).step(1.0)
    for name, gradient in before.items():
        assert torch.equal(made.get_parameter(name).grad, gradient)


@pytest.mark.parametrize("kind", ["muon", "adam"])
@pytest.mark.parametrize("steps_before", [0, 3])
def test_a_state_put_back_gives_the_same_steps(kind: Any, steps_before: int) -> None:
    """Into a new optimiser, and into one that has gone on in the meantime."""
    made = network("gru")
    optimiser = Optimiser(made, TrainConfig(optimiser=kind))

    def steps(which: Network, with_: Optimiser, first: int, count: int) -> None:
        for step in range(first, first + count):
            with_.zero_gradients()
            assert all(p.grad is None for p in which.parameters())
            give_gradients(which, step)
            with_.step(0.5)

    steps(made, optimiser, 0, steps_before)
    weights = {name: value.clone() for name, value in made.state_dict().items()}
    saved = {name: value.clone() for name, value in optimiser.state().items()}
    steps(made, optimiser, steps_before, 4)
    expected = {name: value.clone() for name, value in made.state_dict().items()}

    new = network("gru")
    other = Optimiser(new, TrainConfig(optimiser=kind))
    for which, with_ in ((new, other), (made, optimiser)):
        which.load_state_dict(weights)
        with_.load_state(saved)
        assert {n: tuple(v.shape) for n, v in with_.state().items()} == {
            n: tuple(v.shape) for n, v in saved.items()
        }
        steps(which, with_, steps_before, 4)
        for name, value in which.state_dict().items():
            assert torch.equal(value, expected[name]), name
