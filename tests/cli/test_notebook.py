"""Progress in a notebook, with IPython's display played by a list."""

import math
import re
import sys
from types import SimpleNamespace

import pytest

import charloom
from charloom.cli.notebook import Block
from charloom.errors import UsageError
from charloom.training.events import Evaluated, Stepped


def stepped(loss: float) -> Stepped:
    return Stepped(step=1, steps=9, loss=loss, seconds=30.0, characters=6000, remaining=90.0)


def test_training_in_a_notebook_draws_one_block_anew(trained, tmp_path, monkeypatch):
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)
    display = SimpleNamespace(HTML=str, display=lambda html, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    text = trained.parent / "verse.txt"
    charloom.train(
        text, out=tmp_path / "run", steps=4, hidden=4, documents="line", on_event=charloom.progress()
    )
    assert len(shown) >= 3
    assert 'progress value="1.000"' in shown[-1]
    assert "done after" in shown[-1]
    assert re.search(r"[▁▂▃▄▅▆▇█]", shown[-1])


def test_the_block_tells_share_loss_and_time_left():
    block = Block()
    assert block.take(stepped(2.0))
    assert block.take(Evaluated(step=1, seconds=1, characters=9, loss=2.0, nats=2.25, rate=0.1, best=True))
    assert not block.take(object())
    html = block.html()
    assert 'value="0.250"' in html
    assert "loss 2.000  held out 2.250  200 characters/s, 1:30 left" in html
    block.take(stepped(math.nan))
    assert "loss –" in block.html()


def test_outside_a_notebook_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(UsageError, match="for notebooks"):
        charloom.progress()
