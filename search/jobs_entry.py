"""What a submitted job runs on the cluster: search.run, its study within reach of the dashboard.

The dashboard hands out files below Ray's folder of logs, and follows links there. So a link to the
study lets `search.submit` fetch it over the one port, and with the one token, that jobs need.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from search import options
from search.command import leave
from search.errors import EXIT_USAGE, exit_code
from search.jobs_scale import brought_up
from search.places import is_remote, working_folder
from search.progress import say
from trainables.errors import TrellisError

# Below the folder of logs; then the job's name.
SHARED = "trellis"
_DEFAULT = "~/trellis-results"
_PYTHONS = ((3, 11), (3, 12))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what `search.submit`, or a RayJob, gives: ours, then --, then run's."""
    parser = argparse.ArgumentParser(prog="search.jobs_entry")
    parser.add_argument("--job", required=True)
    parser.add_argument("--study", required=True)
    parser.add_argument("--results")
    parser.add_argument("--cluster")
    parser.add_argument("--fetched-to")
    parser.add_argument("--cpus", type=int, default=0)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("words", nargs=argparse.REMAINDER)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study; return the exit code of search.run."""
    asked = build_parser().parse_args(arguments)
    if wrong := _unfit():
        say(f"search.submit: {wrong}")
        return EXIT_USAGE
    from search.connection import prepare
    from search.run import main as run

    results = place_of(asked.results)
    share(asked.job, working_folder(results) / asked.study)
    address = own_ray()
    places = ["--study", asked.study, "--results-dir", results, "--address", address]
    words = [*asked.words[1:], *places]  # the first word is "--"
    sys.argv = ["search.run", *words]  # study.json tells the command
    try:
        prepare(address)
        with brought_up(address, asked.cpus, asked.gpus, say):
            return run(words, way_on(asked))
    except TrellisError as error:  # run tells its own
        say(f"search.submit: {error}")
        return exit_code(error)


def way_on(asked: argparse.Namespace) -> tuple[str, ...]:
    """Return the command that goes on with the study; none for a job that `submit` did not make.

    Where the user is there is no such folder, and none of this job's Ray.
    """
    if asked.cluster is None:
        return ()
    experiment = options.build_parser().parse_args(asked.words[1:]).experiment
    words = ["python", "-m", "search.submit", experiment, "--study", asked.study, "--resume"]
    if asked.results:
        place = "--results-dir" if is_remote(asked.results) else "--cluster-results-dir"
        words += [place, asked.results]
    words += ["--results-dir", asked.fetched_to] if asked.fetched_to else []
    words += ["--cluster", asked.cluster]
    for unit in ("cpus", "gpus"):  # a cluster that scales from none has none by then
        if count := getattr(asked, unit):
            words += [f"--cluster-{unit}", str(count)]
    return tuple(words)


def _unfit() -> str:
    """Return why this Python cannot run a study, or nothing."""
    import importlib.util

    if sys.version_info[:2] not in _PYTHONS:
        return f"`python` on the cluster is {sys.version.split()[0]}; it must be 3.11 or 3.12"
    needed = ("ray", "optuna", "torch", "torchvision", "tensorflow_datasets")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        return (
            f"{sys.executable}, the `python` on the cluster, lacks {', '.join(missing)}; "
            f"install requirements.lock there (see docs/cluster.md)"
        )
    return ""


def place_of(given: str | None) -> str:
    """Return where studies lie: as given, else $TRELLIS_RESULTS, else a folder in the home.

    A path, or a URI.
    """
    return os.path.expanduser(given or os.environ.get("TRELLIS_RESULTS") or _DEFAULT)


def own_ray(processes: Path = Path("/proc")) -> str:
    """Return the address of the Ray whose job this is: the one of the node's own process above.

    "auto", and on some machines RAY_ADDRESS too, means the newest Ray, which may be another's.
    """
    process = str(os.getpid())
    while process not in ("0", "1"):
        for word in (processes / process / "cmdline").read_bytes().split(b"\0"):
            if word.startswith(b"--gcs-address="):
                return word.partition(b"=")[2].decode()
        status = (processes / process / "stat").read_text()
        process = status.rpartition(")")[2].split()[1]  # after the name in parentheses: the parent
    return os.environ["RAY_ADDRESS"]


def share(job: str, study: Path, output: Path = Path("/proc/self/fd/1")) -> None:
    """Link to the study's folder, which may not be there yet, from Ray's folder of logs.

    Ray tells a job nowhere where that folder is; but the job's output goes to a file in it.
    """
    logs = output.resolve().parent
    link = logs / SHARED / job
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(study)


if __name__ == "__main__":
    leave(main())
