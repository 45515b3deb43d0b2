"""Where settings come from, in which order, and what is said of those that do not exist."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from charloom import settings
from charloom.errors import UsageError
from charloom.model.config import CELLS, ModelConfig
from charloom.runtime.options import SamplerConfig
from charloom.text.config import DataConfig
from charloom.training.config import TrainConfig

SMALL = st.floats(0, 100)
DATA = st.builds(
    DataConfig,
    documents=st.sampled_from(["auto", "whole", "line", "blank"]),
    fractions=st.sampled_from([(90, 5, 5), (90.0, 0.0, 10.0), (100, 0, 0), (33.5, 33.5, 33.0)]),
    unit=st.sampled_from(["char", "byte"]),
    normalize=st.sampled_from(["nfc", "none"]),
    encoding=st.sampled_from(["utf-8", "latin-1", "utf-16"]),
    text=st.lists(st.text(st.characters(exclude_characters=","))).map(tuple),
    condition=st.lists(st.text()).map(tuple),
    source=st.text(st.characters()),  # every code point, as a column's or a file's name may be
    validation=st.text(st.characters()),
)
MODEL = st.builds(
    ModelConfig,
    cell=st.sampled_from(CELLS),
    layers=st.integers(1, 64),
    hidden=st.integers(1, 32_768),
    embedding=st.integers(0, 32_768),
    dropout=st.floats(0, 1, exclude_max=True),
)
STEPS = st.integers(0, 10**12)
TRAIN = st.builds(
    TrainConfig,
    steps=STEPS,
    plan=st.lists(st.tuples(STEPS, STEPS)).map(tuple),
    layout=st.sampled_from(["auto", "lanes", "windows", "shuffled"]),
    lanes=st.integers(1, 2**20),
    seed=st.integers(0, 2**32 - 1),
    optimiser=st.sampled_from(["muon", "adam"]),
    rate=SMALL,
    clip=SMALL,
    warmup=st.floats(0, 1),
    decay=st.booleans(),
)
SAMPLE = st.builds(SamplerConfig, temperature=SMALL, top_k=st.integers(0, 1000), length=st.integers(1, 10**6))


@given(
    data=DATA, model=MODEL, train=TRAIN, sample=SAMPLE, corpus=st.lists(st.text(st.characters())),
    preset=st.sampled_from(sorted(settings.PRESETS)),
    reason=st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
)  # fmt: skip
@examples(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_reads_back_equal(
    data: DataConfig, model: ModelConfig, train: TrainConfig, sample: SamplerConfig,
    corpus: list[str], preset: str, reason: str, tmp_path: Path,
) -> None:  # fmt: skip
    resolved = {"data": data, "model": model, "train": train, "sample": sample}
    given_ = settings.Settings(preset, tuple(corpus), {})
    file = tmp_path / "config.toml"
    file.write_bytes(settings.write(given_, resolved, {"model.hidden": reason}))
    found = settings.resolve(file=file)
    assert found.preset == preset
    assert found.corpus == tuple(corpus)
    for section, config in resolved.items():
        assert found.build(section) == config
    assert settings.resolve(file=file, corpus=["other"], preset="auto").corpus == ("other",)


def test_the_later_over_the_earlier(tmp_path: Path) -> None:
    """File < environment < --set < flag."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[train]\nlanes = 1\nwindow = 1\nseed = 1\npatience = 1\n[model]\ncell = "gru"\n', "utf-8"
    )
    found = settings.resolve(
        file=file,
        environment={
            "CHARLOOM_TRAIN_WINDOW": "2", "CHARLOOM_TRAIN_SEED": "2", "CHARLOOM_TRAIN_PATIENCE": "2",
            "CHARLOOM_DATA": "/data", "CHARLOOM_CACHE": "/cache", "HOME": "/", "CHARLOOM_SAMPLE_TOP_K": "2",
        },
        sets=["train.seed=3", "train.patience=3"],
        flags={"train": {"patience": 4}},
    )  # fmt: skip
    train = found.build("train")
    assert (train.lanes, train.window, train.seed, train.patience) == (1, 2, 3, 4)
    assert found.build("model").cell == "gru"
    assert found.build("sample").top_k == 2


def test_a_preset_fills_in_what_nobody_named(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('preset = "lesson"\n[model]\nhidden = 32\n', "utf-8")
    found = settings.resolve(file=file)
    model = found.build("model", {"layers": 3, "dropout": 0.5})
    assert (model.hidden, model.embedding, model.layers, model.dropout) == (32, 0, 3, 0.5)
    assert settings.resolve(file=file, preset="tiny").build("model").embedding == ModelConfig().embedding


@pytest.mark.parametrize("preset", settings.PRESETS)
def test_presets_are_valid(preset: str) -> None:
    found = settings.resolve(preset=preset)
    for section in settings.SECTIONS:
        found.build(section)
    for section, values in settings.PRESETS[preset].items():
        settings.resolve(flags={section: values})


def test_the_lessons_settings() -> None:
    """S5 and S7."""
    found = settings.resolve(preset="lesson")
    assert found.build("train").steps == 10_000
    for budget in ({"minutes": 1.0}, {"epochs": 2.0}, {"steps": 30}):
        given = settings.resolve(preset="lesson", flags={"train": budget}).build("train")
        assert {name: getattr(given, name) for name in settings.BUDGETS if getattr(given, name)} == budget
    assert found.build("model") == ModelConfig(cell="lstm", layers=1, hidden=64, embedding=0, dropout=0.0)
    train = found.build("train")
    assert (train.layout, train.window) == ("windows", 100)
    assert (train.optimiser, train.rate, train.decay, train.warmup, train.clip) == (
        "adam",
        0.01,
        False,
        0.0,
        0.0,
    )


BUDGETS = {"minutes": 7.0, "epochs": 3.0, "steps": 11}


@pytest.mark.parametrize("earlier", BUDGETS)
@pytest.mark.parametrize("later", BUDGETS)
def test_a_later_budget_replaces_an_earlier_one(earlier: str, later: str, tmp_path: Path) -> None:
    """And the plan that the earlier one became."""
    resolved = {name: section() for name, section in settings.SECTIONS.items() if name != "train"} | {
        "train": replace(TrainConfig(plan=((0, 5), (5, 9))), **{earlier: BUDGETS[earlier]})
    }
    file = tmp_path / "config.toml"
    file.write_bytes(settings.write(settings.Settings("auto", (), {}), resolved, {}))
    assert settings.resolve(file=file).build("train") == resolved["train"]
    for where in (
        {"environment": {f"CHARLOOM_TRAIN_{later.upper()}": "2"}},
        {"sets": [f"train.{later}=2"]},
        {"flags": {"train": {later: 2}}},
    ):
        train = settings.resolve(file=file, **where).build("train")  # type: ignore[arg-type]
        assert {name: getattr(train, name) for name in BUDGETS} == dict.fromkeys(BUDGETS, 0) | {later: 2}
        assert train.plan == ()


def test_two_budgets_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="minutes and steps are given; a run has one budget"):
        settings.resolve(flags={"train": {"minutes": 1, "steps": 5}}).build("train")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.documents=line", "line"),
        ('data.documents="line"', "line"),
        ("data.fractions=90/0/10", (90.0, 0.0, 10.0)),
        ("data.fractions=[90, 0, 10]", (90, 0, 10)),
        ("data.text=title,1", ("title", "1")),
        ("data.text=1", ("1",)),
        ("data.text=[1, 'b']", ("1", "b")),
        ("data.validation=5", "5"),
        ("data.validation=a=b.txt", "a=b.txt"),
        ("train.minutes=5", 5.0),
        ("train.rate=1e-3", 0.001),
        ("train.decay=false", False),
        (" train.lanes = 8", 8),
        ("train.plan=[[0, 5], [5, 9]]", ((0, 5), (5, 9))),
        ("model.dropout=0", 0.0),
        ("sample.temperature=1", 1.0),
    ],
)
def test_typed_values(text: str, value: Any) -> None:
    section, _, key = text.partition("=")[0].strip().partition(".")
    found = getattr(settings.resolve(sets=[text]).build(section), key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sets": ["train.lane=3"]}, "--set train.lane: [train] has no key 'lane'; did you mean 'lanes'?"),
        ({"sets": ["train.xyzzy=3"]}, "[train] has no key 'xyzzy'; there are minutes, epochs"),
        ({"sets": ["trian.lanes=3"]}, "there is no section 'trian'; did you mean 'train'?"),
        ({"sets": ["lanes=3"]}, "--set lanes=3: it takes section.key=value, such as train.rate=0.003"),
        ({"sets": ["train.lanes"]}, "it takes section.key=value"),
        ({"environment": {"CHARLOOM_MODEL_HIDEN": "3"}}, "CHARLOOM_MODEL_HIDEN: [model] has no key 'hiden'"),
        ({"flags": {"model": {"cel": "gru"}}}, "did you mean 'cell'?"),
        ({"preset": "huge"}, "preset 'huge' is not known; there are auto, lesson"),
    ],
)
def test_what_does_not_exist_names_the_nearest(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings.resolve(**options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train.lanes=many", "train.lanes is 'many'; it takes a whole number"),
        ("train.lanes=2.5", "train.lanes is 2.5; it takes a whole number"),
        ("train.lanes=true", "it takes a whole number"),
        ("train.decay=1", "train.decay is 1; it takes true or false"),
        ("train.rate=fast", "rate is 'fast'; it takes a number"),
        ("train.rate=nan", "rate is nan"),
        ("data.encoding=[1]", "data.encoding is (1,); it takes a text"),
        ("data.fractions=90-10", "fractions are '90-10'; they are three percentages such as 90/5/5"),
        ("data.fractions=90/10", "fractions"),
        ("data.fractions=90/a/10", "fractions"),
        ("data.fractions=['90', 'a', '10']", "fractions"),
        ("data.fractions=90", "fractions"),
        ("data.documents=lines", "documents"),
        ("data.documents=2024-01-01", "documents"),
        ("data.source=2024-01-01", "data.source"),
        ("model.cell=[1]", "cell"),
        ("train.plan=5", "plan"),
        ("train.plan=[1]", "plan"),
        ("train.plan=[['a', 'b']]", "plan"),
        ("sample.temperature=hot", "temperature"),
        ("sample.stop=['']", "stop"),
    ],
)
def test_a_value_of_the_wrong_kind_is_one_line(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings.resolve(sets=[text]).build(text.partition(".")[0])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[train\n", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"train = 5\n", "'train' is no section; there are data, model, train, sample"),
        (b"[trains]\nlanes = 5\n", "no section 'trains'; did you mean 'train'?"),
        (b"[train]\nlains = 5\n", "has no key 'lains'; did you mean 'lanes'?"),
        (b"corpuss = 'a'\n", "'corpuss' is no section"),
    ],
)
def test_a_file_that_makes_no_sense(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        settings.resolve(file=file)
    assert str(caught.value).startswith(f"{file}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_as_people_write_it(tmp_path: Path) -> None:
    """With the mark that Windows editors put first, its line ends, and one corpus without brackets."""
    file = tmp_path / "config.toml"
    file.write_bytes('\ufeffcorpus = "bücher/*.txt"\r\n[train]\r\nminutes = 5\r\n'.encode())
    found = settings.resolve(file=file)
    assert found.corpus == ("bücher/*.txt",)
    assert found.build("train").minutes == 5
    with pytest.raises(UsageError, match="cannot be read"):
        settings.resolve(file=tmp_path / "nowhere.toml")


def test_the_section_of_an_option() -> None:
    assert [settings.section_of(key) for key in ("fractions", "hidden", "minutes", "top_k")] == [
        "data", "model", "train", "sample"
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"there is no option 'hiden'; did you mean 'hidden'?"):
        settings.section_of("hiden")


def test_reasons_stand_beside_what_was_chosen() -> None:
    resolved = {name: section() for name, section in settings.SECTIONS.items()}
    text = settings.write(settings.resolve(), resolved, {"model.hidden": "the budget"}).decode("utf-8")
    assert "hidden = 512  # the budget\n" in text
    assert "top_k" in text
    assert "ban" not in tomllib.loads(text)["sample"]  # a model folder keeps only some of them


def test_reasons_are_read_back(tmp_path: Path) -> None:
    resolved = {
        "data": DataConfig(source="a  # b\u2028[model]", fractions=(90, 0, 10)),
        "model": ModelConfig(hidden=64),
        "train": TrainConfig(plan=((0, 1), (2, 3))),
    }
    given = {
        "data.source": "as # said", "data.fractions": "a [guess]", "model.hidden": "é = 3  # so",
        "train.plan": "as it was",
    }  # fmt: skip
    file = tmp_path / "config.toml"
    file.write_bytes(settings.write(settings.resolve(), resolved, given))
    assert settings.reasons(file) == given
    file.write_text("[model]\nhidden=64 # mine\ncell = 'gru'  # edited\nlayers = 2\n", "utf-8")
    assert settings.reasons(file) == {}
