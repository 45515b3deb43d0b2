"""A spreadsheet with labels becomes a writer that takes orders, and a classifier.

python examples/news_by_class.py items.csv text label [minutes]
"""

import sys
from pathlib import Path

import charloom


def main(table: str, text: str, label: str, minutes: float, out: str | Path) -> None:
    """Trains on a table, writes a text of each label, and classifies what it writes."""
    model = charloom.train(table, text=text, condition=label, minutes=minutes, out=out)
    (condition,) = model.model.config.conditions
    for value in condition.values:
        print(f"{value}: {model.generate(condition=value, temperature=0.7)}")
    for found in model.classify([model.generate(condition=condition.values[0], temperature=0.7)]):
        print(f"{found.probabilities[found.label]:.0%} {found.label}: {found.text}")


if __name__ == "__main__":
    main(*sys.argv[1:4], float(sys.argv[4]) if len(sys.argv) > 4 else 5.0, "runs/by-class")
