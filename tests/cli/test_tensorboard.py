"""`charloom train --tensorboard`, read back by TensorBoard's own reader."""

import importlib.util
import math

import pytest

from charloom import run as runs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the reader's own libraries
def test_tensorboard_reads_the_curves_and_samples(quick, tmp_path, trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    text = trained.parent / "verse.txt"
    options = ["--steps", 6, "--hidden", 4, "--documents", "line", "--out", "run", "--tensorboard"]
    found = quick("train", text, *options, "--set", "train.sample_steps=3")
    assert found.code == 0, found.err
    assert "tensorboard --logdir run" in found.err
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    told = board.Scalars("loss/held out, bits")
    kept = runs.records(tmp_path / "run" / "metrics.jsonl")
    assert [each.step for each in told] == [record["step"] for record in kept]
    assert [each.value for each in told] == pytest.approx([record["nats"] / math.log(2) for record in kept])
    assert board.Scalars("loss/training, bits")
    (first, *_) = board.Tensors("sample")
    written = runs.records(tmp_path / "run" / "samples.jsonl")[0]
    shown = first.tensor_proto.string_val[0].decode()
    assert "".join(shown.split()) == "".join((written["prompt"] + written["text"]).split())


def test_without_it_the_extra_is_named_before_anything_is_done(quick, tmp_path, trained, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else real(name)
    )
    found = quick("train", trained.parent / "verse.txt", "--out", "run", "--tensorboard")
    assert found.code == 1
    assert "pip install 'charloom[tensorboard]'" in found.err
    assert not (tmp_path / "run").exists()
