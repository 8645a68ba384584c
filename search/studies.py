"""`python -m search.studies list|show|remove|export`: what to do with studies that there are."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from search.command import Parser, ended
from search.errors import EXIT_DONE, EXIT_FAILED, UsageError
from search.progress import say
from search.resolve import resolve_study

PROG = "python -m search.studies"
_EPILOG = f"""examples:
  {PROG} list
  {PROG} show mine
  {PROG} export mine --to bean-model
  {PROG} export mine --csv mine.csv
  {PROG} remove mine --yes"""
_EXPORT_EPILOG = f"""examples:
  {PROG} export mine --to bean-model
  {PROG} export mine --parquet mine.parquet

--to writes the best model: model.safetensors, model.onnx, model.pt2 (torch.export),
preprocessing.json and README.md, a model card with the code to prepare images and load each.
ONNX and torch.export take images as they are, uint8 [n, height, width, channels], any n, and give
logits [n, classes].
--csv and --parquet write a row per trial to FILE, and a row per epoch beside it as FILE-curves."""


def build_parser() -> Parser:
    """Return the parser; also of `--help` alone, which loads nothing else."""
    parser = Parser(
        prog=PROG,
        description="List, show, export and remove studies.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where, here = Parser(add_help=False), Parser(add_help=False)
    where.add_results_dir()
    here.add_results_dir(stores=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", parents=[here], help="a table of all studies")
    show = commands.add_parser("show", parents=[where], help="all about one study")
    show.add_argument("study", metavar="STUDY", help="its name, or a path to its folder")
    gone = commands.add_parser("remove", parents=[here], help="remove studies; it asks first")
    gone.add_argument("studies", metavar="STUDY", nargs="+")
    gone.add_argument("--yes", action="store_true", help="do not ask")
    _add_export(
        commands.add_parser(
            "export",
            parents=[where],
            help="write the best model (--to), or the tables (--csv, --parquet)",
            epilog=_EXPORT_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    return parser


def _add_export(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="its name, or a path to its folder")
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="a new or empty folder for the best model"
    )
    parser.add_data_dir()
    parser.add_argument("--csv", metavar="FILE", type=Path, help="trials and curves as CSV")
    parser.add_argument("--parquet", metavar="FILE", type=Path, help="the same as Parquet")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = build_parser().parse_args(arguments)
    work = {"list": _list, "show": _show, "remove": _remove, "export": _export}[given.command]
    return ended("search.studies", lambda: work(given))


def _local(given: argparse.Namespace) -> Path:
    """Return --results-dir as a folder.

    Raises:
        UsageError: it is the URI of a store, which cannot be listed or removed from.
    """
    if isinstance(given.results_dir, Path):
        return given.results_dir
    raise UsageError(
        [f"--results-dir {given.results_dir}: {given.command} takes a folder; show and export "
         "take a store, too"]
    )  # fmt: skip


def _list(given: argparse.Namespace) -> int:
    from search.overview import overview, study_folders
    from search.studies_text import list_text

    results = _local(given)
    if not results.is_dir():
        raise UsageError([f"--results-dir {results}: there is no such folder"])
    found = [overview(folder) for folder in study_folders(results)]
    if not found:
        say(f"{results} holds no studies")
        return EXIT_DONE
    print(list_text(found), end="")
    return EXIT_DONE


def _show(given: argparse.Namespace) -> int:
    from search.places import uri_of
    from search.studies_text import show_text

    uri = uri_of(given.study, given.results_dir)
    print(show_text(resolve_study(given.study, given.results_dir), uri), end="")
    return EXIT_DONE


def _remove(given: argparse.Namespace) -> int:
    from search.overview import overview
    from search.removal import find_removable, remove
    from search.studies_text import list_text

    folders = find_removable(given.studies, _local(given))
    if not given.yes and not _agreed(list_text([overview(folder) for folder in folders])):
        say("nothing was removed")
        return EXIT_FAILED
    remove(folders)
    say(f"removed: {', '.join(str(folder) for folder in folders)}")
    return EXIT_DONE


def _agreed(table: str) -> bool:
    """Show what would go, and ask.

    Raises:
        UsageError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UsageError(["remove asks before it removes, and this is no terminal: give --yes"])
    print(f"{table}remove all of this? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _export(given: argparse.Namespace) -> int:
    from search.tables import check_target, write_tables

    targets = [path for path in (given.csv, given.parquet) if path is not None]
    if given.to is None and not targets:
        raise UsageError(["export needs --to DIR, --csv FILE or --parquet FILE"])
    folder = resolve_study(given.study, given.results_dir)
    if len(targets) > 1 and targets[0].resolve() == targets[1].resolve():
        raise UsageError([f"--csv and --parquet both name {targets[0]}: name two files"])
    for path in targets:
        check_target(path)
    written: list[Path] = []
    if given.to is not None:
        from search.export import export_model

        written += export_model(folder, given.to, given.data_dir)
    for path, kind in ((given.csv, "csv"), (given.parquet, "parquet")):
        written += write_tables(folder, path, kind) if path is not None else []
    for each in written:
        print(each)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
