"""What the processes of test_ranks do: run by torchrun, with a text and how much to train as arguments."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from charloom import job
from charloom.errors import RunError
from charloom.model.config import CELLS, ModelConfig
from charloom.text.corpus import Corpus, DataConfig, prepare
from charloom.training import checkpoint
from charloom.training.config import TrainConfig
from charloom.training.loop import Trainer
from charloom.training.ranks import Ranks

CONFIG = TrainConfig(
    steps=12, lanes=6, window=8, threads=1, precision="float32", evaluate_steps=4, restarts=0.2
)


def exchanged(ranks: Ranks) -> None:
    """Every kind of exchange, with what it should give."""
    made = torch.Generator().manual_seed(0)
    flats = torch.randn(ranks.size, 1001, generator=made)
    expected = flats[0].clone()
    for flat in flats[1:]:
        expected += flat
    assert torch.equal(ranks.sum(flats[ranks.rank].clone()), expected)  # to the bit: in the ranks' order
    assert ranks.share({"ø": [ranks.rank, float("inf")]}) == {"ø": [0, float("inf")]}
    assert ranks.total([ranks.rank, 0.5]) == [sum(range(ranks.size)), 0.5 * ranks.size]
    assert ranks.agree("interrupted" if ranks.rank == 1 else "") == "interrupted"
    assert ranks.agree("") == ""
    assert ranks.agree("a visitor, ø" if ranks.rank == 1 else "") == "a visitor, ø"  # any reason will do
    assert ranks.total([ranks.clock()])[0] == ranks.size * ranks.clock()
    for count in (7, 1):
        state = torch.randn(2, 1, count, 3, generator=made)
        assert torch.equal(ranks.join_rows(state[:, :, ranks.rows(count)], count), state)
    tensors = {"a": {"x": flats, "y": torch.tensor(3)}, "b": {}}
    found = ranks.share_tensors(tensors if ranks.leads else None)
    assert found.keys() == tensors.keys()
    assert torch.equal(found["a"]["x"], flats)
    assert found["a"]["y"] == 3
    ranks.require_same("text", [1])
    other = pytest.raises(RunError, match="reads another text") if ranks.rank else contextlib.nullcontext()
    with other:
        ranks.require_same("text", [ranks.rank])
    assert ranks.one_first(lambda: 5) == 5


def trained(
    corpus: Corpus, model: ModelConfig, config: TrainConfig, run: Path, ranks: Ranks, stops: list[int]
) -> Trainer:
    """Stopped at each of these steps by one rank alone, and gone on with."""
    if ranks.leads:
        run.mkdir()
    ranks.wait()
    made: list[Trainer] = []
    for stop in (*stops, 0):

        def asked(stop: int = stop) -> str:
            return "terminated" if stop and made[-1].step >= stop and ranks.rank == ranks.size - 1 else ""

        made.append(Trainer(corpus, model, config, run, stop=asked, ranks=ranks))
        if len(made) > 1:
            found = checkpoint.latest(run)[0] if ranks.leads else None
            assert made[-1].restore(checkpoint.shared(found, ranks)) == []
        last = list(made[-1].train())[-1]
        assert (last.reason, last.step) == (("terminated", stop) if stop else ("budget", config.steps))
        ranks.wait()
    return made[-1]


def main() -> None:
    """Fail on any rank where something is not as it should be."""
    with Ranks(job.here()).joined() as ranks:
        exchanged(ranks)
        text = ranks.one_first(lambda: prepare([sys.argv[1]]))
        lines = ranks.one_first(lambda: prepare([sys.argv[1]], DataConfig(documents="line")))
        for number, cell in enumerate(CELLS):
            layouts = (("lanes", text), ("shuffled", text), ("documents", lines))
            for layout, corpus in layouts if sys.argv[2] == "all" else [layouts[number]]:
                model = ModelConfig(cell=cell, hidden=8, embedding=4, layers=2, dropout=0.2)
                config = replace(CONFIG, layout=layout)
                runs = [Path(f"{cell}-{layout}-{name}") for name in ("whole", "part", "alone")]
                whole = trained(corpus, model, config, runs[0], ranks, [])
                part = trained(corpus, model, config, runs[1], ranks, [3, 8])
                a, b = whole.snapshot(), part.snapshot()
                for group in checkpoint.GROUPS:
                    for name, tensor in a.tensors[group].items():
                        assert torch.equal(tensor, b.tensors[group][name]), (cell, layout, group, name)
                assert a.facts["best"] == b.facts["best"]
                assert ranks.total([float(w.double().sum()) for w in a.tensors["weights"].values()]) == [
                    ranks.size * float(w.double().sum()) for w in a.tensors["weights"].values()
                ]  # all hold the same
                dry = replace(model, dropout=0.0)
                plain = replace(config, optimiser="adam")  # Muon's bfloat16 makes much of a last bit
                many = trained(corpus, dry, plain, Path(f"{runs[0]}-dry"), ranks, [])
                if ranks.leads:  # what one process would do, but for the order of the sums
                    alone = trained(corpus, dry, plain, runs[2], Ranks(), [])
                    for one, other in zip(alone.network.parameters(), many.network.parameters(), strict=True):
                        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
                ranks.wait()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, so that all can say what they saw
        ranks.wait()
        if ranks.rank == ranks.size - 1:
            os._exit(1)
        with pytest.raises(RunError, match="another rank is gone"):
            ranks.wait()
        print(f"rank {ranks.rank} saw that another is gone", flush=True)


if __name__ == "__main__":
    main()
