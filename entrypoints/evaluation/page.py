"""model.html: what the evaluation found, on one page that stays with the model; the registry links it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from health.page import drawings
from health.page.markup import Html, fill, joined, table
from health.page.parts import card, charts
from health.page.style import STYLE

PAGE = "model.html"
LARGEST_MATRIX = 25  # classes; of more, the list of confusions says it better
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
MORE_STYLE = """
a { color: var(--s0); }
.pictures { display: flex; flex-wrap: wrap; gap: 14px; }
.pictures figure { margin: 0; font-size: 13px; max-width: 210px; overflow-wrap: anywhere; }
.pictures img { width: 96px; height: 96px; image-rendering: pixelated; border-radius: 6px; background: #000; }
.pictures img + img { margin-left: 6px; }
.pictures.small img { width: 72px; height: 72px; }
table.matrix { width: auto; } table.matrix td, table.matrix th { text-align: center; padding: 4px 8px; border: 0; }
table.matrix th.side { text-align: right; } table.matrix a { color: var(--bad); font-weight: 650; }
.confusion { padding: 6px 0; border-bottom: 1px solid var(--line); }
.confusions:has(> :target) > :not(:target) { display: none; }
dl { margin: 0; }
dl > div { display: grid; grid-template-columns: minmax(110px, 190px) 1fr; gap: 0 16px; padding: 3px 0; }
dt { color: var(--soft); font-size: 13px; } dd { margin: 0; overflow-wrap: anywhere; }
@media print { .confusions:has(> :target) > :not(:target) { display: block; } }
"""
Figures = Mapping[str, Any]


def write(folder: Path, report: Figures) -> None:
    """Whole or absent. `report`: what report/evaluation.json has."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{PAGE}.partial"
    partial.write_text(page(report), encoding="utf-8")
    partial.replace(folder / PAGE)


def page(report: Figures) -> str:
    parts = [
        _head(report),
        _champion(report.get("champion")),
        _matrix(report),
        _confusions(report),
        _worst(report),
        _classes(report),
        _calibration(report),
        _made(report),
    ]
    opening = '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-'
    opening += f'width, initial-scale=1"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    title = fill("<title>{}: {} accurate</title>", _called(report), _percent(report["accuracy"]))
    body = f"<style>{STYLE}{MORE_STYLE}</style></head><body><main>{joined(parts)}</main></body></html>\n"
    return f"{opening}{title}{body}"


def _called(report: Figures) -> str:
    architecture = report["architecture"]
    return str(architecture.get("name") or architecture.get("file") or "model")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _head(report: Figures) -> Html:
    low, high = report["accuracy_interval"]
    figures = [
        (_percent(report["accuracy"]), f"accuracy, 95 % between {100 * low:.2f} and {100 * high:.2f}"),
        (f"{report['right']:,} of {report['count']:,}", "test pictures right"),
        (_percent(report["macro"]["f1"]), "F1, each class counting the same"),
        (_percent(report["validation_accuracy"]), "accuracy on the validation split"),
    ]
    if "top_5_accuracy" in report:
        figures.insert(1, (_percent(report["top_5_accuracy"]), "right class among the first five"))
    boxes = joined(fill('<div class="figure"><b>{}</b><span>{}</span></div>', *pair) for pair in figures)
    return fill('<header><h1>{}</h1><div class="figures">{}</div></header>', _called(report), boxes)


def _champion(found: Figures | None) -> Html:
    if found is None:
        return Html("")
    if not found["compared"]:
        return card("Compared with the champion", fill("<p>It could not be compared: {}</p>", found.get("reason", "")))
    low, high = (f"{100 * each:+.2f}" for each in found["interval"])
    text = "<p>{}: {} points on the same {} test pictures, 95 % between {} and {}.</p>"
    told = fill(text, found["verdict"], f"{100 * found['difference']:+.2f}", found["count"], low, high)
    worse = fill("<p>Worse at: {}.</p>", ", ".join(found["regressions"])) if found["regressions"] else Html("")
    return card("Compared with the champion", joined([told, worse]))


def _matrix(report: Figures) -> Html:
    names, counts = report["confusion"]["classes"], report["confusion"]["matrix"]
    if len(names) > LARGEST_MATRIX:
        return Html("")
    rows = joined(
        fill('<tr><th class="side" scope="row">{}</th>{}</tr>', name, joined(_cells(row, number)))
        for number, (name, row) in enumerate(zip(names, counts, strict=True))
    )
    head = joined(fill('<th scope="col">{}</th>', name) for name in names)
    whole = (
        '<p class="soft">Rows are what a picture is, columns what the model said.</p><div class="scroll" tabindex="0">'
    )
    whole += '<table class="matrix"><tr><td></td>{}</tr>{}</table></div>'
    return card("Confusion matrix", fill(whole, head, rows))


def _cells(row: list[int], actual: int) -> Iterator[Html]:
    for predicted, count in enumerate(row):
        link = fill('<a href="#{}">{}</a>', _id(actual, predicted), count)
        yield fill("<td>{}</td>", "" if not count else count if actual == predicted else link)


def _id(actual: int, predicted: int) -> str:
    return f"e{actual}-{predicted}"


def _confusions(report: Figures) -> Html:
    """Each that happened, the most frequent first, with its pictures."""
    names, counts = report["confusion"]["classes"], report["confusion"]["matrix"]
    pictures: dict[tuple[str, str], list[Figures]] = {}
    for row in report["errors"]["pictures"]:
        pictures.setdefault((row["actual"], row["predicted"]), []).append(row)
    found = sorted(
        (-count, actual, predicted)
        for actual, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and actual != predicted
    )
    group = '<div class="confusion" id="{}" tabindex="-1"><p><b>{}</b> taken for <b class="bad">{}</b>: {}</p>{}</div>'
    groups = [
        fill(
            *(group, _id(actual, predicted), names[actual], names[predicted], -negative),
            _small(pictures.get((names[actual], names[predicted]), [])),
        )
        for negative, actual, predicted in found
    ]
    left_out = report["errors"]["left_out"]
    words = "No picture was taken for another class." if not groups else f"{left_out:,} more have no picture here."
    note = fill('<p class="soft">{}</p>', words) if not groups or left_out else Html("")
    return card("Confusions", fill('{}<div class="confusions" id="confusions">{}</div>', note, joined(groups)))


def _small(rows: list[Figures]) -> Html:
    figures = joined(fill("<figure>{}<figcaption>{} %</figcaption></figure>", _image(row), _sure(row)) for row in rows)
    return fill('<div class="pictures small">{}</div>', figures)


def _sure(row: Figures) -> str:
    return f"{100 * row['probability']:.0f}"


def _image(row: Figures, member: str = "") -> Html:
    kind = "png" if "png" in row else "jpeg"
    what = f"where the model looked in {row['name']}" if member else row["name"]
    return fill('<img alt="{}" src="data:image/{};base64,{}">', what, kind, row[member or kind])


def _worst(report: Figures) -> Html:
    if not report["worst"]:
        return Html("")
    text = '<figure>{}{}<figcaption>is <b>{}</b>, said <b class="bad">{}</b> {} %</figcaption></figure>'
    figures = joined(
        fill(
            *(text, _image(row), _image(row, "gradcam") if "gradcam" in row else Html("")),
            *(row["actual"], row["predicted"], _sure(row)),
        )
        for row in report["worst"]
    )
    note = "Those that the model was surest of; beside them, in red, where it found what it said (Grad-CAM)."
    return card("Worst errors", fill('<p class="soft">{}</p><div class="pictures">{}</div>', note, figures))


def _classes(report: Figures) -> Html:
    heads = ["*class", ">pictures", ">precision", ">recall", ">F1"]
    rows = [
        (row["class"], f"{row['count']:,}", *(_percent(row[name]) for name in ("precision", "recall", "f1")))
        for row in report["per_class"]
    ]
    return card("Each class", table(heads, rows))


def _calibration(report: Figures) -> Html:
    found = report["calibration"]
    text = "<p>Confidence and accuracy differ by {} on average, with a temperature of {} by {}. {}</p>"
    where = "The temperature is in the model." if found["in_the_model"] else "The model was saved without it."
    errors = [_percent(found[f"error_{name}"]) for name in ("before", "after")]
    told = fill(text, errors[0], f"{found['temperature']:.4g}", errors[1], where)
    drawn = [
        (f"Accuracy by confidence, {name}", drawings.reliability(_points(report, name))) for name in ("before", "after")
    ]
    return card("How sure the model may be", joined([told, charts(*drawn)]))


def _points(report: Figures, name: str) -> list[tuple[float, float]]:
    return [(each["confidence"], each["accuracy"]) for each in report["reliability"][name]]


def _made(report: Figures) -> Html:
    settings = [(name, value) for name, value in report["hyperparameters"].items() if value is not None]
    same = "the data set that the test pictures are of" if report["trained_on_this_data"] else "another data set"
    rows = [("architecture", _called(report)), ("trained on", same), *settings]
    return card("Made of", fill("<dl>{}</dl>", joined(fill("<div><dt>{}</dt><dd>{}</dd></div>", *row) for row in rows)))
