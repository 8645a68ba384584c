"""`python -m search.confirm STUDY`: the best of a search on fresh seeds, then the test split."""

import argparse
from collections.abc import Sequence

from search.command import Parser, ended, leave

_EPILOG = """examples:
  python -m search.confirm lenet_beans-20261122-120000
  python -m search.confirm mine --top 3 --seeds 10 --concurrent 2
  python -m search.run lenet_beans --sweep kernel_size --seeds 5 --study kernels
  python -m search.confirm kernels

A sweep over seeds has trained what is needed: then nothing is trained again. What is interrupted
goes on by the same command. The test split is opened once, for configurations already chosen.

exit codes: 0 done or --time-budget used up, 1 the study could not do its job, 2 bad input or
no data, 3 refused to resume, 130 interrupted (everything is kept)"""

# Handed on to the training as search.run has them.
PASSED_ON = (
    ("--data-dir", "DIR", "where the data of the study lies now"),
    ("--weights", "PATH", "where its pretrained weights lie now"),
    ("--concurrent", "N", "trials at once; default: as in the study"),
    ("--cpus-per-trial", "N", "default: as in the study"),
    ("--gpus-per-trial", "auto|F", "default: as in the study"),
    ("--memory-per-trial", "auto|SIZE", "default: as in the study"),
    ("--address", "local|auto|HOST:PORT", "which Ray"),
    ("--time-budget", "30m", "end after 90s, 30m, 1h30m; the same command goes on"),
    ("--trial-timeout", "1h", "kill a trial without a sign of progress for so long"),
)


def build_parser() -> Parser:
    """Return the parser. Values stay text, to be read all together."""
    parser = Parser(
        prog="python -m search.confirm",
        description="Retrain the best configurations of a study, and the published one, on "
        "fresh seeds; then judge them on the test split.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("study", metavar="STUDY", help="a study's name under --results-dir, or its folder")
    add("--top", metavar="K", help="the best K configurations (default 5)")
    add("--seeds", metavar="N", help="train each N times (default 5)")
    add("--results-dir", metavar="DIR", default="results", help="default results/")
    add("--partial", action="store_true", help="judge a sweep's trials that are done so far")
    for name, value, text in PASSED_ON:
        add(name, metavar=value, help=text)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parsed = build_parser().parse_args(arguments)
    return ended("search.confirm", lambda: _confirm(parsed))


def _confirm(parsed: argparse.Namespace) -> int:
    from search.confirmation import confirm

    return confirm(parsed)


if __name__ == "__main__":
    leave(main())
