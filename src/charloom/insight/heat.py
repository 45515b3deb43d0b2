"""Surprise as colour: the same few levels in a terminal, on a page and in a report."""

from __future__ import annotations

import html
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from charloom.insight.score import Scored

BOUNDS = (2.0, 4.0, 6.0, 9.0, 13.0)  # bits where a next level begins: 1 in 4, in 16, in 64, in 500, in 8,000
STYLE = """\
.heat { white-space: break-spaces; overflow-wrap: anywhere; font-family: ui-monospace, monospace; }
.h1 { background: rgb(255 170 0 / 16%) } .h2 { background: rgb(255 140 0 / 32%) }
.h3 { background: rgb(255 100 0 / 46%) } .h4 { background: rgb(245 60 20 / 60%) }
.h5 { background: rgb(225 20 40 / 78%); color: #fff }
"""  # translucent, so that it does on white and on black
PAGE = """\
:root { color-scheme: light dark; } body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; }
th { text-align: left; font-weight: 600; } th, td { padding: 0.1rem 0.8rem 0.1rem 0; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
"""


def level(bits: float) -> int:
    """From 0, expected, to 5, in the training text hardly ever."""
    return bisect_right(BOUNDS, bits)


def runs(text: str, surprise: Sequence[float]) -> Iterator[tuple[int, str]]:
    """(level, characters) of neighbouring characters of one level; `surprise` in bits, one a character."""
    pairs = zip(map(level, surprise), text, strict=True)
    for shared, group in groupby(pairs, key=lambda pair: pair[0]):
        yield shared, "".join(character for _, character in group)


def spans(text: str, surprise: Sequence[float]) -> str:
    """The text as HTML with a `<span>` for each run above level 0; what it holds cannot leave its place."""
    return "".join(
        f'<span class="h{shared}">{html.escape(run)}</span>' if shared else html.escape(run)
        for shared, run in runs(text, surprise)
    )


def page(rows: Iterable[tuple[str, Scored]]) -> Iterator[str]:
    """A whole page, piece by piece: (place, scored text) a row, its strangeness and bits a character."""
    yield "<!doctype html>\n<meta charset=utf-8>\n<meta name=viewport content='width=device-width'>\n"
    yield f"<title>charloom score</title>\n<style>\n{PAGE}{STYLE}</style>\n"
    yield "<table>\n<tr><th>line<th>strangeness<th>bits a character<th>text\n"
    for place, scored in rows:
        text = spans(scored.text, scored.surprise.tolist())
        yield (
            f"<tr><td>{html.escape(place)}<td>{scored.strangeness:.2f}<td>{scored.bits_per_character:.2f}"
            f'<td class="heat">{text}\n'
        )
    yield "</table>\n"
