"""What is lost when a run is killed, and what it costs that nothing is: the table in docs/promises.md.

    python benchmarks/nothing_lost.py [kills] [saves] [stops] [checkpoint] [scaling] [preparation] [limited]

`kills` and `saves` kill real training processes, `stops` sends them a signal, `scaling` starts torchrun.
`preparation` needs 32 GB of room for 10 GB of text, `limited` 44 GB for 20 (in CHARLOOM_SCRATCH, or the
system's temporary folder). Rows that stand in results/ are not measured again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from corpora import LIMIT, LINKED, SIZES, preparation
from exchange import scaling
from kills import kills, saves, workplace
from rows import Rows, table
from stops import stops

KILLS = 200
AT_ONCE = 10  # in a row of the table


def cost() -> dict[str, Any]:
    """Seconds that a checkpoint takes, and the share of the default interval."""
    from charloom.model.config import ModelConfig
    from charloom.text.corpus import prepare
    from charloom.training.config import TrainConfig
    from charloom.training.loop import Trainer

    found: dict[str, Any] = {}
    for hidden in (512, 1024):
        with workplace() as place:
            config = TrainConfig(steps=10**6)
            trainer = Trainer(prepare([place / "text.txt"]), ModelConfig(hidden=hidden), config, place)
            with trainer.place.engaged():
                trainer.budget.begin()
                for _ in range(2):
                    trainer.take_step()
            seconds = []
            for _ in range(5):
                start = time.perf_counter()
                size = sum(path.stat().st_size for path in trainer.save().path.iterdir())
                seconds.append(time.perf_counter() - start)
            taken = statistics.median(seconds)
            share = taken / (taken + config.checkpoint_seconds)
            found[f"hidden {hidden}"] = {"MB": size / 1e6, "seconds": taken, "share": share}
    return found


def tell(name: str, row: dict[str, Any]) -> None:
    """A row, as lines of a table."""
    told: list[list[object]] = []
    for key, value in row.items():
        if key not in ("row", "machine"):
            inner = value if isinstance(value, dict) else {"": value}
            text = ", ".join(f"{k} {v:.4g}".strip() if isinstance(v, float) else f"{k} {v}".strip()
                             for k, v in inner.items())  # fmt: skip
            told.append([key, text])
    print(f"\n### {name}\n\n{table(['what', 'measured'], told)}")


def main() -> None:
    """Measure what is asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = ("kills", "saves", "stops", "checkpoint", "scaling", "preparation", "limited")
    parser.add_argument("parts", nargs="*", help=", ".join(parts))
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=SIZES, help="to prepare")
    parser.add_argument("--operations", type=int, help="of saves at which to kill; all of them by default")
    chosen = parser.parse_args()
    rows = Rows("nothing_lost")
    for part in chosen.parts or parts:
        match part:
            case "kills":
                done: dict[str, Any] = {}
                for first in range(0, chosen.kills, AT_ONCE):
                    count = min(AT_ONCE, chosen.kills - first)
                    row = rows.measure(f"kills from {first}, {count}", kills, count, first)
                    numbers = {key: value for key, value in row.items() if isinstance(value, int)}
                    done = {
                        key: max(done.get(key, 0), value) if "most" in key else done.get(key, 0) + value
                        for key, value in numbers.items()
                    }
                tell(part, done)
            case "saves":
                tell(part, rows.measure(part, saves, chosen.operations))
            case "stops":
                tell(part, rows.measure(part, stops))
            case "checkpoint":
                tell(part, rows.measure(part, cost))
            case "scaling":
                tell(part, rows.measure(part, scaling))
            case "preparation":
                for size in chosen.gigabytes:
                    tell(f"{size:g} GB", rows.measure(f"{size:g} GB", preparation, size))
            case "limited":
                name = f"{LINKED} GB in {LIMIT / 2**30:g} GiB"
                tell(name, rows.measure(name, preparation, 1.0, LINKED, LIMIT))
            case _:
                parser.error(f"{part}: choose of {', '.join(parts)}")


if __name__ == "__main__":
    main()
