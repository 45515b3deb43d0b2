"""Export a model as one ONNX step graph: ids (B, T), state (L, P, B, H) -> logits (B, T, V), state.

A model with conditions takes a third input, condition (B, S). The graph applies it to the rows whose state
is zero, before a text's first step, and ignores it everywhere else: callers pass the same condition at every
step. S is laid out as the metadata's `conditions`: one-hot values for a label, `(values - mean) / deviation`
for an array, each followed by a 1; all zeros where the condition is unknown. A guidance scale multiplies the
whole vector. A source is read like any other ids: `<bos>` source `<sep>`, then the text.

Where B or T is 0, an `If` returns empty logits and the state as it came: ONNX Runtime's LSTM and GRU abort
the process on an empty input (seen with 1.23), which no caller could catch.

The graph is built operator by operator and compared with the runtime before it is written. Gates change
their order: torch's LSTM i f g o is ONNX's i o f c (its c is g), GRU r z n is z r h with
linear_before_reset=1. The file's metadata holds config.json, vocab.json and generation.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from charloom.errors import MissingExtraError, ModelError
from charloom.model.config import Cell
from charloom.model.folder import FORMAT, Model
from charloom.runtime import twins
from charloom.runtime.arrays import Floats
from charloom.runtime.beginning import Beginning
from charloom.runtime.weights import fold
from charloom.system.files import replace_file
from charloom.text.condition import width

OPSET, IR_VERSION = 17, 8  # of 2022: every runtime in use reads them
TOLERANCE = 1e-4
OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
ORDER: dict[Cell, tuple[int, ...]] = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""ONNX's gates as places in torch's order."""


def write(model: Model, out: Path) -> int:
    """Write the graph to `out`; its size in bytes.

    Raises MissingExtraError without onnx and onnxruntime, ModelError where they disagree with the runtime,
    RunError where the file cannot be written.
    """
    content = graph(model)
    check(model, content)
    replace_file(out, content)
    return len(content)


def graph(model: Model) -> bytes:
    """The file's content."""
    try:
        from onnx import TensorProto, checker, helper
    except ImportError as error:
        raise MissingExtraError("ONNX export", "onnx") from error
    config, size = model.config, len(model.vocabulary)
    nodes: list[Any] = []
    constants: dict[str, np.ndarray[Any, Any]] = {}

    def node(operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def constant(name: str, value: np.ndarray[Any, Any]) -> str:
        constants[name] = value
        return name

    first = constant("first", np.array([0]))
    directions = constant("directions", np.array([1]))
    if config.embedding:
        table = constant("embedding", model.weights["embedding.weight"])
        node("Gather", [table, "ids"], ["embedded"])
    else:
        # OneHot gives zeros for an id beyond the vocabulary; Gather refuses it
        row = node("Gather", [constant("rows", np.arange(size)), "ids"], ["row"])
        depth, values = constant("depth", np.array(size)), constant("values", np.array([0, 1], np.float32))
        node("OneHot", [row, depth, values], ["embedded"])
    x = node("Transpose", ["embedded"], ["x.0"], perm=[1, 0, 2])  # (T, B, E)
    states, state = [], "state"
    if config.conditions:
        matrix = constant("condition.weight", Beginning(model).matrix.T)
        initial = node("MatMul", ["condition", matrix], ["initial"])  # (B, L · P · H)
        shape = constant("initial.shape", np.array([0, config.layers, config.parts, config.hidden]))
        initial = node("Reshape", [initial, shape], ["initial.rows"])
        initial = node("Transpose", [initial], ["initial.state"], perm=[1, 2, 0, 3])
        size_of_state = node("Abs", ["state"], ["state.abs"])
        largest = node("ReduceMax", [size_of_state], ["state.max"], axes=[0, 1, 3], keepdims=1)
        zero = node("Equal", [largest, constant("zero", np.array(0, np.float32))], ["state.zero"])
        state = node("Where", [zero, initial, "state"], ["state.initial"])
    for k in range(config.layers):
        weights = {name: constant(f"layers.{k}.{name}", array) for name, array in _layer(model, k).items()}
        layer = node(
            "Gather", [state, constant(f"layer.{k}", np.array(k))], [f"state.{k}"], axis=0
        )  # (P, B, H)
        parts = [f"state.{k}.{part}" for part in range(config.parts)]
        node("Split", [layer], parts, axis=0)  # each (1, B, H), as ONNX's one direction
        after = [f"after.{k}.{part}" for part in range(config.parts)]
        attributes: dict[str, Any] = {"linear_before_reset": 1} if config.cell == "gru" else {}
        node(
            OPERATORS[config.cell],
            [x, weights["W"], weights["R"], weights["B"], "", *parts],
            [f"out.{k}", *after],
            hidden_size=config.hidden,
            **attributes,
        )
        y = node("Squeeze", [f"out.{k}", directions], [f"y.{k}"])  # (T, B, H)
        x = node("Add", [x, y], [f"x.{k + 1}"]) if k else y
        joined = node("Concat", after, [f"joined.{k}"], axis=0)
        states.append(node("Unsqueeze", [joined, first], [f"next.{k}"]))
    node("Concat", states, ["read.state"], axis=0)
    product = node("MatMul", [x, constant("output.weight", model.weights["output.weight"].T)], ["product"])
    node("Add", [product, constant("output.bias", model.weights["output.bias"])], ["by_time"])
    node("Transpose", ["by_time"], ["read.logits"], perm=[1, 0, 2])

    def value(name: str, kind: int, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    def results(prefix: str = "", after: str = "state") -> list[Any]:
        return [
            value(f"{prefix}logits", TensorProto.FLOAT, "batch", "time", size),
            value(f"{prefix}{after}", TensorProto.FLOAT, config.layers, config.parts, "batch", config.hidden),
        ]

    read = helper.make_graph(nodes, "read", [], results("read."))
    constant("size", np.array([size]))
    empty = [
        helper.make_node("Shape", ["ids"], ["ids.shape"]),
        helper.make_node("Concat", ["ids.shape", "size"], ["empty.shape"], axis=0),
        helper.make_node("ConstantOfShape", ["empty.shape"], ["empty.logits"]),
        helper.make_node("Identity", ["state"], ["empty.state"]),
    ]
    choose = [
        helper.make_node("Size", ["ids"], ["ids.size"]),
        helper.make_node("Equal", ["ids.size", constant("none", np.array(0))], ["nothing"]),
        helper.make_node(
            "If",
            ["nothing"],
            ["logits", "next_state"],
            then_branch=helper.make_graph(empty, "empty", [], results("empty.")),
            else_branch=read,
        ),
    ]
    inputs = [value("ids", TensorProto.INT64, "batch", "time"), results()[1]]
    if config.conditions:
        inputs.append(value("condition", TensorProto.FLOAT, "batch", width(config.conditions)))
    built = helper.make_model(
        helper.make_graph(
            choose,
            "charloom",
            inputs,
            results(after="next_state"),
            [_tensor(name, array) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="charloom",
    )
    helper.set_model_props(built, _metadata(model))
    checker.check_model(built, full_check=True)
    return bytes(built.SerializeToString())


def check(model: Model, content: bytes) -> None:
    """Compare the graph with the runtime on several texts at once, one of them from the zero state.

    Raises ModelError where logits or states differ by more than 1e-4.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("ONNX export", "onnx") from error
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    ids = random.integers(len(model.vocabulary), size=(3, 7))
    state = np.tanh(random.normal(size=model.config.state_shape(3))).astype(np.float32)
    state[:, :, 0] = 0
    given = {}
    expected: Floats = state.copy()
    if model.config.conditions:
        given["condition"] = random.normal(size=(3, width(model.config.conditions))).astype(np.float32)
        expected[:, :, 0] = Beginning(model).states(given["condition"])[0].hidden
    logits, after = session.run(None, {"ids": ids, "state": state, **given})
    network = fold(model.config, model.weights, "float32")
    worst = 0.0
    for t in range(ids.shape[1]):
        step, expected = twins.step(network, ids[:, t].astype(np.int32), expected)
        worst = max(worst, float(np.abs(step - logits[:, t]).max()))
    worst = max(worst, float(np.abs(expected - after).max()))
    if not worst <= TOLERANCE:
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} differs from charloom's by {worst:.2g} on this model; "
            "install another version of it"
        )


def _layer(model: Model, k: int) -> dict[str, Floats]:
    """Weights of layer k as ONNX holds them, with a leading axis for its one direction."""
    blocks = ORDER[model.config.cell]

    def ordered(name: str) -> Floats:
        split = np.split(model.weights[f"layers.{k}.{name}"], len(blocks))
        return np.concatenate([split[gate] for gate in blocks])

    return {
        "W": ordered("weight_input")[None],
        "R": ordered("weight_hidden")[None],
        "B": np.concatenate((ordered("bias_input"), ordered("bias_hidden")))[None],
    }


def _tensor(name: str, array: np.ndarray[Any, Any]) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.array(array, order="C"), name)


def _metadata(model: Model) -> dict[str, str]:
    config = {
        "format": FORMAT,
        "unit": model.vocabulary.unit,
        "model": model.config.to_json(),
        "conditions": {each.name: each.to_json() for each in model.config.conditions},
    }
    return {
        "config": json.dumps({**config, "provenance": dict(model.provenance)}),
        "vocabulary": json.dumps(model.vocabulary.to_json()),
        "sampling": json.dumps(dict(model.sampling)),
        "metrics": json.dumps(dict(model.metrics)),
    }
