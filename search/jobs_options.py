"""The command lines of search.submit, and what is wrong with them before anything is sent."""

import argparse
import contextlib
import io
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from search import options
from search.catalog import EXPERIMENTS
from search.command import RESULTS, Parser
from search.errors import UsageError
from search.mlflow_runs import uri_mistake
from search.options import Mistakes
from search.places import check_place, is_remote, local_path
from search.request import check as check_request

_PROGRAM = "python -m search.submit"
_EPILOG = """commands for a job that was submitted (--help after each says more):
  python -m search.submit status [JOB] --cluster URL    all jobs, or one and its trials
  python -m search.submit logs JOB --cluster URL        what it printed; --follow goes on
  python -m search.submit fetch JOB --cluster URL       its tables and best model, at any time
  python -m search.submit stop JOB --cluster URL        end it; --resume goes on later

examples:
  python -m search.submit lenet_beans --cluster http://127.0.0.1:8265 --cluster-gpus 4
  python -m search.submit lenet_beans --cluster http://127.0.0.1:8265 --study mine --detach
  python -m search.submit lenet_beans --cluster http://127.0.0.1:8265 --study mine --resume

paths in --data, --data-dir and --weights are paths on the cluster, and studies in --warm-start
are studies there.

exit codes: those of search.run, from the job itself; 130 also for a job that was stopped, and
for Ctrl-C, which leaves the job running"""


# With a value each, and not passed on as they are.
_OURS = (
    "--cluster",
    "--cluster-results-dir",
    "--cluster-cpus",
    "--cluster-gpus",
    "--results-dir",
    "--study",
    "--address",
)


# Of a study to go on with, these fit what it has, which only the cluster knows, or do not.
_FIT_THE_STUDY = ("seeds", "max_epochs", "first_rung")


@dataclass(frozen=True)
class Submission:
    """A study to run as a job. `words` are the arguments of search.run on the cluster."""

    job: str
    study: str
    experiment: str
    words: tuple[str, ...]
    cluster: str
    results: Path | None  # here; None where the study stays in a store
    cluster_results: str | None  # there, or a URI; None for what the cluster itself says
    cluster_cpus: int  # to be there before the study begins; 0 for what there is
    cluster_gpus: int
    detach: bool

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The words that say where the study is fetched to, unless that is ./results."""
        usual = self.results in (None, RESULTS.absolute())
        return () if usual else ("--results-dir", str(self.results))


def submit_parser() -> Parser:
    """Return the parser with the options of search.run and those of a submission."""
    parser = options.build_parser()
    parser.prog = _PROGRAM
    parser.description = "Run a study as a job on a Ray cluster, follow it, fetch the results."
    parser.epilog = _EPILOG
    changed = {
        "--address": argparse.SUPPRESS,
        "--study": "default EXPERIMENT-time-and a token",
        "--results-dir": "where the study is fetched to (results/), or a store that it stays in",
    }
    for action in parser._actions:
        for name in changed.keys() & set(action.option_strings):
            action.help = changed[name]
    add = parser.add_argument_group("the job").add_argument
    add("--cluster", metavar="URL", help="its dashboard, such as http://127.0.0.1:8265 (required)")
    add(
        "--cluster-results-dir",
        metavar="DIR|URI",
        help="where studies lie on the cluster, a folder that all nodes share or s3://...; "
        "default: $TRELLIS_RESULTS there, else ~/trellis-results",
    )
    for unit in ("cpus", "gpus"):
        about = f"begin when the cluster has N {unit[:-1].upper()}s, scaled up if need be"
        add(f"--cluster-{unit}", metavar="N", help=about)
    _add_waiting(parser)
    return parser


def _add_waiting(parser: Parser) -> None:
    add = parser.add_mutually_exclusive_group().add_argument
    add("--detach", action="store_true", help="submit, print the job's name, and end")
    add("--follow", action="store_true", help="print its progress until it ends: the default")


def _ours() -> Parser:
    """Return a parser of the options that are not passed on as they are."""
    parser = Parser(add_help=False)
    for name in _OURS:
        parser.add_argument(name)
    _add_waiting(parser)
    return parser


def command_parser(name: str) -> Parser:
    """Return the parser of `status`, `logs`, `fetch` or `stop`."""
    about = {
        "status": "Show the jobs on a cluster, or one of them.",
        "logs": "Print what a job has printed.",
        "fetch": "Copy a job's tables and best model here.",
        "stop": "End a job; everything is kept.",
    }
    parser = Parser(prog=f"{_PROGRAM} {name}", description=about[name])
    many = "?" if name == "status" else None
    parser.add_argument("job", metavar="JOB", nargs=many, help="as `status` shows it")
    parser.add_argument("--cluster", metavar="URL", help="dashboard of the cluster")
    if name == "logs":
        parser.add_argument("--follow", action="store_true", help="go on until the job ends")
    if name == "fetch":
        parser.add_argument("--results-dir", metavar="DIR", default="results")
    return parser


def check(arguments: argparse.Namespace, words: Sequence[str]) -> Submission:
    """Return the submission that the arguments make.

    Args:
        arguments: What `submit_parser` made of `words`.
        words: The command line itself: what search.run is to get is passed on as it stands.

    Raises:
        UsageError: with a line for every mistake that can be told from here.
    """
    wrong = Mistakes()
    _check_search(arguments, wrong)
    cluster = check_cluster(arguments.cluster, wrong)
    if arguments.address != "local":
        wrong.append(f"--address {arguments.address}: a job runs on the Ray of its own cluster")
    if arguments.resume and arguments.study is None:
        wrong.append("--resume needs --study NAME")
    place = _cluster_place(arguments, wrong)
    whole = options.at_least(1)
    cpus = wrong.parse("--cluster-cpus", arguments.cluster_cpus, whole)
    gpus = wrong.parse("--cluster-gpus", arguments.cluster_gpus, whole)
    if wrong:
        raise UsageError(wrong)
    stamp, token = time.strftime("%Y%m%d-%H%M%S"), secrets.token_hex(2)
    study = arguments.study or f"{arguments.experiment}-{stamp}-{token}"
    return Submission(
        job=f"{study}-{token}" if arguments.study else study,
        study=study,
        experiment=arguments.experiment,
        words=_passed_on(arguments, words),
        cluster=cluster,
        results=None
        if is_remote(arguments.results_dir)
        else local_path(arguments.results_dir).absolute(),
        cluster_results=place,
        cluster_cpus=cpus or 0,
        cluster_gpus=gpus or 0,
        detach=arguments.detach,
    )


def _passed_on(arguments: argparse.Namespace, words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of search.run, the experiment first.

    Without our options between them it might stand behind one that takes several words.
    """
    passed = _ours().parse_known_args(list(words))[1]
    read = options.build_parser()
    for place, word in enumerate(passed):
        if word == arguments.experiment:
            found = (word, *passed[:place], *passed[place + 1 :])
            with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                if read.parse_args(found).warm_start == arguments.warm_start:
                    return found
    raise AssertionError("the experiment is one of the words")


def _cluster_place(arguments: argparse.Namespace, wrong: Mistakes) -> str | None:
    """Return where the study is to lie on the cluster; mistakes go to `wrong`."""
    here, place = arguments.results_dir, arguments.cluster_results_dir
    if is_remote(here):
        wrong.parse("--results-dir", here, check_place, shown=False)
        if place is not None:
            wrong.append("--cluster-results-dir: the study lies in --results-dir, a store")
        return str(here)
    if place is None:
        return None
    if is_remote(place) or place.lower().startswith("file://"):
        wrong.parse("--cluster-results-dir", place, check_place, shown=False)
    elif not place.startswith(("/", "~")):
        wrong.append(
            f"--cluster-results-dir {place}: must be an absolute path on the cluster, or a URI"
        )
    return str(place)


def _check_search(arguments: argparse.Namespace, wrong: Mistakes) -> None:
    """Add what search.run would find wrong, but for what only the cluster knows.

    What lies there (data, weights, the study to resume) is left to the job.
    """
    asked = argparse.Namespace(**vars(arguments))
    experiment = EXPERIMENTS.get(arguments.experiment)
    asked.address, asked.resume = "auto", False
    if arguments.resume or is_remote(arguments.results_dir):
        wrong.parse("--study", arguments.study, options.study_name)
        asked.study = None
    if arguments.resume:
        for name in _FIT_THE_STUDY:
            wrong.parse(f"--{name.replace('_', '-')}", getattr(asked, name), options.at_least(1))
            setattr(asked, name, None)
        staged = experiment.stage_epochs if experiment else ()
        for name in ("fix", "sweep"):  # as many epochs as that study has: not known here
            words = getattr(asked, name) or ()
            setattr(asked, name, [w for w in words if w.partition("=")[0] not in staged])
    if is_remote(arguments.results_dir):  # which the cluster must reach, but not this machine
        asked.results_dir = "results"
    for word in arguments.warm_start or ():
        wrong.parse("--warm-start", word, check_place, shown=False)
    asked.warm_start = None
    asked.tensorboard, asked.mlflow = False, None  # whose packages are wanted there
    if arguments.mlflow is not None and (mistake := uri_mistake(arguments.mlflow)):
        wrong.append(f"--mlflow: {mistake}")
    for name, place in _places_there(arguments):
        if place and not place.startswith(("/", "~")):
            wrong.append(f"{name}: must be an absolute path on the cluster")
    if re.fullmatch(r"folder:.+", arguments.data or "") and arguments.data_dir is None:
        asked.data = "embedded"
    if experiment is not None and experiment.pretrained and arguments.weights is not None:
        asked.weights = "random"
    try:
        check_request(asked)
    except UsageError as error:
        for line in error.mistakes:
            what = f"--address {asked.address}: "  # the token that is asked for there
            if "@" in (arguments.cluster or "") and line.startswith(what):
                continue  # which is told, and without its password
            if arguments.cluster is not None or not line.startswith(what):
                wrong.append(line.replace(what, f"--cluster {arguments.cluster}: ", 1))


def _places_there(arguments: argparse.Namespace) -> Iterator[tuple[str, str | None]]:
    """Yield the options that are paths, None where not given.

    The folder of a job is Ray's own, and is lost with it.
    """
    kind, _, folder = (arguments.data or "").partition(":")
    if kind == "folder":
        yield f"--data {arguments.data}", folder
    if arguments.weights != "random":
        yield f"--weights {arguments.weights}", arguments.weights
    yield f"--data-dir {arguments.data_dir}", arguments.data_dir
    scheme, _, file = (arguments.mlflow or "").partition("://")
    if scheme in ("sqlite", "file"):  # sqlite:////file is absolute, sqlite:///file is not
        yield "--mlflow", file.removeprefix("/") if scheme == "sqlite" else file


def check_cluster(text: str | None, wrong: Mistakes) -> str:
    """Return the URL of a dashboard without what follows the port; mistakes go to `wrong`."""
    if text is None:
        wrong.append("--cluster URL is missing: the dashboard, such as http://127.0.0.1:8265")
        return ""
    if "@" in text:  # it would go into the job's command and its output
        wrong.append("--cluster: holds a name or password; the token is what a cluster asks for")
        return ""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable or parts.path.strip("/") or parts.query or parts.fragment:
        wrong.append(
            f"--cluster {text}: must be the URL of a Ray dashboard, such as http://127.0.0.1:8265"
        )
    return text.rstrip("/")
