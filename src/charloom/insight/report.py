"""What is known of a run, and the three sentences that say it: how good, compared with what, what next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from charloom.insight.baselines import Baseline
from charloom.insight.calibration import Calibration
from charloom.insight.diversity import Diversity, Recommendation
from charloom.insight.evaluation import Evaluation
from charloom.insight.extremes import Passage
from charloom.insight.novelty import PREFIX, RECITED, Copied, Recited
from charloom.insight.units import Units

BY_HEART = 0.3  # of the places tried are recited, beyond those of held-out text: no healthy model does
COPY = 30  # characters: a passage so long is no accident in most texts
NAMES = {
    "order 0": "one that knows only how frequent each character is",
    "order 2": "one that counts what follows two characters",
    "order 5": "one that counts what follows five",
    "xz": "the compressor xz",
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What reading a text and writing some has shown. `text` names what was read; `seen`: it was trained on.

    `hardest` and `easiest` are passages of that text. What was `copied` and `recited` stands beside the
    same of held-out text, None where there is none; both are None where copies could not be looked for, and
    `units` where none were looked at.
    """

    text: str
    seen: bool
    evaluation: Evaluation
    baselines: list[Baseline]
    advice: list[str]
    calibration: Calibration
    hardest: list[Passage]
    easiest: list[Passage]
    temperatures: list[Diversity]
    recommendation: Recommendation
    copied: Copied | None
    copied_real: Copied | None
    recited: Recited | None
    recited_real: Recited | None
    units: Units | None

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""

        def told(found: Any) -> Any:
            return None if found is None else found.to_json()

        return {
            "text": self.text,
            "trained_on": self.seen,
            "evaluation": self.evaluation.to_json(),
            "baselines": [each.to_json() for each in self.baselines],
            "advice": self.advice,
            "calibration": self.calibration.to_json(),
            "hardest": [_passage(each) for each in self.hardest],
            "easiest": [_passage(each) for each in self.easiest],
            "temperatures": [each.to_json() for each in self.temperatures],
            "recommended_temperature": self.recommendation.temperature,
            "reason": self.recommendation.reason,
            "copied": told(self.copied),
            "copied_held_out": told(self.copied_real),
            "recited": told(self.recited),
            "recited_held_out": told(self.recited_real),
            "units": [each.to_json() for each in self.units.found] if self.units else None,
            "units_chance": self.units.chance if self.units else None,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run: its records as they lie in its folder, and, once measured, the rest.

    `facts` are words about the run by heading; `settings` its config.toml; `missing` says why something
    could not be measured.
    """

    name: str
    facts: Mapping[str, str]
    settings: str
    metrics: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    measured: Measured | None = None
    missing: list[str] = field(default_factory=list)

    def curve(self, against: str, key: str) -> list[tuple[float, float]]:
        """Bits a character, of `key` "nats" (held out) or "loss" (training), against another key."""
        return [
            (record[against], record[key] / math.log(2))
            for record in self.metrics
            if record.get(key) is not None
        ]

    @property
    def best(self) -> float | None:
        """Bits a character of the best held-out evaluation while it trained."""
        return min((bits for _, bits in self.curve("step", "nats")), default=None)

    @property
    def bits(self) -> float | None:
        """Bits a character, carried, of what was measured."""
        return self.measured.evaluation.carried.bits_per_character if self.measured else self.best

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "run": self.name,
            "sentences": sentences(self),
            "facts": dict(self.facts),
            "best_bits_per_character": self.best,
            "missing": self.missing,
            **(self.measured.to_json() if self.measured else {}),
        }


def sentences(report: Report) -> list[str]:
    """How good it is, compared with what, and what to do next."""
    found = report.measured
    if found is None:
        how = f"{report.best:.2f} bits a character" if report.best is not None else "as yet unknown"
        return [
            f"Its held-out loss is {how}.",
            "Nothing has been compared with it yet.",
            " ".join(report.missing) or f"charloom report {report.name} measures the rest.",
        ]
    return [_how_good(found), _compared(found), _next(report, found)]


def by_heart(found: Measured) -> bool:
    """Whether the model recites its training text, far more than text it has not seen."""
    if found.recited is None:
        return False
    return found.recited.share - (found.recited_real.share if found.recited_real else 0) > BY_HEART


def _how_good(found: Measured) -> str:
    if by_heart(found):
        assert found.recited is not None
        other = f", and at {found.recited_real.share:.0%} of held-out ones" if found.recited_real else ""
        return (
            f"It knows its training text by heart: given {PREFIX} characters of it, it recites the next "
            f"{RECITED} without a mistake at {found.recited.share:.0%} of the places tried{other}."
        )
    bits = found.evaluation.carried.bits_per_character
    what = "its own training text, for nothing was held out," if found.seen else "new text of this kind"
    return (
        f"It predicts {what} at {bits:.2f} bits a character, and its first guess of the next character is "
        f"right {found.calibration.accuracy:.0%} of the time."
    )


def _compared(found: Measured) -> str:
    bits = found.evaluation.carried.bits_per_character
    paid = [
        f"{NAMES[each.name]} {each.bits_per_character:.2f}" for each in found.baselines if each.name in NAMES
    ]
    uniform = next(each for each in found.baselines if each.name == "uniform")
    others = [f"a model that knows nothing pays {uniform.bits_per_character:.2f} bits", *paid]
    listed = ", ".join(others[:-1]) + " and " * bool(others[1:]) + others[-1]
    beaten = all(each.bits_per_character > bits for each in found.baselines)
    own = f"; it pays {bits:.2f} itself" if by_heart(found) else ""
    verdict = "better than all of them" if beaten else "not better than all of them"
    return f"On the same text, {listed}{own}: it is {verdict}."


def _next(report: Report, found: Measured) -> str:
    if by_heart(found):
        return (
            "Give it more text, or a smaller --hidden, or stop earlier; and write with sample --novel "
            f"{COPY}, which keeps longer copies out."
        )
    if found.advice:
        return found.advice[0]
    nats = [bits for _, bits in report.curve("step", "nats")]
    at = f"write with --temperature {found.recommendation.temperature:g}"
    if len(nats) > 2 and nats[-1] == min(nats):
        return (
            "Its held-out loss still fell when training ended: "
            f"charloom train --resume {report.name} --minutes 5 goes on; meanwhile {at}."
        )
    return f"More training alone will hardly help, more text or a larger --hidden may; {at}."


def _passage(found: Passage) -> dict[str, Any]:
    return {
        "text": found.text,
        "bits_per_character": found.bits_per_character,
        "surprise": [round(value, 2) for value in found.surprise.tolist()],
    }
