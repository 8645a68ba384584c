"""The card of an exported model: what it was trained on, how good it is, what it is not for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search.confirmed import read_confirmation
from search.data_option import data_at_hand, split_at_hand
from search.experiment import images_of, luck_of
from search.pillow_code import pillow_code
from search.plan import repeats
from search.progress import DataProgress, say
from search.studies_text import interval, unconfirmed
from search.winner import Winner
from trainables.errors import TrellisError, one_line

if TYPE_CHECKING:
    from trainables.data import Split

_USE = """```python
{code}

images = numpy.stack([prepared("photo.jpg")])  # uint8 [n, {height}, {width}, {channels}]
```

(Of files by strangers: training leaves out those of more than 89 million pixels, and formats such
as EPS, for which Pillow runs other programs.)

`model.pt2` with torch alone:

```python
import torch

model = torch.export.load("model.pt2").module()
probabilities = model(torch.from_numpy(images)).softmax(1)
```

`model.onnx` in any ONNX runtime, such as onnxruntime:

```python
import onnxruntime

(logits,) = onnxruntime.InferenceSession("model.onnx").run(["logits"], {{"images": images}})
```

`model.safetensors` has the weights alone, for code that has the network (Trellis, `trainables/`):
`safetensors.torch.load_file("model.safetensors")` gives a dict of tensors by their names in it."""


def model_card(winner: Winner) -> str:
    """Return the card in Markdown.

    Raises:
        TrellisError: a file of the study is damaged.
    """
    parts = [
        ("", list(_about(winner))),
        ("Data", list(_data(winner))),
        ("Accuracy", _accuracy(winner)),
        ("Configuration", _table(["hyperparameter", "value"], list(winner.config.items()))),
        ("Use", [_use(winner)]),
        ("Limits", list(_limits(winner))),
    ]
    text = "\n\n".join(
        (f"## {title}\n\n" if title else "") + "\n".join(lines) for title, lines in parts
    )
    return (
        f"# {winner.experiment.name}, from study {_cell(winner.folder.resolve().name)}\n\n{text}\n"
    )


def _use(winner: Winner) -> str:
    return _USE.format(code=pillow_code(winner.shape), **winner.shape._asdict())


def _cell(value: Any) -> str:
    """Return a value for a line of Markdown: class names come from folders of anybody's."""
    text = one_line(str(value))
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in text)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [
        f"| {' | '.join(str(each) if row is lines[1] else _cell(each) for each in row)} |"
        for row in lines
    ]


def _about(winner: Winner) -> Iterator[str]:
    best = winner.best
    # Behind the colon stands what the space varies.
    summary = winner.experiment.about(winner.data.kind).split(":")[0]
    yield f"{summary[:1].upper()}{summary[1:]}."
    yield ""
    if winner.data.kind == "embedded":
        yield (
            f"**Trained on embedded data: images that Trellis brings with it, not the real "
            f"{winner.data.dataset}.** For trying things out, not for use."
        )
        yield ""
    if (winner.manifest.get("weights") or {}).get("source") == "random":
        yield "**Started from random weights, not from pretrained ones.**"
        yield ""
    yield (
        f"Trial {best['trial']} of {_trained(winner)}, the weights of its epoch {best['epoch']}; "
        f"{best.get('parameters', 0):,} parameters."
    )


def _trained(winner: Winner) -> str:
    """Say what trained the trial: the study, or its confirmation, which counts its own trials."""
    best = winner.best
    if not best.get("confirmed"):
        return "the study"
    where = "the study" if repeats(winner.manifest["budget"]) else "the study's confirmation"
    configuration, seed = _cell(best.get("configuration")), _cell(best.get("seed"))
    return f"{where} (configuration {configuration}, seed {seed})"


def _data(winner: Winner) -> Iterator[str]:
    data = winner.manifest["data"]
    # Not the location: a path of somebody's machine means nothing elsewhere.
    mark = _cell(data["fingerprint"][:16])
    yield f"{_cell(images_of(data['dataset'], data['kind']))}; fingerprint {mark}."
    yield ""
    yield from _table(["split", "images"], list(data["sizes"].items()))
    yield ""
    yield f"Classes: {', '.join(_cell(name) for name in winner.classes)}."
    for note in data.get("notes", ()):
        yield f"- {_cell(note)}"


def _accuracy(winner: Winner) -> list[str]:
    best = winner.best
    chosen = "seed" if best.get("confirmed") else "trial"
    lines = [
        f"Validation accuracy {best['val_accuracy']:.4f}: of the epoch and the {chosen} that were "
        "chosen by it, and so optimistic.",
        "",
    ]
    each, budget = _confirmation(winner), winner.manifest["budget"]
    sweep = repeats(budget)
    if each is None:
        where = "the test split" if sweep else "fresh seeds and the test split"
        lines.append(
            f"Not confirmed on {where} (`python -m search.confirm`): {unconfirmed(budget)}."
        )
        return [*lines, *_validation_matrix(winner)]
    wilson = each["wilson"]
    seeds = "on several seeds" if sweep else "again on fresh seeds"
    lines += [
        f"Confirmed on the test split, this configuration trained {seeds}: "
        f"{_cell(interval(each['test_accuracy']))}.",
        f"For the finite test set, all seeds together: {wilson['accuracy']:.4f} "
        f"(Wilson 95 % interval {wilson['low']:.4f} to {wilson['high']:.4f}). The weights here "
        f"are those of {_seed(best, sweep)}.",
        *_doubts(winner, each),
        "",
        *_matrix(winner, each["confusion_matrix"], "test split, summed over the seeds"),
    ]
    return lines


def _doubts(winner: Winner, each: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the interval over seeds leaves out, if anything."""
    if each.get("unsafe"):
        yield (
            "**On another seed this configuration diverged, ran out of memory or was stopped: the "
            "mean is of the seeds that did not, and too good.**"
        )
    if each.get("few_seeds"):
        yield "**Others have more than twice as many seeds: it was not compared with them.**"
    if common := (read_confirmation(winner.folder) or {}).get("common_to_seeds"):
        yield f"A{luck_of(_cell(common))[1:]}."


def _seed(best: Mapping[str, Any], sweep: bool) -> str:
    """Say which seed's weights are exported, beside those that were judged."""
    if best.get("confirmed"):  # see `search.recommended.keep_recommended`
        return "one of these seeds, the best on validation"
    return "one of these seeds" if sweep else "the search, one of such seeds"


def _confirmation(winner: Winner) -> Mapping[str, Any] | None:
    """Return what confirm.json says of the exported configuration."""
    found = read_confirmation(winner.folder) or {"configurations": []}
    for each in found["configurations"]:
        if each["config"] == winner.config:
            return dict(each)
    return None


def _validation_matrix(winner: Winner) -> list[str]:
    """Return the matrix on the validation split; a line instead where the data is not here."""
    try:
        data = data_at_hand(winner.manifest["data"], winner.data_dir, DataProgress())
        split = split_at_hand(winner.experiment, winner.config, data, "validation")
    except TrellisError as error:
        what = str(error).splitlines()[0]
        say(f"note: no confusion matrix in the model card: {what}")
        return ["", "No confusion matrix: the data was not there when this was exported."]
    return ["", *_matrix(winner, _confusion(winner, split), "validation split")]


def _confusion(winner: Winner, split: "Split") -> list[list[int]]:
    """Return the matrix of the network as it is exported, in float32."""
    from trainables.metrics import class_metrics, split_logits

    say(f"classifying {len(split.labels)} validation images for the model card ...")
    found = split_logits(winner.network().network, split, "float32").argmax(1).numpy()
    content = class_metrics(split.labels, found, len(winner.classes))
    return list(content["confusion_matrix"])


def _matrix(winner: Winner, rows: Sequence[Sequence[int]], where: str) -> list[str]:
    named = [[name, *row] for name, row in zip(winner.classes, rows, strict=True)]
    head = ["truth / predicted", *winner.classes]
    return [f"Confusion matrix, {where}:", "", *_table(head, named)]


def _limits(winner: Winner) -> Iterator[str]:
    height, width, _ = winner.shape
    yield (
        f"- It answers with one of its {len(winner.classes)} classes whatever the image shows; "
        "the probabilities are not calibrated."
    )
    yield f"- Images are resized to {width}x{height}, whatever their shape."
    yield (
        "- It was measured on images of the data set above alone: others may differ in light, "
        "camera or place."
    )
    if "target_classes" in winner.config:
        chosen = winner.config["target_classes"]
        yield (
            f"- It was trained and measured on the classes numbered {_cell(chosen)} alone (0 is "
            f"{_cell(winner.classes[0])}); the outputs of the others mean nothing."
        )
    if winner.precision == "bfloat16":
        yield (
            "- It was trained in bfloat16; the exported model works in float32, and an image at a "
            "border may fall to the other side."
        )
