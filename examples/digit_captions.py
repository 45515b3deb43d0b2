"""Images to words: handwritten digits, in two languages. Needs scikit-learn for the images.

python examples/digit_captions.py [epochs]
"""

import csv
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import charloom

NAMES = {
    "English": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "Spanish": ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
}
HELD_OUT = 300


def main(epochs: float, folder: str | Path) -> int:
    """Trains on all but 300 images; returns how many of those it names right in both languages."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))  # the last are of other hands
    images, digits = images[order], digits[order]
    rows = [(language, i) for i in range(len(images) - HELD_OUT) for language in NAMES]
    with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "language"])
        writer.writerows((NAMES[language][digits[i]], language) for language, i in rows)
    np.savez(folder / "captions.npz", image=images[[i for _, i in rows]])  # a row for each caption
    model = charloom.train(
        folder / "captions.csv", out=folder / "run", condition="image,language", epochs=epochs, hidden=96
    )
    right = 0
    for image, digit in zip(images[-HELD_OUT:], digits[-HELD_OUT:], strict=True):
        said = {language: model.caption(image, condition={"language": language}) for language in NAMES}
        right += all(said[language] == NAMES[language][digit] for language in NAMES)
    print(f"{right} of {HELD_OUT} right in both languages, such as {said}")
    return right


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 40, "runs/digits")
