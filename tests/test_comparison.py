"""Comparing networks: every cell and depth on real text, shared out, gone on with, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from charloom import comparison, settings
from charloom.comparison import Begun, Result, Row, Shape, Taken
from charloom.errors import RunError, UsageError
from charloom.settings import Settings
from charloom.training.events import Stepped


def plan(text: Path, steps: int = 6) -> Settings:
    sets = ("train.lanes=8", "train.window=32", "train.threads=1")
    return settings.resolve(corpus=[str(text)], sets=sets, flags={"train": {"steps": steps}})


@pytest.fixture
def text(data_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "scene.txt"
    path.write_text((data_folder / "tinyshakespeare.txt").read_text("utf-8")[:30_000], "utf-8")
    return path


def test_all_cells_at_any_depth_under_one_budget(text: Path, tmp_path: Path) -> None:
    shapes = [Shape("lstm", 1, 12), Shape("gru", 2, 12), Shape("rnn", 3, 12)]
    events = list(comparison.compare(plan(text), shapes, [0], tmp_path / "out"))
    found = [event for event in events if isinstance(event, Result)]
    assert [result.shape for result in found] == shapes
    assert all(1 < result.nats < 4.5 and result.speed > 0 for result in found)
    assert all(result.copied is not None and 0 <= result.copied <= 1 for result in found)
    table = comparison.rows(comparison.results(tmp_path / "out"))
    assert {row.shape for row in table} == set(shapes)
    assert [row.nats for row in table] == sorted(row.nats for row in table)
    comparison.draw(table, tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text("utf-8")
    assert drawn.startswith("<?xml")

    again = list(comparison.compare(plan(text), shapes, [0], tmp_path / "out"))
    assert again == found  # nothing is trained a second time
    more = list(comparison.compare(plan(text), shapes[:1], [0, 1], tmp_path / "out"))
    assert [event.name for event in more if isinstance(event, Begun)] == ["lstm-1x12-seed1"]
    (row,) = (row for row in comparison.rows(comparison.results(tmp_path / "out")) if row.seeds == 2)
    assert row.shape == shapes[0]
    assert row.deviation > 0


def test_a_run_that_another_process_holds_is_left_to_it(text: Path, tmp_path: Path) -> None:
    shapes = [Shape("rnn", 1, 8), Shape("rnn", 1, 9)]
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / "rnn-1x8-seed0.lock"):
        events = list(comparison.compare(plan(text, 2), shapes, [0], out))
    assert [event.name for event in events if isinstance(event, Taken)] == ["rnn-1x8-seed0"]
    assert [event.name for event in events if isinstance(event, Begun)] == ["rnn-1x9-seed0"]
    rest = list(comparison.compare(plan(text, 2), shapes, [0], out))
    assert [event.name for event in rest if isinstance(event, Begun)] == ["rnn-1x8-seed0"]


def test_a_broken_off_run_is_trained_anew(text: Path, tmp_path: Path) -> None:
    shapes, out = [Shape("rnn", 1, 8)], tmp_path / "out"
    reasons: list[str] = []
    for event in comparison.compare(plan(text, 50), shapes, [0], out, stop=lambda: "".join(reasons[:1])):
        if isinstance(event, Stepped):
            reasons.append("interrupted")
    assert comparison.results(out) == []
    assert isinstance(list(comparison.compare(plan(text, 50), shapes, [0], out))[-1], Result)


def test_one_folder_holds_one_comparison(text: Path, tmp_path: Path) -> None:
    shapes, out = [Shape("rnn", 1, 8)], tmp_path / "out"
    list(comparison.compare(plan(text, 2), shapes, [0], out))
    with pytest.raises(RunError, match="other settings"):
        list(comparison.compare(plan(text, 3), shapes, [0], out))
    with pytest.raises(UsageError, match="nothing to compare"):
        list(comparison.compare(plan(text, 2), [], [0], out))
    (out / "rnn-1x8-seed0" / "result.json").write_text("{", "utf-8")
    with pytest.raises(RunError, match="trained anew"):
        comparison.results(out)


def test_rows_are_means_over_seeds() -> None:
    def result(seed: int, nats: float) -> Result:
        return Result("gru", 1, 8, seed, nats, 100, 10.0 * (seed + 1), 1.0, None, "")

    (row,) = comparison.rows([result(0, 1.0), result(1, 3.0)])
    assert row == Row(Shape("gru", 1, 8), 2.0, pytest.approx(2**0.5), 100, 15.0, None, 2)
