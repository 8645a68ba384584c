"""`python -m search.predict STUDY IMAGE...`: what the best model of a study says of images."""

import argparse
import codecs
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.command import Parser, ended
from search.errors import EXIT_DONE, EXIT_FAILED
from search.progress import DataProgress, say
from search.resolve import resolve_study
from trainables.errors import one_line

if TYPE_CHECKING:
    from search.winner import Winner

PROG = "python -m search.predict"
_EPILOG = f"""examples:
  {PROG} mine leaf.jpg
  {PROG} mine photos/ --json

CSV on stdout: image, class, probability. With --json a list of objects that have the probability
of every class, too. Folders are read with all that is below them. What cannot be read as an
image is told on stderr and skipped; the exit code is 1 if nothing could be read."""


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        prog=PROG,
        description="Classify images with the best model of a study.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", metavar="STUDY", help="its name, or a path to its folder")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files and folders")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_results_dir()
    parser.add_data_dir()
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = build_parser().parse_args(arguments)
    return ended("search.predict", lambda: _predict(given))


def image_files(words: Iterable[str]) -> list[Path]:
    """Return the files that are named, and the images in and below folders that are.

    In the order given, those of a folder sorted by path. A folder without images stays itself.
    """
    from trainables.data.folder_images import is_image_name
    from trainables.data.folder_scan import listed, may_be_image

    found: list[Path] = []
    for word in words:
        path = Path(word)
        files = list(_files_below(path)) if os.path.isdir(path) else []
        below = sorted(each for each in files if is_image_name(each.name))
        if unknown := sorted(str(each) for each in files if may_be_image(each.name)):
            say(f"no known image format by its ending, left out: {listed(unknown)}")
        found += below or [path]
    return found


def _files_below(root: Path) -> Iterator[Path]:
    """Yield the files of a folder as training sees them; tell of what is not looked into."""
    from trainables.data.folder_scan import is_passed_over

    def tell(error: OSError) -> None:
        say(f"cannot look into {error.filename}: {error.strerror}")

    for folder, inner, names in os.walk(root, onerror=tell):
        inner[:] = [each for each in inner if not is_passed_over(each)]
        for each in inner:
            if (link := Path(folder, each)).is_symlink():
                say(f"{link} is a link to a folder and is left out")
        yield from (Path(folder, name) for name in names)


def _as_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode what stands for bytes of a file's name as those, and escape all else."""
    assert isinstance(error, UnicodeEncodeError)
    part = error.object[error.start : error.end]
    if all(0xDC80 <= ord(sign) <= 0xDCFF for sign in part):
        return part.encode("utf-8", "surrogateescape"), error.end
    return part.encode("unicode_escape").decode(), error.end


def _predict(given: argparse.Namespace) -> int:
    from analysis.table import data_kind
    from search.winner import read_winner

    winner = read_winner(resolve_study(given.study, given.results_dir), given.data_dir)
    say(f"model: {winner.name}")
    warning = data_kind(winner.folder)[1]
    if warning:
        say(f"note: trained on {warning}")
    paths = image_files(given.images)
    if hasattr(sys.stdout, "reconfigure"):
        codecs.register_error("trellis", _as_bytes)
        sys.stdout.reconfigure(errors="trellis")
    read = _print(winner, paths, _as_json if given.json else _as_csv)
    if read < len(paths):
        say(f"{len(paths) - read} of {len(paths)} could not be read and were skipped")
    return EXIT_DONE if read else EXIT_FAILED


def _print(winner: "Winner", paths: Sequence[Path], write: Any) -> int:
    """Print a line per image as it comes; return how many could be read."""
    from trainables import device as machine
    from trainables.budget import Budget
    from trainables.data.folder_images import too_dark
    from trainables.deployed import Unreadable, probabilities

    budget = Budget(epochs=1, precision=winner.precision)
    device = machine.set_up(budget)
    network = winner.network().to(device)
    lower, shown, read = machine.autocast(budget, device), DataProgress(), 0
    levels: list[int] = []
    found_of = probabilities(network, paths, winner.shape, lower, levels)
    for done, (path, found) in enumerate(found_of, start=1):
        if isinstance(found, Unreadable):
            say(one_line(f"{path}: not an image that can be read, skipped: {found.reason}"))
        else:
            chances = [round(float(value), 6) for value in found]
            best = int(found.argmax())
            write(
                read,
                str(path),
                winner.classes[best],
                dict(zip(winner.classes, chances, strict=True)),
            )
            read += 1
        if len(paths) > 1 and not sys.stdout.isatty():
            shown("classifying images", done, len(paths))
    if write is _as_json:
        print("\n]" if read else "[]")
    if dark := too_dark(levels):
        say(f"warning: {dark}")
    return read


def _as_csv(before: int, path: str, name: str, chances: dict[str, float]) -> None:
    lines = csv.writer(sys.stdout, lineterminator="\n")
    if not before:
        lines.writerow(["image", "class", "probability"])
    row = [path, name, chances[name]]
    # In a file or pipe exactly; a terminal would obey what a name holds.
    lines.writerow([one_line(str(each)) for each in row] if sys.stdout.isatty() else row)


def _as_json(before: int, path: str, name: str, chances: dict[str, float]) -> None:
    content = {
        "image": path,
        "class": name,
        "probability": chances[name],
        "probabilities": chances,
    }
    print("[" if not before else ",", end="\n")
    print(json.dumps(content), end="")


if __name__ == "__main__":
    sys.exit(main())
