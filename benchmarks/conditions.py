"""What conditions and sources are worth: real data, nothing tested that was trained on.

    CHARLOOM_DATA=… python benchmarks/conditions.py [classes|worth|digits|numbers…]

- classes: AG News test.csv, split 80/10/10 by a hash of the text, ten minutes of training by class. 400 texts
  (100 a class, temperature 0.7), as learned and at three times that strength, are judged by a classifier that
  is none of ours: TF-IDF of character n-grams with logistic regression, trained on the real training texts.
  Beside it: its accuracy on the real test texts, and that of `charloom classify` on the same.
- worth: the test loss of two trainings of equal seconds, with the class and with it always left unknown.
- digits: scikit-learn's handwritten digits to captions, exact on held-out images, in five random
  folds; in two languages.
- numbers: Spanish to English number words below a million from num2words, 20,000 pairs; exact on others.

Intervals hold 95 % of what other samples of that size would give (Wilson 1927; the loss: bootstrap over
documents, of the difference, Efron and Tibshirani 1993).
"""

from __future__ import annotations

import argparse
import csv
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import charloom
from charloom import verdict
from charloom.runtime.sample import Given
from rows import FOLDER, Rows, data_folder, table

MINUTES, WORTH_MINUTES = 10.0, 2.0
HIDDEN, WORTH_HIDDEN = 512, 256  # of what these minutes can train; equal widths for an equal race
A_CLASS, TEMPERATURE, LENGTH, STRENGTHS = 100, 0.7, 1000, (1.0, 3.0)
NAMES = {
    "English": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "Spanish": ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
}
DIGIT_EPOCHS, FOLDS, NUMBER_EPOCHS = 60, 5, 6
PAIRS, TESTED, BELOW = 20_000, 2_000, 1_000_000


def classes(folder: Path) -> dict[str, Any]:
    """Trains in the results' folder: a training that was broken off goes on."""
    run = FOLDER / "conditions-classes"
    command = ["ag_news:test", "--minutes", f"{MINUTES:g}", "--fractions", "80/10/10", "--out", str(run)]
    command += ["--hidden", str(HIDDEN)]
    if (run / "config.toml").exists():
        command = ["--resume", str(run)]
    if not (run / "report.html").exists():
        subprocess.run([sys.executable, "-m", "charloom", "train", *command], check=True)
    model = charloom.load(run)
    assert model.path is not None
    train = verdict.own_text(model.path, model.model, "train").part
    test = verdict.own_text(model.path, model.model, "test").part
    (condition,) = model.model.config.conditions

    def labelled(part: Any) -> tuple[list[str], list[str]]:
        return list(part.texts()), [condition.values[number] for number in part.labels[:, 0]]

    judge = _judge(*labelled(train))
    texts, labels = labelled(test)
    given = [Given("", value) for value in condition.values]
    written = {}
    for strength in STRENGTHS:
        options = model.settings(temperature=TEMPERATURE, length=LENGTH, strength=strength)
        written[strength] = list(model.generator.sample_many(given, settings=options, n=A_CLASS * len(given)))
    ours = [found.label for found in model.classify(texts)]
    copied = set(train.texts())
    return {
        "seconds": 60 * MINUTES,
        "parameters": model.model.parameters,
        **{
            f"written, strength {strength:g}": _right(
                judge([sample.text for sample in samples]), [sample.condition["class"] for sample in samples]
            )
            for strength, samples in written.items()
        },
        "copied whole": sum(sample.text in copied for samples in written.values() for sample in samples),
        "judge on real texts": _right(judge(texts), labels),
        "classify": _right(ours, labels),
        "example": {
            sample.condition["class"]: sample.text for sample in written[STRENGTHS[-1]][: len(given)]
        },
    }


def _judge(texts: list[str], labels: list[str]) -> Callable[[list[str]], list[str]]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)
    fitted = make_pipeline(words, LogisticRegression(C=10, max_iter=300)).fit(texts, labels)
    return lambda texts: list(fitted.predict(texts))


def worth(folder: Path) -> dict[str, Any]:
    """Nats of each test document under both models: what knowing the class saves."""
    nats: dict[str, Any] = {}
    for name, share in (("with the class", 0.1), ("without", 1.0)):
        model = charloom.train(
            "ag_news:test", out=folder / name, overwrite=True, minutes=WORTH_MINUTES, fractions="80/10/10",
            unconditional=share, hidden=WORTH_HIDDEN,
        )  # fmt: skip
        assert model.path is not None
        part = verdict.own_text(model.path, model.model, "test").part
        conditions = model.model.config.conditions
        eos = np.array([model.model.vocabulary.eos], np.int32)
        ids = [np.concatenate((model.model.encode(text), eos)) for text in part.texts()]
        given = [part.condition(conditions, i) if share < 1 else {} for i in range(len(ids))]
        starts = model.generator.prime_many([Given("", each) for each in given])
        scores = model.generator.score(ids, starts=starts)
        nats[name] = np.array([-score.log_probabilities.sum(dtype=np.float64) for score in scores])
        characters = np.array([len(text) for text in part.texts()])
    bits = {name: float(found.sum() / characters.sum()) / math.log(2) for name, found in nats.items()}
    saved = (nats["without"] - nats["with the class"]) / math.log(2)
    random = np.random.default_rng(0)
    drawn = random.integers(len(saved), size=(1000, len(saved)))
    low, high = np.percentile(saved[drawn].mean(axis=1), (2.5, 97.5))
    return {
        "seconds": 60 * WORTH_MINUTES,
        "bits a character": bits,
        "bits a text saved": [float(saved.mean()), float(low), float(high)],
    }


def digits(folder: Path, languages: Sequence[str]) -> dict[str, Any]:
    """Images to captions; with two languages, the language is a second condition.

    Each image is captioned once, by the one of five models that has not seen it.
    """
    from sklearn.datasets import load_digits

    images, numbers = load_digits(return_X_y=True)
    fold = np.random.default_rng(0).permutation(len(images)) * FOLDS // len(images)
    expected = {language: [_caption(number, language) for number in numbers] for language in languages}
    written = {language: [""] * len(images) for language in languages}
    for part in range(FOLDS):
        model = _captioner(folder, expected, images, np.flatnonzero(fold != part))
        for language in languages:
            more = {"language": language} if len(languages) > 1 else {}
            for i in np.flatnonzero(fold == part):
                written[language][i] = model.caption(images[i], condition=more)
    right = {language: _right(written[language], expected[language]) for language in languages}
    return {"epochs": DIGIT_EPOCHS, "folds": FOLDS, **right}


def _caption(number: int, language: str) -> str:
    return f"{'a' if language == 'English' else 'un'} {NAMES[language][number]}"


def _captioner(
    folder: Path, captions: dict[str, list[str]], images: Any, some: Any
) -> charloom.CharacterModel:
    """A model of `some` of the images and what they are called, in each language."""
    rows = [(called[i], language, images[i]) for i in some for language, called in captions.items()]
    file = folder / "captions.csv"
    _write(file, ["text", "language"], [row[:2] for row in rows])
    np.savez(file.with_suffix(".npz"), image=np.stack([row[2] for row in rows]))
    condition = "image,language" if len(captions) > 1 else "image"
    return charloom.train(
        file, out=folder / "digits", overwrite=True, condition=condition, epochs=DIGIT_EPOCHS,
        hidden=256, patience=0, fractions="95/5/0",
    )  # fmt: skip


def numbers(folder: Path) -> dict[str, Any]:
    from num2words import num2words

    drawn = np.random.default_rng(0).choice(BELOW, PAIRS + TESTED, replace=False).tolist()
    pairs = [(num2words(n, lang="es"), num2words(n, lang="en")) for n in drawn]
    path = folder / "pairs.tsv"
    _write(path, [], pairs[:PAIRS], "\t")
    model = charloom.train(
        path, out=folder / "numbers", overwrite=True, source="0", text="1", epochs=NUMBER_EPOCHS, hidden=256,
        fractions="95/5/0", patience=0,
    )  # fmt: skip
    written = model.translate([source for source, _ in pairs[PAIRS:]])
    return {"epochs": NUMBER_EPOCHS, "exact": _right(written, [text for _, text in pairs[PAIRS:]])}


def _write(path: Path, header: list[str], rows: Sequence[Sequence[str]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([header, *rows] if header else rows)


def _right(found: Sequence[str], expected: Sequence[str]) -> list[float]:
    """How many of how many are right, the share, and its interval."""
    right, count = sum(map(str.__eq__, found, expected)), len(expected)
    share, z = right / count, 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
    return [right, count, share, middle - spread, middle + spread]


def shown(found: Sequence[float]) -> str:
    right, count, share, low, high = found
    return f"{share:.1%} ({right:,.0f} of {count:,.0f}; {low:.1%} to {high:.1%})"


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "classes": classes,
    "worth": worth,
    "digits": lambda folder: digits(folder, ["English"]),
    "digits in two languages": lambda folder: digits(folder, ["English", "Spanish"]),
    "numbers": numbers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    chosen = parser.parse_args().parts or list(PARTS)
    data_folder()
    rows = Rows("conditions")
    told: list[list[object]] = []
    for name in PARTS:
        if not any(name.startswith(part) for part in chosen):
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = rows.measure(name, PARTS[name], Path(folder))
        for key, value in row.items():
            if isinstance(value, list) and len(value) == 5:
                told.append([name, key, shown(value)])
            elif key == "bits a character":
                told += [[name, f"bits a character, {each}", f"{bits:.4f}"] for each, bits in value.items()]
            elif key == "bits a text saved":
                told.append([name, key, "{:.2f} ({:.2f} to {:.2f})".format(*value)])
    print(table(["figure", "", "value (95 %)"], told))


if __name__ == "__main__":
    main()
