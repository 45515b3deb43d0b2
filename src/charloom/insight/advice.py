"""What a held-out figure means and what to do about it, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from charloom.insight.baselines import Baseline
from charloom.insight.evaluation import Measure

BY_HEART = 0.3  # share of the held-out loss that the training text does not cost; judged, like the next two
UNTRAINED = 0.05  # the same share, where a network has not even begun to learn by heart
WIDE = 0.1  # the interval's share of the loss from which it settles little


def advice(held_out: Measure, train_nats: float, baselines: Sequence[Baseline]) -> list[str]:
    """Sentences, the gravest first; none where nothing is wrong.

    `train_nats` are the nats a character of the same weights on the text they were trained on, measured
    as `held_out` was; `baselines` are those of the same held-out text.
    """
    found = []
    nats, bits = held_out.nats, held_out.bits_per_character
    gap = (nats - train_nats) / nats if nats else 0.0
    stronger = [baseline for baseline in baselines if baseline.nats <= nats]
    names = ", ".join(f"{baseline.name} ({baseline.bits_per_character:.2f})" for baseline in stronger)
    simple = [baseline for baseline in stronger if baseline.simple]
    low, high = held_out.interval
    worse = "worse than" if all(baseline.nats < low for baseline in stronger) else "no better than"
    if simple and gap > BY_HEART:
        found.append(
            f"At {bits:.2f} bits a character it does {worse} {names}, yet well on its own training "
            "text: it has learned that by heart, or the held-out text is of another kind."
        )
    elif simple:
        found.append(
            f"At {bits:.2f} bits a character it does {worse} {names}: it has hardly been trained, "
            "or something is wrong. Train longer; if that does not help, look at the rate and the text."
        )
    elif stronger:
        found.append(
            f"At {bits:.2f} bits a character it does {worse} {names}: "
            "there is more in this text than it has learned. Train longer, or with a larger --hidden."
        )
    if gap > BY_HEART and not simple:
        found.append(
            f"It pays {gap:.0%} less on its training text: it is learning that by heart. More text helps "
            "most; else more dropout, a smaller --hidden, or a shorter training."
        )
    elif gap < UNTRAINED and not simple:
        found.append(
            "It reads new text as well as its training text: train longer, and when that stops helping, "
            "take a larger --hidden."
        )
    if high - low > WIDE * nats:
        found.append(
            "The held-out text is short: the true figure may lie anywhere from "
            f"{low / math.log(2):.2f} to {high / math.log(2):.2f} bits a character."
        )
    return found


def praise(held_out: Measure, baselines: Sequence[Baseline]) -> list[str]:
    """One sentence where the model does better than all of these, else none."""
    best = min(baselines, key=lambda baseline: baseline.nats)
    if held_out.nats >= best.nats:
        return []
    beaten = f"the best of the others, {best.name} ({best.bits_per_character:.2f})"
    return [f"At {held_out.bits_per_character:.2f} bits a character it does better than {beaten}."]
