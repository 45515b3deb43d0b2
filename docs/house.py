"""Writes docs/house.svg, the picture of the rooms: from the order that tests/test_house.py holds.

python docs/house.py
"""

from __future__ import annotations

from html import escape
from pathlib import Path

ROOMS = (  # from the top: name, what it is for, shares its floor with the next
    ("system", "what the machine offers: files, locks", False),
    ("text", "text becomes ids", False),
    ("model", "what a model is; its folder on disk", False),
    ("training", "ids become a model (torch)", True),
    ("runtime", "a model becomes text (numpy, numba)", False),
    ("insight", "what was learned", False),
    ("web", "the page, plain JavaScript", True),
    ("export", "HTML, JavaScript, ONNX", True),
    ("server", "HTTP", False),
    ("api", "the joiner: train, load", False),
    ("cli", "the edge, which alone prints", False),
)
WIDE, HIGH, GAP = 620, 46, 10


def picture() -> str:
    """The whole picture, dark on light or, where that is preferred, light on dark."""
    floors: list[list[tuple[str, str]]] = [[]]
    for name, told, shared in ROOMS:
        floors[-1].append((name, told))
        if not shared:
            floors.append([])
    floors.pop()
    height = len(floors) * (HIGH + 2 * GAP)
    parts = []
    for at, floor in enumerate(floors):
        y = at * (HIGH + 2 * GAP) + GAP // 2
        width = (WIDE - GAP * (len(floor) - 1)) / len(floor)
        for place, (name, told) in enumerate(floor):
            x = place * (width + GAP) + 1
            parts.append(
                f'<rect x="{x:.0f}" y="{y}" width="{width - 2:.0f}" height="{HIGH}" rx="8" fill="none" '
                'stroke="currentColor"/>'
                f'<text x="{x + 12:.0f}" y="{y + 19}" font-weight="600">{name}</text>'
                f'<text x="{x + 12:.0f}" y="{y + 36}" font-size="12" opacity="0.75">{escape(told)}</text>'
            )
        if at + 1 < len(floors):
            end = y + HIGH + 2 * GAP - 4
            parts.append(
                f'<path d="M{WIDE / 2} {y + HIGH + 2} V{end} m-4 -5 l4 5 l4 -5" fill="none" '
                'stroke="currentColor"/>'
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {height}" width="{WIDE}" role="img" '
        'aria-label="The rooms of the house, from system at the top to the command line at the bottom" '
        'font-family="sans-serif" font-size="14" fill="currentColor">'
        "<style>svg { color: #222 } @media (prefers-color-scheme: dark) { svg { color: #ddd } }</style>"
        f"{''.join(parts)}</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("house.svg").write_text(picture(), encoding="utf-8", newline="\n")
