"""Translation by one network: Spanish number words to English ones. Needs num2words for the pairs.

python examples/translate_numbers.py [pairs] [epochs]
"""

import csv
import random
import sys
from pathlib import Path

from num2words import num2words

import charloom

TESTED = 200


def main(count: int, epochs: float, folder: str | Path) -> int:
    """Trains on `count` pairs below a million; returns how many of 200 others come out exact."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = random.Random(0).sample(range(1_000_000), count + TESTED)
    pairs = [(num2words(n, lang="es"), num2words(n, lang="en")) for n in numbers]
    with (folder / "pairs.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(pairs[:count])
    model = charloom.train(folder / "pairs.tsv", out=folder / "run", source="0", text="1", epochs=epochs)
    written = model.translate([spanish for spanish, _ in pairs[count:]])
    right = sum(found == english for found, (_, english) in zip(written, pairs[count:], strict=True))
    print(f"{right} of {TESTED} exact, such as {pairs[-1][0]} → {written[-1]}")
    return right


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        int(arguments[0]) if arguments else 20_000,
        float(arguments[1]) if len(arguments) > 1 else 12,
        "runs/numbers",
    )
