"""A report as one page of HTML that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby

from charloom.insight import figures
from charloom.insight.extremes import Passage
from charloom.insight.heat import STYLE as HEAT
from charloom.insight.heat import spans
from charloom.insight.novelty import LEVELS, PREFIX, RECITED, Copied
from charloom.insight.paired import Paired
from charloom.insight.report import COPY, Measured, Report, sentences
from charloom.insight.units import STRETCH, Unit, Units, shades

SAMPLES = 6  # of those on the way, from the first to the last
UNITS = 6
LONG = 300  # seconds from which minutes read better
FLAG = re.compile(r"--[a-z][a-z-]*")


def one(report: Report) -> str:
    """The page of one run. Raises MissingExtraError without matplotlib."""
    lead = sentences(report)
    body = [_cards(report), _curves([report]), _samples(report)]
    if (found := report.measured) is not None:
        body += [
            _temperatures(found),
            _passages(found),
            _calibration(found),
            _novelty(found),
            _units(found.units) if found.units else "",
        ]
    body.append(_facts(report))
    return _page("charloom report", report.name, lead, report.missing, body)


def several(reports: Sequence[Report], verdicts: Sequence[Paired]) -> str:
    """The page that holds runs against each other, the best first; `verdicts` are those of pairs."""
    ranked = sorted(reports, key=lambda report: (report.bits is None, report.bits))
    best = ranked[0]
    lead = [
        f"{best.name} has the lowest loss: {best.bits:.2f} bits a character."
        if best.bits
        else "No run is measured."
    ]
    lead += [verdict.verdict for verdict in verdicts]
    body = [_ranking(ranked), _curves(ranked)]
    body += [
        f"<h2>{escape(report.name)}</h2>" + _lead(sentences(report)) + _last_sample(report)
        for report in ranked
    ]
    missing = [f"{report.name}: {each}" for report in ranked for each in report.missing]
    return _page("charloom report", " · ".join(report.name for report in reports), lead, missing, body)


def _page(kind: str, title: str, lead: Sequence[str], missing: Sequence[str], body: Iterable[str]) -> str:
    style = (files("charloom.insight") / "report.css").read_text("utf-8")
    notes = "".join(f'<p class="soft">{_told(each)}</p>' for each in missing if each not in lead)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} – {kind}</title>\n<style>\n{style}{HEAT}</style>\n"
        f'<header><p class="kind">{kind}</p><h1>{escape(title)}</h1>{_lead(lead)}{notes}</header>\n'
        f"<main>\n{''.join(body)}</main>\n"
        "<footer>What each figure means, and what it does not say: docs/insight.md of charloom.</footer>\n"
        "</html>\n"
    )


def _lead(lead: Iterable[str]) -> str:
    return "".join(f'<p class="lead">{_told(sentence)}</p>' for sentence in lead)


def _told(sentence: str) -> str:
    """A sentence whose flags do not break over a line."""
    return FLAG.sub(r"<code>\g<0></code>", escape(sentence))


def _cards(report: Report) -> str:
    cards = []
    if (found := report.measured) is not None:
        measure = found.evaluation.carried
        low, high = (figures.bits(value) for value in measure.interval)
        where = "training text" if found.seen else "held-out text"
        cards = [
            (
                f"{measure.bits_per_character:.2f}",
                f"bits a character of {where} (95 %: {low:.2f} to {high:.2f})",
            ),
            (f"{found.calibration.accuracy:.0%}", "of its first guesses are right"),
            (f"{found.recommendation.temperature:g}", "is the temperature whose text is most like real text"),
        ]
        if found.copied is not None:
            beside = f", real text {found.copied_real.share(COPY):.0%}" if found.copied_real else ""
            cards.append(
                (
                    f"{found.copied.share(COPY):.0%}",
                    f"of its text is copied, in passages over {COPY} characters{beside}",
                )
            )
    elif report.best is not None:
        cards = [(f"{report.best:.2f}", "bits a character of held-out text, at its best")]
    rows = (
        f'<div class="card"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in cards
    )
    return f'<div class="cards">{"".join(rows)}</div>\n' if cards else ""


def _curves(reports: Sequence[Report]) -> str:
    found = next((report.measured for report in reports if report.measured is not None), None)
    lines = {each.name: each.bits_per_character for each in found.baselines} if found else {}
    if found and len(reports) == 1:
        lines["this model"] = found.evaluation.carried.bits_per_character
    pictures = []
    longest = max((record["seconds"] for report in reports for record in report.metrics), default=0)
    unit = (60.0, "minutes of training") if longest > LONG else (1.0, "seconds of training")
    for against, (scale, label) in (("seconds", unit), ("characters", (1.0, "characters read"))):
        runs = {}
        for report in reports:
            kinds = {"held out": report.curve(against, "nats")}
            if len(reports) == 1:
                kinds["training"] = report.curve(against, "loss")
            drawn = {kind: [(x / scale, y) for x, y in points] for kind, points in kinds.items() if points}
            if drawn:
                runs[report.name] = drawn
        if runs:
            pictures.append(_figure(figures.curves(runs, lines, label), f"Bits a character by {label}."))
    if not pictures:
        return ""
    told = f"Lower is better. Dashed: what is paid for {found.text}." if found else "Lower is better."
    if found and not found.text.startswith("the validation part"):
        told += " The held-out curve is of the validation part, which chose the weights that are kept."
    return f'<h2>How it learned</h2><p>{escape(told)}</p><div class="pair">{"".join(pictures)}</div>\n'


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _samples(report: Report) -> str:
    if not report.samples:
        return ""
    last = len(report.samples) - 1
    chosen = sorted({round(last * k / (SAMPLES - 1)) for k in range(SAMPLES)})
    texts = (
        _titled(
            f"After {report.samples[k]['step']:,} steps",
            report.samples[k]["prompt"] + report.samples[k]["text"],
        )
        for k in chosen
    )
    return f'<h2>What it wrote on the way</h2><div class="pair">{"".join(texts)}</div>\n'


def _last_sample(report: Report) -> str:
    return _text(report.samples[-1]["prompt"] + report.samples[-1]["text"]) if report.samples else ""


def _titled(title: str, text: str) -> str:
    return f"<div><h3>{escape(title)}</h3>{_text(text)}</div>"


def _text(text: str) -> str:
    shown = escape(text) if text.strip() else '<span class="soft">nothing but white space</span>'
    return f'<div class="text">{shown}</div>'


def _temperatures(found: Measured) -> str:
    head = ("temperature", "distance", "different words", "pairs", "triples", "end in a loop")
    rows = []
    for each in found.temperatures:
        cells = (
            f"{each.temperature:g}", f"{each.distance:.3f}", f"{each.distinct_1:.0%}",
            f"{each.distinct_2:.0%}", f"{each.distinct_3:.0%}", f"{each.loops:.0%}",
        )  # fmt: skip
        chosen = each.temperature == found.recommendation.temperature
        rows.append(f"<tr{' class=chosen' * chosen}>{_cells('td', cells)}</tr>")
    table = f'<div class="scroll"><table><tr>{_cells("th", head)}</tr>{"".join(rows)}</table></div>'
    picture = figures.temperatures(
        found.temperatures, found.recommendation.floor, found.recommendation.temperature
    )
    shown = [
        each
        for each in found.temperatures
        if each.temperature in (0, 0.5, 1, found.recommendation.temperature)
    ]
    examples = "".join(_titled(f"At {each.temperature:g}", each.example) for each in shown)
    caption = "How far the runs of one to four characters are from those of real text."
    return (
        f"<h2>Which temperature</h2><p>{escape(found.recommendation.reason)}</p>"
        f'<div class="pair">{_figure(picture, caption)}<div>{table}</div>{examples}</div>\n'
    )


def _cells(tag: str, cells: Iterable[str]) -> str:
    return "".join(f'<{tag} class="number">{escape(cell)}</{tag}>' for cell in cells)


def _passages(found: Measured) -> str:
    def listed(passages: Iterable[Passage]) -> str:
        return "".join(
            f'<div class="text heat">{spans(each.text, each.surprise.tolist())}</div>'
            f'<p class="soft">{each.bits_per_character:.2f} bits a character</p>'
            for each in passages
        )

    return (
        "<h2>The hardest and the easiest passages</h2><p>The stronger the colour, the more a character "
        f'surprised it.</p><div class="pair"><div><h3>Hardest</h3>{listed(found.hardest)}</div>'
        f"<div><h3>Easiest</h3>{listed(found.easiest)}</div></div>\n"
    )


def _calibration(found: Measured) -> str:
    told = (
        f"It is {found.calibration.tendency}: how sure it is of its first guess and how often that is right "
        f"differ by {found.calibration.error:.1%} in the mean."
    )
    picture = _figure(
        figures.reliability(found.calibration), "Above the diagonal it is too modest, below too sure."
    )
    return f'<h2>Does it know what it knows</h2><div class="pair">{picture}<p>{told}</p></div>\n'


def _novelty(found: Measured) -> str:
    if found.copied is None or found.recited is None:
        return ""
    told = [_longest("The longest passage that it copied", found.copied)]
    if found.copied_real is not None:
        told.append(_longest("The longest in as much held-out text", found.copied_real))
    beside = f", and of held-out text at {found.recited_real.share:.0%}" if found.recited_real else ""
    recited = (
        f"Given {PREFIX} characters of its training text, it recites the next {RECITED} without a mistake at "
        f"{found.recited.share:.0%} of {found.recited.places} places{beside}; in the mean it gets "
        f"{found.recited.mean:.1f} characters far."
    )
    picture = figures.copies(found.copied, found.copied_real, LEVELS)
    caption = "Text written at temperature 1, and real text in pieces as long."
    return (
        f"<h2>Is it repeating its text</h2><p>{recited}</p>"
        f'<div class="pair">{_figure(picture, caption)}<div>{"".join(told)}</div></div>\n'
    )


def _longest(what: str, copied: Copied) -> str:
    size = len(copied.longest)
    return f"<h3>{what}: {size} characters</h3>{_text(copied.longest[:400] + '…' * (size > 400))}"


def _units(units: Units) -> str:
    if not units.found:
        return (
            "<h2>What its units stand for</h2><p>No hidden unit follows anything that was looked for more "
            f"clearly than accidents do (r = {units.chance:.2f}).</p>\n"
        )
    shown = "".join(_unit(units, unit) for unit in units.found[:UNITS])
    return (
        "<h2>What its units stand for</h2><p>Hidden units that go up and down with something one can name; "
        f"r is the correlation; with what is true elsewhere in the text it still reaches {units.chance:.2f}. "
        f'Blue is where the unit is high, orange where it is low.</p><div class="pair">{shown}</div>\n'
    )


def _unit(units: Units, unit: Unit) -> str:
    shown = slice(unit.start, unit.start + STRETCH)
    text = units.text[shown]
    levels = shades(units.activations[unit.layer, unit.unit, shown])
    pieces = []
    for level, group in groupby(zip(levels, text, strict=True), key=lambda pair: pair[0]):
        run = escape("".join(character for _, character in group))
        pieces.append(f'<span class="{"u" if level > 0 else "d"}{abs(level)}">{run}</span>' if level else run)
    head = f"Unit {unit.unit} of layer {unit.layer + 1} follows: {unit.signal} (r = {unit.correlation:+.2f})"
    return f'<div><h3>{escape(head)}</h3><div class="text">{"".join(pieces)}</div></div>'


def _facts(report: Report) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts.items())
    return (
        f"<h2>What the run was</h2><dl>{rows}</dl><details><summary>All its settings</summary>"
        f"{_text(report.settings)}</details>\n"
    )


def _ranking(reports: Sequence[Report]) -> str:
    head = ("run", "bits a character", "copied", "network", "trained")
    rows = []
    for report in reports:
        copied = report.measured.copied if report.measured else None
        cells = (
            report.name,
            "–" if report.bits is None else f"{report.bits:.3f}",
            "–" if copied is None else f"{copied.share(COPY):.0%}",
            report.facts["Network"],
            report.facts["Trained"],
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    names = "".join(f"<th>{name}</th>" for name in head)
    return f'<div class="scroll"><table><tr>{names}</tr>{"".join(rows)}</table></div>\n'
