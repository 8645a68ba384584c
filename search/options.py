"""The command line of search.run: its options, and the readers of single values.

What one value means beside the others is checked in `search.request`. An option that is not given
stays None: a new study then takes the preset's value, a resumed one what study.json holds.
"""

import argparse
import re
from collections.abc import Callable
from typing import Any

from search.command import Parser
from search.names import COMPARE_BY, PRECISIONS, PRESETS, SAMPLERS, STOPPERS
from trainables.errors import one_line

_EPILOG = """examples:
  python -m search.run lenet_beans --data embedded --preset quick
  python -m search.run lenet_beans --trials 24 --max-epochs 20 --fix image_size=299
  python -m search.run lenet_beans --sweep kernel_size --sweep dropout=0.2 --seeds 5
  python -m search.run lenet_beans --warm-start mine --trials 24
  python -m search.run lenet_beans --study mine --resume

exit codes: 0 done or --time-budget used up, 1 the study could not do its job, 2 bad input or
no data, 3 refused to resume, 130 interrupted (everything is kept; go on with --resume)"""

_UNITS = {"h": 3600, "m": 60, "s": 1}


def build_parser() -> Parser:
    """Return the parser. Values stay text: `request.check` reads them all together."""
    parser = Parser(
        prog="python -m search.run",
        description="Search the best configuration of an experiment.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("experiment", nargs="?", help="a name from the catalog; see --list")
    add("--list", action="store_true", help="list the experiments and end")
    add("--trials", metavar="N", help="configurations to try")
    add("--max-epochs", metavar="E", help="epochs of a trial at most")
    add("--seed", metavar="S", help="seed of the whole study (default 0)")
    add(
        "--preset",
        metavar="|".join(PRESETS),
        help="trials and epochs by name (standard); quick also holds some values",
    )
    add("--study", metavar="NAME", help="default EXPERIMENT-YYYYmmdd-HHMMSS")
    add("--resume", action="store_true", help="continue study NAME")
    add(
        "--results-dir",
        metavar="DIR|URI",
        default="results",
        help="default results/; or shared storage, such as s3://bucket/folder or file:///folder",
    )
    add("--data", metavar="tfds|embedded|folder:PATH", help="default tfds")
    add("--data-dir", metavar="DIR", help="default $TFDS_DATA_DIR, else ~/tensorflow_datasets")
    add(
        "--weights",
        metavar="PATH|random",
        help="pretrained state dict; default: torchvision's ImageNet weights, downloaded",
    )
    add(
        "--fix",
        metavar="NAME=VALUE",
        action="append",
        help="hold a hyperparameter at a value of its space",
    )
    add(
        "--sweep",
        metavar="NAME[=V,...]",
        action="append",
        help="every value of NAME (or those given), the rest at the published values",
    )
    add("--seeds", metavar="N", help="with --sweep: train every configuration N times")
    add(
        "--warm-start",
        metavar="STUDY",
        action="extend",
        nargs="+",
        help="try the best configurations of earlier studies first, after the published one",
    )
    add(
        "--sampler",
        metavar="|".join(SAMPLERS),
        help="default prior: TPE, beside the published configuration while that does well",
    )
    add("--stopper", metavar="|".join(STOPPERS), help="default asha (none with --sweep)")
    add("--first-rung", metavar="E", help="no trial is stopped before (1 or 2)")
    add(
        "--compare-by",
        metavar="|".join(COMPARE_BY),
        help="what rungs compare; default auto: accuracy; from 100 trials on the loss, too",
    )
    add("--precision", metavar="|".join(PRECISIONS), help="default auto: bfloat16 if in hardware")
    add("--concurrent", metavar="N", help="trials at once; default: what fits")
    add("--cpus-per-trial", metavar="N", help="default 1")
    add("--gpus-per-trial", metavar="auto|F", help="default auto")
    add(
        "--memory-per-trial",
        metavar="auto|SIZE",
        help="2G, 900M: larger batches go in parts; default auto: what there is, divided",
    )
    add("--address", metavar="local|auto|HOST:PORT", default="local", help="which Ray")
    add("--time-budget", metavar="30m", help="end after 90s, 30m, 1h30m; --resume goes on")
    add(
        "--trial-timeout",
        metavar="1h",
        help="kill a trial without a sign of progress for so long (1h)",
    )
    add(
        "--tensorboard",
        action="store_true",
        help="write event files into the study's folder; give it again with --resume",
    )
    add(
        "--mlflow",
        metavar="URI",
        help="log to this MLflow tracking server; give it again with --resume",
    )
    add(
        "--dry-run",
        action="store_true",
        help="check command, data and weights, say what would run, end",
    )
    parser.set_defaults(at_once=None)  # no option: see search.resuming
    return parser


class Mistakes(list[str]):
    """Collects what is wrong with a command line, one line each."""

    def append(self, line: str) -> None:
        """Add a line; what could break it or move the cursor is escaped."""
        super().append(one_line(line))

    def parse(
        self, option: str, text: Any, reader: Callable[[str], Any], *, shown: bool = True
    ) -> Any:
        """Return reader(text), or None with a line added if it raises ValueError.

        The line has no text where that is not to be `shown`, since it may hold a secret.
        """
        if text is None:
            return None
        try:
            return reader(text)
        except ValueError as error:
            self.append(f"{option} {text}: {error}" if shown else f"{option}: {error}")
            return None


def at_least(low: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `low` on."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or int(text) < low:
            raise ValueError(f"must be a whole number of at least {low}")
        return int(text)

    return read


def one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    """Return a reader of one of `words`."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read


def gpu_share(text: str) -> float | None:
    """Read a share of GPUs: 0, a share from 0.01 on, or whole GPUs; auto gives None."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (0.01 <= value <= 1 or value in range(1000)):  # Ray takes no 1.5
        raise ValueError("must be auto, 0, a share of a GPU such as 0.25, or a whole number")
    return value


def memory_mb(text: str) -> float | None:
    """Read 900M, 2G or a number of MiB; auto gives None."""
    if text == "auto":
        return None
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([MG]?)", text)
    value = float(match[1]) * (1024 if match[2] == "G" else 1) if match else 0.0
    if value < 1:
        raise ValueError("must be auto or a size such as 900M or 2G")
    return value


def duration_s(text: str) -> int:
    """Read 90s, 30m, 2h or 1h30m; return seconds."""
    # More digits of seconds: what hours make is written to study.json and commands as seconds.
    match = re.fullmatch(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,13})s)?", text)
    seconds = sum(
        int(number) * unit
        for number, unit in zip(match.groups() if match else (), _UNITS.values(), strict=False)
        if number
    )
    if seconds < 1:
        raise ValueError("must be a time such as 90s, 30m or 1h30m")
    return seconds


def study_name(text: str) -> str:
    """Read a study's name: a single folder name of letters, digits, dot, dash and underscore."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", text):
        raise ValueError(
            "must be a plain name of up to 100 letters, digits, '.', '_' and '-', "
            "not beginning with '.' or '-'"
        )
    return text
