"""The network against a plain NumPy twin and against the lesson's own, in outputs, states and gradients."""

from __future__ import annotations

import math
import resource
import sys
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional

from charloom.model.config import CELLS, Cell, ModelConfig
from charloom.text.condition import Condition
from charloom.training import loss
from charloom.training.batches import UNCOUNTED, Lanes
from charloom.training.config import TrainConfig
from charloom.training.device import Place
from charloom.training.learner import Learner
from charloom.training.network import FORGET_BIAS, KEPT, Network
from charloom.training.optimiser import Optimiser
from charloom.training.ranks import Ranks

Array = npt.NDArray[np.float64]
SIZES = [(1, 5), (2, 7), (3, 4)]  # layers, hidden


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(config: ModelConfig, vocabulary: int, seed: int = 0) -> Network:
    """In double precision and with an output that is not zero, so that gradients reach everything."""
    made = Network(config, vocabulary, seeded(seed))
    with torch.no_grad():
        made.output.weight.uniform_(-0.5, 0.5, generator=seeded(seed + 1))
        made.output.bias.uniform_(-0.5, 0.5, generator=seeded(seed + 2))
    return made


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def twin(
    weights: dict[str, Array], config: ModelConfig, ids: npt.NDArray[np.int64], state: Array
) -> tuple[Array, Array]:
    """One character after another, by the equations."""
    state = state.copy()
    logits = np.empty((*ids.shape, len(weights["output.bias"])))
    for t in range(ids.shape[1]):
        x = weights["embedding.weight"][ids[:, t]]
        for k in range(config.layers):
            h = state[k, 0]
            read = x @ weights[f"layers.{k}.weight_input"].T + weights[f"layers.{k}.bias_input"]
            kept = h @ weights[f"layers.{k}.weight_hidden"].T + weights[f"layers.{k}.bias_hidden"]
            if config.cell == "lstm":
                i, f, g, o = np.split(read + kept, 4, axis=1)
                state[k, 1] = sigmoid(f) * state[k, 1] + sigmoid(i) * np.tanh(g)
                state[k, 0] = sigmoid(o) * np.tanh(state[k, 1])
            elif config.cell == "gru":
                (r, z, n), (hr, hz, hn) = np.split(read, 3, axis=1), np.split(kept, 3, axis=1)
                update = sigmoid(z + hz)
                state[k, 0] = (1 - update) * np.tanh(n + sigmoid(r + hr) * hn) + update * h
            else:
                state[k, 0] = np.tanh(read + kept)
            x = state[k, 0] + x if k else state[k, 0]  # residual from the second layer on
        logits[:, t] = x @ weights["output.weight"].T + weights["output.bias"]
    return logits, state


def numbers(made: Network) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in made.state_dict().items()}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("layers", "hidden"), SIZES)
@pytest.mark.parametrize("embedding", [0, 3])
def test_the_equations(cell: Cell, layers: int, hidden: int, embedding: int) -> None:
    config = ModelConfig(cell=cell, layers=layers, hidden=hidden, embedding=embedding)
    made = network(config, 6)
    ids = torch.randint(6, (3, 11), generator=seeded(5))
    state = torch.randn(config.state_shape(3), generator=seeded(6))
    logits, after = made(ids, state)
    expected, expected_state = twin(numbers(made), config, ids.numpy(), state.double().numpy())
    np.testing.assert_allclose(logits.detach().numpy(), expected, atol=2e-6)
    np.testing.assert_allclose(after.numpy(), expected_state, atol=2e-6)
    assert after.shape == config.state_shape(3)
    assert not after.requires_grad


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("layers", "hidden"), SIZES)
def test_the_gradients(cell: Cell, layers: int, hidden: int) -> None:
    """Against central differences of the twin's loss, in a few places of every weight."""
    config = ModelConfig(cell=cell, layers=layers, hidden=hidden, embedding=3)
    made = network(config, 6)
    ids = torch.randint(6, (2, 10), generator=seeded(7))
    state = torch.randn(config.state_shape(2), generator=seeded(8))
    logits, _ = made(ids[:, :-1], state)
    torch.autograd.backward(functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))
    weights, start, targets = numbers(made), state.double().numpy(), ids[:, 1:].numpy()

    def loss() -> float:
        found, _ = twin(weights, config, ids[:, :-1].numpy(), start)
        normal = found - np.log(np.exp(found).sum(axis=-1, keepdims=True))
        return -float(np.take_along_axis(normal, targets[..., None], -1).mean())

    random = np.random.default_rng(0)
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None
        for flat in random.choice(parameter.numel(), min(4, parameter.numel()), replace=False):
            place = np.unravel_index(flat, tuple(parameter.shape))
            before, step = weights[name][place], 1e-5
            weights[name][place] = before + step
            above = loss()
            weights[name][place] = before - step
            below = loss()
            weights[name][place] = before
            assert parameter.grad[place].item() == pytest.approx((above - below) / (2 * step), abs=2e-6), name


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
def test_two_calls_are_one(cell: Cell, layers: int) -> None:
    config = ModelConfig(cell=cell, layers=layers, hidden=9, embedding=4)
    made = network(config, 6)
    ids = torch.randint(6, (3, 13), generator=seeded(1))
    state = torch.randn(config.state_shape(3), generator=seeded(2))
    logits, after = made(ids, state)
    for cut in (1, 6, 12):
        first, between = made(ids[:, :cut], state)
        second, end = made(ids[:, cut:], between)
        torch.testing.assert_close(torch.cat((first, second), 1), logits, atol=1e-6, rtol=0)
        torch.testing.assert_close(end, after, atol=1e-6, rtol=0)


class LessonNetwork(nn.Module):
    """As the lesson writes it: one-hot, LSTM, linear; takes an optional state."""

    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.rnn = nn.LSTM(vocabulary, hidden, batch_first=True)
        self.out = nn.Linear(hidden, vocabulary)

    def forward(self, x, s=None):  # type: ignore[no-untyped-def]
        x = functional.one_hot(x, self.vocabulary).to(torch.float32)
        x, s = self.rnn(x, s)
        return self.out(x), s


def test_a_lookup_is_the_lessons_one_hot_product() -> None:
    """S5: our weights in the lesson's network give the same logits, states and gradients."""
    config = ModelConfig(cell="lstm", layers=1, hidden=64, embedding=0)
    ours, lesson = network(config, 82), LessonNetwork(82, 64)
    assert torch.equal(ours.embedding.weight, torch.eye(82))
    names = {
        "rnn.weight_ih_l0": "layers.0.weight_input",
        "rnn.weight_hh_l0": "layers.0.weight_hidden",
        "rnn.bias_ih_l0": "layers.0.bias_input",
        "rnn.bias_hh_l0": "layers.0.bias_hidden",
        "out.weight": "output.weight",
        "out.bias": "output.bias",
    }
    lesson.load_state_dict({theirs: ours.state_dict()[name] for theirs, name in names.items()})
    ids = torch.randint(82, (4, 31), generator=seeded(3))
    state = ours.zero_state(4)
    theirs_state = None
    for window in (ids[:, :15], ids[:, 15:-1]):  # the second with the state of the first
        logits, state = ours(window, state)
        expected, theirs_state = lesson(window, theirs_state)
        torch.testing.assert_close(logits, expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(state[0], torch.cat(theirs_state), atol=1e-6, rtol=0)
    for made in (ours, lesson):
        logits, _ = made(ids[:, :-1], *([ours.zero_state(4)] if made is ours else []))
        torch.autograd.backward(functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))
    gradients = dict(lesson.named_parameters())
    for theirs, name in names.items():
        torch.testing.assert_close(
            ours.get_parameter(name).grad, gradients[theirs].grad, atol=1e-6, rtol=0, msg=name
        )
    assert ours.embedding.weight.grad is None  # the identity is not learned


@pytest.mark.parametrize("cell", CELLS)
def test_the_first_loss_is_that_of_a_uniform_guess(cell: Cell) -> None:
    made = Network(ModelConfig(cell=cell, hidden=32), 82, seeded(0))
    ids = torch.randint(82, (5, 40), generator=seeded(1))
    logits, _ = made(ids[:, :-1], made.zero_state(5))
    loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(82), abs=1e-5)


def test_first_weights() -> None:
    """The forget gate is biased, nothing else is, and a character adds to a gate with unit variance; the same
    generator draws the same weights."""
    config = ModelConfig(cell="lstm", layers=2, hidden=50, embedding=8)
    made, again, other = (Network(config, 30, seeded(seed)) for seed in (4, 4, 5))
    bound = 1 / math.sqrt(50)
    for k in range(2):
        weights = made.to_weights()
        forget = weights[f"layers.{k}.bias_hidden"][50:100] - FORGET_BIAS
        weights[f"layers.{k}.bias_hidden"][50:100] = forget
        for name in ("weight_input", "weight_hidden", "bias_input", "bias_hidden"):
            values = weights[f"layers.{k}.{name}"]
            most = math.sqrt(3 / 8) if (k, name) == (0, "weight_input") else bound
            assert 0.8 * most < abs(values).max() <= most + 1e-6
    same, different = again.to_weights(), other.to_weights()
    assert all((made.to_weights()[name] == same[name]).all() for name in same)
    assert (made.to_weights()["embedding.weight"] != different["embedding.weight"]).any()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("embedding", [0, 5])
def test_names_and_shapes_are_the_folders(cell: Cell, layers: int, embedding: int) -> None:
    config = ModelConfig(cell=cell, layers=layers, hidden=6, embedding=embedding)
    made = Network(config, 11, seeded(0))
    assert {n: tuple(v.shape) for n, v in made.state_dict().items()} == config.weight_shapes(11)
    weights = made.to_weights()
    assert sum(value.size for value in weights.values()) == config.parameters(11)
    weights["output.bias"] += 1  # a copy
    assert not made.output.bias.any()
    made.load_weights(weights)
    assert (made.output.bias == 1).all()


def test_dropout_happens_only_where_its_generator_is_given() -> None:
    config = ModelConfig(cell="gru", layers=2, hidden=40, embedding=3, dropout=0.25)
    made = network(config, 6)
    ids, state = torch.randint(6, (8, 9), generator=seeded(1)), made.zero_state(8)
    plain, dropped, again, other = (
        made(ids, state, noise)[0] for noise in (None, seeded(1), seeded(1), seeded(2))
    )
    assert torch.equal(dropped, again)
    assert not torch.equal(dropped, other)
    assert not torch.equal(dropped, plain)
    torch.manual_seed(0)
    assert torch.equal(made(ids, state)[0], plain)  # training mode or not, the global generator or not
    silent = network(ModelConfig(cell="gru", layers=2, hidden=40, embedding=3), 6)
    assert torch.equal(silent(ids, state, seeded(1))[0], plain)


def test_one_mask_a_row_and_layer_of_the_right_mean() -> None:
    """Seen through an output that shows the only layer's hidden values as they are."""
    config = ModelConfig(cell="rnn", layers=1, hidden=300, embedding=3, dropout=0.25)
    made = Network(config, 300, seeded(0))
    with torch.no_grad():
        made.output.weight.copy_(torch.eye(300))
    ids, state = torch.randint(300, (20, 7), generator=seeded(1)), made.zero_state(20)
    plain, after = made(ids, state)
    dropped, dropped_after = made(ids, state, seeded(3))
    factors = (dropped / plain).detach()  # (B, T, H)
    assert torch.equal(after, dropped_after)  # what is carried on is not dropped
    kept = factors[:, 0] > 0.5
    torch.testing.assert_close(factors, (kept / 0.75)[:, None].expand_as(factors).to(factors))
    assert abs(kept.float().mean().item() - 0.75) < 4 * math.sqrt(0.75 * 0.25 / kept.numel())
    assert all(not torch.equal(a, b) for a, b in pairwise(kept))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_some_units_keep_the_condition_whatever_is_read_and_learned(cell: Cell) -> None:
    label = Condition(name="class", kind="label", values=("a", "b"), counts=(1, 1))
    config = ModelConfig(cell=cell, layers=2, hidden=40, embedding=4, conditions=(label,))
    made = Network(config, 6, seeded(0))
    optimiser = Optimiser(made, TrainConfig())
    kept = math.ceil(KEPT * 40)
    condition = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 0, 0]])
    for step in range(20):
        begun = made.begun(made.zero_state(3), torch.ones(3, dtype=torch.bool), condition)
        with torch.no_grad():
            held = begun[:, -1, :, :kept]  # c, or h
            assert not torch.equal(held[:, 0], held[:, 1])
            assert not held[:, 2].any()  # unknown
        ids = torch.randint(6, (3, 50), generator=seeded(step))
        logits, after = made(ids, begun)
        torch.testing.assert_close(after[:, -1, :, :kept], held, atol=1e-6, rtol=1e-6)
        assert (after[:, -1, :, kept:] != begun[:, -1, :, kept:]).any(2).all()
        optimiser.zero_gradients()
        torch.autograd.backward(functional.cross_entropy(logits.flatten(0, 1), ids.flatten()))
        optimiser.step(1.0)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_what_was_read_first_lasts_longer_where_it_is_a_source(cell: Cell) -> None:
    config = ModelConfig(cell=cell, hidden=64, embedding=4)
    ids = torch.randint(6, (4, 60), generator=seeded(1))
    left = []
    for source in (False, True):
        made = Network(config, 6, seeded(0), source=source)
        begun = torch.randn(config.state_shape(4), generator=seeded(2))
        with torch.no_grad():
            apart = made(ids, begun)[1] - made(ids, made.zero_state(4))[1]
        left.append(float(apart[:, -1].abs().mean()))
    assert left[1] > 10 * left[0]


def test_autocast_keeps_a_float32_state() -> None:
    for cell in CELLS:
        config = ModelConfig(cell=cell, layers=2, hidden=16, embedding=8)
        made = network(config, 6)
        ids = torch.randint(6, (3, 20), generator=seeded(1))
        logits, _ = made(ids, made.zero_state(3))
        with torch.autocast("cpu", torch.bfloat16):
            rough, state = made(ids, made.zero_state(3))
        assert state.dtype == torch.float32
        assert (rough.float() - logits).abs().max() < 0.05


def test_finite() -> None:
    made = network(ModelConfig(hidden=4, embedding=2), 5)
    assert made.is_finite()
    with torch.no_grad():
        made.layers[0].weight_hidden[3, 1] = math.inf
    assert not made.is_finite()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("logits", [1, 30, 10**6])
def test_nats_are_the_cross_entropy_of_the_logits(
    kind: torch.dtype, logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so are the gradients, however few logits exist at a time; some targets do not count."""
    monkeypatch.setattr(loss, "LOGITS", {})
    monkeypatch.setattr(loss, "MORE_LOGITS", logits)
    monkeypatch.setattr(loss, "MIN_ROWS", 1)
    made = network(ModelConfig(hidden=8, embedding=4), 11)
    ids = torch.randint(11, (5, 7), generator=seeded(3))
    targets = torch.randint(11, (5, 7), generator=seeded(4))
    targets[2, 3:] = UNCOUNTED
    targets[4] = UNCOUNTED
    found = []
    for whole in (True, False):
        made.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            if whole:
                rows = made(ids, made.zero_state(5))[0].flatten(0, 1)
            else:
                nats, _ = made.nats(ids, made.zero_state(5), targets)
                with torch.no_grad():
                    unlearned, _ = made.nats(ids, made.zero_state(5), targets)
        if whole:
            nats = functional.cross_entropy(rows, targets.flatten(), ignore_index=UNCOUNTED, reduction="sum")
        torch.autograd.backward(nats / 20)
        found.append([nats.detach(), *(p.grad.clone() for p in made.parameters() if p.grad is not None)])
    assert len(found[0]) == 8
    assert unlearned.item() == nats.item()
    precision = {"rtol": 1e-5, "atol": 1e-6} if kind == torch.float32 else {"rtol": 0.05, "atol": 2e-3}
    for expected, gotten in zip(*found, strict=True):
        torch.testing.assert_close(gotten, expected, **precision)


@pytest.mark.skipif(sys.platform != "linux", reason="counts Linux's page faults")
def test_a_step_of_a_large_alphabet_reuses_its_memory() -> None:
    """Every page that is mapped anew is cleared first: with all logits at once that was most of the time."""
    size, rows, window = 6000, 16, 64
    made = Network(ModelConfig(hidden=16, embedding=8), size, seeded(0))
    place = Place(torch.device("cpu"), "float32", 1, "")
    learner = Learner(made, Optimiser(made, TrainConfig()), place, 0, Ranks())
    ids = np.random.default_rng(0).integers(0, size, rows * window + 1)
    batch = Lanes(ids, lanes=rows, window=window, seed=0).batch(0)
    mapped = []
    with place.engaged():
        for step in range(4):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            learner.step(step, batch, 0.0)
            mapped.append(
                (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()
            )
    logits = 4 * rows * window * size
    assert min(mapped[1:]) < logits / 2
