"""Reports on two models: one that knows its text by heart, and one that has learned from it."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from charloom import api, reporting
from charloom.cli.events import writing
from charloom.errors import RunError
from charloom.insight.report import Report, by_heart, sentences
from charloom.insight.score import score
from in_browser import chromium
from typed import here

WITHIN = """[...document.querySelectorAll(".text span")].every(span => [...span.getClientRects()].every(
    line => line.right <= span.closest(".text").getBoundingClientRect().right))"""
POEM = """\
I met a traveller from an antique land,
Who said: Two vast and trunkless legs of stone
Stand in the desert. Near them, on the sand,
Half sunk, a shattered visage lies, whose frown,
And wrinkled lip, and sneer of cold command,
Tell that its sculptor well those passions read
Which yet survive, stamped on these lifeless things,
The hand that mocked them, and the heart that fed:
And on the pedestal these words appear:
My name is Ozymandias, king of kings:
Look on my works, ye Mighty, and despair!
Nothing beside remains. Round the decay
Of that colossal wreck, boundless and bare
The lone and level sands stretch far away.
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def reciting(folder: Path) -> Path:
    run = folder / "poem"
    if not run.exists():
        (folder / "poem.txt").write_text(POEM, encoding="utf-8")
        sizes = {"hidden": 64, "embedding": 16, "lanes": 4, "window": 64, "dropout": 0.0}
        api.train(
            folder / "poem.txt", out=run, steps=400, documents="whole", fractions=(85, 0, 15),
            evaluate_steps=200, **sizes,
        )  # fmt: skip
    return run


@pytest.fixture
def healthy(folder: Path) -> Path:
    """Some steps on half a megabyte: far from knowing it."""
    run = folder / "docs"
    if not run.exists():
        api.train(out=run, steps=60, hidden=32, lanes=32, evaluate_steps=20, sample_steps=20)
    return run


@pytest.fixture(scope="module")
def _kept() -> dict[str, Report]:
    return {}


@pytest.fixture
def reports(reciting: Path, healthy: Path, _kept: dict[str, Report]) -> dict[str, Report]:
    if not _kept:
        for name, run in (("reciting", reciting), ("healthy", healthy)):
            _kept[name] = reporting.gathered(run, api.load(run).generator)
    return _kept


def test_a_model_that_recites_is_told_so_first_and_a_healthy_one_is_not(reports):
    first = {name: sentences(report)[0] for name, report in reports.items()}
    assert first["reciting"].startswith("It knows its training text by heart: ")
    assert first["healthy"].startswith("It predicts new text of this kind at ")
    reciting, healthy = reports["reciting"].measured, reports["healthy"].measured
    assert by_heart(reciting)
    assert not by_heart(healthy)
    assert reciting.recited.share > 0.5
    assert reciting.recited_real is None or reciting.recited_real.share == 0
    assert healthy.recited.share < 0.3
    assert len(reciting.copied.longest) > 20 > len(reciting.copied_real.longest)
    for report in reports.values():
        assert len(sentences(report)) == 3
        assert report.missing == []
        told = json.loads(json.dumps(report.to_json()))
        assert told["sentences"] == sentences(report)
        bits = told["evaluation"]["carried"]["bits_per_character"]
        assert report.bits == bits > 0


def test_the_page_holds_all_of_it_and_nothing_from_elsewhere(reports, tmp_path):
    report = replace(reports["healthy"], name="<b>run</b>", facts={"Text": "<script>alert(1)</script>"})
    page = reporting.written([report], [], tmp_path / "page.html").read_text("utf-8")
    assert len(page) < 2_000_000
    for heading in (
        "How it learned", "What it wrote on the way", "Which temperature", "The hardest and the easiest",
        "Does it know what it knows", "Is it repeating its text", "What its units stand for",
        "What the run was",
    ):  # fmt: skip
        assert f"<h2>{heading}" in page
    for sentence in sentences(report):
        assert sentence in unescape(re.sub("</?code>", "", page))
    assert f"Dashed: what is paid for {report.measured.text}. The held-out curve is of the val" in page
    assert ">this model<" in page
    assert "<script" not in page
    assert "<b>run" not in page
    assert page.count("<svg") == 5
    assert "src=" not in page
    assert "url(http" not in page


def test_at_the_end_of_training_the_page_has_what_is_known_by_then(healthy, tmp_path):
    assert "charloom report" in (healthy / "report.html").read_text("utf-8")  # `train` has written it
    run = tmp_path / "run"
    shutil.copytree(healthy, run)
    page = reporting.finished(run).read_text("utf-8")
    assert page.count("<svg") == 2
    assert "What it wrote on the way" in page
    assert "charloom report" in page
    machine = json.loads((run / reporting.MACHINE).read_text("utf-8"))
    assert "torch" in machine["Versions"]
    assert reporting.known(run).facts["Machine"] == machine["Machine"]


def test_a_run_whose_text_is_gone_says_so_and_tells_the_rest(folder, reciting, tmp_path):
    run = tmp_path / "orphan"
    shutil.copytree(reciting, run)
    config = (run / "config.toml").read_text("utf-8")
    (run / "config.toml").write_text(config.replace("poem.txt", "gone.txt"), encoding="utf-8")
    report = reporting.gathered(run, api.load(run).generator)
    assert report.measured is None
    assert "not here any more" in report.missing[0]
    assert len(sentences(report)) == 3
    assert "How it learned" in reporting.written([report], [], tmp_path / "page.html").read_text("utf-8")
    with pytest.raises(RunError, match="cannot be written"):
        reporting.written([report], [], tmp_path / "no" / "page.html")


def test_a_report_on_documents_that_no_line_end_stands_between(tmp_path):
    """The lesson's model cannot read one, where no text has it."""
    rows = "".join(f"the {n} cats sat on mat {n % 7} and saw {n * 3} birds " * 3 + "\n" for n in range(90))
    (tmp_path / "t.csv").write_text("text\n" + rows, encoding="utf-8")
    events: list = []
    model = api.train(
        tmp_path / "t.csv", out=tmp_path / "run", preset="lesson", steps=2, on_event=events.append
    )
    writes_as_told(events)
    assert "\n" not in model.model.vocabulary.places
    report = reporting.gathered(tmp_path / "run", model.generator)
    assert report.missing == []
    assert "\n" not in report.measured.units.text
    reporting.written([report], [], tmp_path / "page.html")


def test_a_report_on_a_translator_reads_what_belongs_to_the_texts(tmp_path):
    rows = [
        f"{n} gatos y {n % 7} perros en el jardin,{n} cats and {n % 7} dogs in the garden" for n in range(99)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["es,en", *rows]), encoding="utf-8")
    options = {"source": "es", "text": "en", "hidden": 24, "fractions": (70, 0, 30)}
    events: list = []
    out = tmp_path / "run"
    generator = api.train(tmp_path / "t.csv", out=out, steps=60, on_event=events.append, **options).generator
    writes_as_told(events)
    report = reporting.gathered(tmp_path / "run", generator)
    found = report.measured
    assert [each.split(":")[0] for each in report.missing] == ["Its units are not looked at"]
    assert found.units is None
    told = json.loads(json.dumps(report.to_json()))
    assert told["units"] is None
    page = reporting.written([report], [], tmp_path / "page.html").read_text("utf-8")
    assert "Its units are not looked at" in page
    text = reporting.held_out(tmp_path / "run", generator.model)
    pairs = zip(text.part.texts(), text.part.sources(), strict=True)
    bits = sum(bits_of(generator, *pair) for pair in pairs)
    assert told["evaluation"]["carried"]["bits_per_character"] == pytest.approx(
        bits / text.part.characters, rel=1e-3
    )
    verdict = reporting.compared(generator, generator, text, ("a", "b"))
    assert verdict.bits_per_character[0] == pytest.approx(bits / text.part.characters, rel=1e-3)


def writes_as_told(events):
    """The command that is recommended after training."""
    found = here(*shlex.split(writing(events[0]))[1:], "--length", 5)
    assert (found.code, found.err) == (0, "")


def bits_of(generator, text, source):
    """What a text and its end cost after its source."""
    (found,) = score(generator, [text], source=source)
    return found.bits


def test_runs_side_by_side(reports, healthy, folder, tmp_path):
    other = folder / "smaller"
    api.train(out=other, steps=1, hidden=8, lanes=32)
    models = [(str(run), api.load(run).generator) for run in (healthy, other)]
    verdicts = reporting.verdicts(models)
    assert verdicts[0].better == str(healthy)
    weak = reporting.known(other)
    page = reporting.written([weak, reports["healthy"]], verdicts, tmp_path / "c.html").read_text("utf-8")
    assert page.index(f"<td>{healthy}") < page.index(f"<td>{other}")  # the best first
    assert f"{healthy} is better than {other} by " in page
    assert reporting.verdicts([(str(healthy), models[0][1]), (str(folder / "poem"), models[1][1])])


def test_the_page_opens_in_a_browser(reports, tmp_path):
    path = reporting.written([reports["healthy"]], [], tmp_path / "page.html")
    with chromium() as browser:
        page = browser.new_page()
        asked: list[str] = []
        troubles: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(path.as_uri())
        assert asked == [path.as_uri()]
        assert troubles == []
        assert page.locator("p.lead").count() == 3
        assert page.locator("p.lead").first.is_visible()
        for width in (1200, 390):
            page.set_viewport_size({"width": width, "height": 900})
            for svg in page.locator("svg").all():
                box = svg.bounding_box()
                assert box is not None
                assert box["width"] > 250
                assert box["x"] + box["width"] <= width
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(WITHIN), "text hangs out of its box"
            wide = page.locator(".scroll").evaluate_all(
                "all => all.filter(e => e.scrollWidth > e.clientWidth).length"
            )
            assert width < 1200 or not wide
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.emulate_media(color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != paper
