"""The report's pictures: matplotlib's SVG, made fit to stand in a page, light or dark.

Text stays text, and takes the page's font. Lines and letters are drawn in stand-in colours, which become
the page's own: so one picture serves both schemes. Nothing in them depends on the time of day.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from charloom.errors import MissingExtraError
from charloom.insight.calibration import Calibration
from charloom.insight.diversity import Diversity
from charloom.insight.novelty import Copied

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE, HIGH = 4.5, 3.0  # inches: about a phone's width, so that letters need not shrink much there
INK, GRID = "#010203", "#040506"  # stand-ins; no series has them
PAGE = {INK: "var(--ink)", GRID: "var(--grid)"}
SERIES = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#0ea5e9")  # seen on white and on black
FAINT = "#8a8f98"
FAR = ("uniform", "order 0")  # baselines that no curve stays near
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "charloom",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
FONT = re.compile(r"font: [^;\"]*?([\d.]+)px [^;\"]*")
SIZE = re.compile(r'(<svg[^>]*?) (?:width|height)="[^"]*"')

Curve = Sequence[tuple[float, float]]


def curves(runs: Mapping[str, Mapping[str, Curve]], baselines: Mapping[str, float], label: str) -> str:
    """Bits a character against `label`: of each run, by name, its curves ("held out", "training").

    `baselines` are lines across. What lies far above all that is interesting, such as the loss before the
    first step, is cut off.
    """

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import EngFormatter

        for colour, (name, found) in zip(SERIES * len(runs), runs.items(), strict=False):
            for kind, points in found.items():
                shown = name if len(runs) > 1 else kind
                style = {"color": colour} if kind == "held out" else {"color": colour, "alpha": 0.45, "lw": 1}
                axes.plot(*zip(*points, strict=True), label=shown, marker=_marker(points), ms=3, **style)
        for name, bits in baselines.items():
            _across(axes, bits, name)
        every = [bits for found in runs.values() for points in found.values() for _, bits in points]
        held = [points[-1][1] for found in runs.values() for points in found.values() if points]
        if every:
            least = min([*every, *baselines.values()])
            most = max([*held, *(bits for name, bits in baselines.items() if name not in FAR)])
            axes.set_ylim(max(0, least - 0.15), max(most + 0.4, 1.3 * max(held)))
        axes.set(xlabel=label, ylabel="bits a character")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.legend(loc="upper center", fontsize=8)

    return _svg(draw)


def copies(generated: Copied, real: Copied | None, levels: Sequence[int]) -> str:
    """The share of characters in copied passages longer than each level."""

    def draw(axes: Axes) -> None:
        for colour, name, found in zip(
            SERIES[1::-1], ("generated", "held-out text"), (generated, real), strict=True
        ):
            if found is not None:
                shares = [100 * found.share(level) for level in levels]
                axes.plot(levels, shares, color=colour, marker="o", ms=4, label=name)
        axes.set_xscale("log")
        axes.set_xticks(levels, [str(level) for level in levels])
        axes.minorticks_off()
        axes.set(xlabel="passages longer than … characters", ylabel="% of characters copied", ylim=(-2, 102))
        axes.legend(loc="upper right", fontsize=8)

    return _svg(draw)


def reliability(found: Calibration) -> str:
    """How often the likeliest character came, against how likely it was said to be."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (4, 3)), label="as often as it thinks")
        axes.plot(found.confidence, found.right, color=SERIES[0], marker="o", ms=4, label="this model")
        axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left", fontsize=8)

    return _svg(draw)


def temperatures(found: Sequence[Diversity], floor: float, chosen: float) -> str:
    """How far from real text what is written at each temperature is."""

    def draw(axes: Axes) -> None:
        xs, ys = [each.temperature for each in found], [each.distance for each in found]
        axes.plot(xs, ys, color=SERIES[0], marker="o", ms=4)
        _across(axes, floor, "other real text")
        axes.plot([chosen], [ys[xs.index(chosen)]], "o", ms=10, mfc="none", mec=SERIES[1], mew=2)
        axes.set(xlabel="temperature", ylabel="distance from real text, bits", ylim=(0, None))

    return _svg(draw)


def _across(axes: Axes, height: float, name: str) -> None:
    axes.axhline(height, color=FAINT, lw=1, ls=(0, (4, 3)))
    label = axes.annotate(
        name, (1, height), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
        ha="right", va="bottom", fontsize=8, color=FAINT, annotation_clip=True,
    )  # fmt: skip
    label.set_in_layout(False)  # it may lie beyond what is shown


def _marker(points: Curve) -> str:
    return "o" if len(points) < 25 else ""


def _svg(draw: Callable[[Axes], Any]) -> str:
    """One picture as an `<svg>` element. Raises MissingExtraError without matplotlib."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a report", "train") from error
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDE, HIGH), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    for stand_in, colour in PAGE.items():
        svg = svg.replace(stand_in, colour)
    svg = FONT.sub(r"font-size: \1px", svg)
    return SIZE.sub(r"\1", SIZE.sub(r"\1", svg))


def bits(nats: float | None) -> float | None:
    """Nats as bits; None stays None."""
    return None if nats is None else nats / math.log(2)
