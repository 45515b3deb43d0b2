"""Training from Python is shown in a notebook, IPython's display played by a list, and in a terminal."""

import io
import math
import re
import sys
from types import SimpleNamespace

import charloom
from charloom.cli.notebook import Block
from charloom.training.events import Evaluated, Stepped

QUICK = {"steps": 4, "hidden": 4, "documents": "line"}


def stepped(loss: float) -> Stepped:
    return Stepped(step=1, steps=9, loss=loss, seconds=30.0, characters=6000, remaining=90.0)


def test_training_in_a_notebook_draws_one_block_anew(trained, tmp_path, monkeypatch):
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)
    display = SimpleNamespace(HTML=str, display=lambda html, display_id: handle)
    shell = SimpleNamespace(kernel=True)
    here = SimpleNamespace(display=display, get_ipython=lambda: shell, version_info=(9, 0))
    monkeypatch.setitem(sys.modules, "IPython", here)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    charloom.train(trained.parent / "verse.txt", out=tmp_path / "run", **QUICK)
    assert len(shown) >= 3
    assert 'progress value="1.000"' in shown[-1]
    assert "done after" in shown[-1]
    assert re.search(r"[▁▂▃▄▅▆▇█]", shown[-1])


def test_training_in_a_terminal_shows_what_the_command_shows(trained, tmp_path, monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    charloom.train(trained.parent / "verse.txt", out=tmp_path / "silent", progress=False, **QUICK)
    assert terminal.getvalue() == ""
    charloom.train(trained.parent / "verse.txt", out=tmp_path / "run", **QUICK)
    assert "held out" in terminal.getvalue()
    assert "Done after" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_the_block_tells_share_loss_and_time_left():
    block = Block()
    assert block.learn(stepped(2.0))
    assert block.learn(Evaluated(step=1, seconds=1, characters=9, loss=2.0, nats=2.25, rate=0.1, best=True))
    assert not block.learn(object())
    html = block.html()
    assert 'value="0.250"' in html
    assert "loss 2.000  held out 2.250  200 characters/s, 1:30 left" in html
    block.learn(stepped(math.nan))
    assert "loss –" in block.html()
