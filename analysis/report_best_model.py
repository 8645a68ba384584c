"""Section of a report on the best model: overfitting, confusion matrix, mistakes as pictures."""

import base64
import io

import numpy as np
from numpy.typing import NDArray

from analysis.figures import confusion, gap, mistakes
from analysis.report_gallery import Gallery
from analysis.report_html import Html, join, notice, paragraph, section, table, tag
from analysis.report_model import Evaluated
from analysis.report_study import ReportedStudy
from analysis.summary import best

_MOST_PAIRS = 50  # of classes, that stand for the matrix of many
_PICTURE = 192  # pixels: the longest side of an embedded picture
# Of training accuracy, as `trainables.training` counts it.
TAKEN_DURING = (
    "Training accuracy is taken during the epoch, by weights that still change, with dropout and "
    "augmentation on: it is lower than what the same images would give afterwards."
)
_SMALL = 64  # pixels up to which pictures are shown as they are, sharp


def model_section(study: ReportedStudy, gallery: Gallery, found: Evaluated | str) -> Html:
    """Return the best model: its overfitting, confusion matrix and mistakes.

    `found` is what it says of the validation images, or why that is not known.
    """
    body: list[object] = [*_overfitting(study, gallery)]
    if isinstance(found, str):
        why = f"No confusion matrix and no pictures of mistakes: {found}."
        body.append(notice(why, kind="empty"))
    else:
        body += [notice(f"{found.note}.", kind="warn")] if found.note else []
        body += _confusion(found, gallery)
        body += _mistakes(found, gallery)
    return section("model", "The best model", *body)


def _overfitting(study: ReportedStudy, gallery: Gallery) -> list[Html]:
    order = best(study.trials, 1)
    drawn = gap.data(study.curves, int(order.iloc[0]["trial"])) if len(order) else None
    if drawn is None:
        return [notice("No trial has finished: there is no best model.", kind="empty")]
    name = f"trial {drawn.trial}"
    if study.confirmed is not None:  # which recommends another model than this one
        name += ", the best of the sweep," if study.is_sweep else " of the search"
    elif study.seeds > 1:
        name += ", the best single one and perhaps not of the configuration ranked first,"
    said = (
        f"At its best epoch, {drawn.best_epoch}, {name} had a training accuracy "
        f"{abs(drawn.at_best) * 100:.1f} points {'above' if drawn.at_best >= 0 else 'below'} that "
        f"of validation. {TAKEN_DURING}"
    )
    caption = f"Training against validation accuracy of {name.strip(',')}; the gap is shaded."
    return [
        paragraph(said),
        gallery.add("overfitting", lambda: gap.draw(drawn), caption, gap.charts(drawn)),
    ]


def _confusion(found: Evaluated, gallery: Gallery) -> list[Html]:
    predicted = found.probabilities.argmax(axis=1)
    counted = confusion.data(found.labels, predicted, found.classes)
    gallery.write("confusion_matrix", lambda: confusion.draw(counted))
    said = (
        f"{found.name[:1].upper()}{found.name[1:]} on {len(found.labels)} validation images, "
        f"accuracy {found.accuracy:.2%}."
    )
    head = tag("h3", "Confusion matrix")
    if len(counted.classes) > confusion.NAMED:
        return [head, *_pairs(counted, said)]
    said += " Rows are true classes, columns what they were taken for."
    return [head, paragraph(said), matrix(counted)]


def _pairs(counted: confusion.Confusion, said: str) -> list[Html]:
    """Return what stands for the matrix of many classes: a cell of each pair fills a page."""
    pairs = confusion.worst_pairs(counted, _MOST_PAIRS)
    said += (
        f" Of {len(counted.classes)} classes, the pairs with the most mistaken images, "
        f"{_MOST_PAIRS} at most; figures/confusion_matrix.png has all."
    )
    heads = ["true class", "taken for", "images", "of the class"]
    rows = [(each.truth, each.taken_for, each.images, f"{each.share:.0%}") for each in pairs]
    return [paragraph(said), *([table(heads, rows, (2, 3))] if rows else [])]


def matrix(counted: confusion.Confusion) -> Html:
    """Return a confusion matrix as a table: a cell is the darker, the larger its share."""
    head = tag("tr", tag("th"), *(tag("th", name, scope="col") for name in counted.classes))
    rows = []
    for name, counts, shares in zip(counted.classes, counted.counts, counted.shares, strict=True):
        cells = [
            tag("td", int(n), style=f"background:rgba(var(--heat),{0.04 + 0.62 * share:.2f})",
                title=f"{share:.0%} of {name}")
            for n, share in zip(counts, shares, strict=True)
        ]  # fmt: skip
        rows.append(tag("tr", tag("th", name, scope="row"), *cells))
    inner = join((tag("thead", head), tag("tbody", *rows)))
    return tag("div", tag("table", inner, class_="matrix"), class_="scroll", tabindex="0")


def _mistakes(found: Evaluated, gallery: Gallery) -> list[Html]:
    rows = mistakes.data(found.probabilities, found.labels, found.classes)
    head = tag("h3", "Most confident mistakes")
    if rows.empty:
        return [head, notice("Not one validation image is classified wrong.", kind="empty")]
    gallery.write("mistakes", lambda: mistakes.draw(rows, found.images))
    pictures = []
    for row in rows.to_dict("records"):
        pixels = found.images[row["image"]]
        words = f"{row['predicted']}, {row['confidence']:.0%} sure"
        truth = f"is {row['truth']} ({row['truth_probability']:.0%})"
        small = "pixels" if max(pixels.shape[:2]) <= _SMALL else None
        shown = tag("img", src=data_uri(pixels), alt=f"{words}; {truth}", class_=small)
        said = (tag("span", words, class_="wrong"), tag("br"), tag("span", truth, class_="quiet"))
        pictures.append(tag("div", shown, *said))
    return [head, tag("div", *pictures, class_="pictures")]


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image [height, width, 1 or 3] as a URI: 192 pixels at most a side."""
    from PIL import Image

    picture = Image.fromarray(pixels.squeeze())
    small = max(picture.size) <= _SMALL
    picture.thumbnail((_PICTURE, _PICTURE))
    stream = io.BytesIO()
    picture.save(stream, "PNG" if small else "JPEG", quality=82)
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
