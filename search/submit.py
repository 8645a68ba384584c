"""`python -m search.submit EXPERIMENT --cluster URL`: search.run as a job on a Ray cluster."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from search.command import ended
from search.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_USAGE,
    UsageError,
)
from search.jobs_options import Submission, check, check_cluster, command_parser, submit_parser
from search.options import Mistakes
from search.places import is_remote, local_path
from search.progress import say
from trainables.errors import TrellisError

if TYPE_CHECKING:
    from search.jobs_client import Cluster


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = _COMMANDS.get(words[0]) if words else None
    return ended(
        "search.submit",
        lambda: _submit(words) if command is None else _about_a_job(words, command),
    )


def _submit(words: list[str]) -> int:
    asked = submit_parser().parse_args(words)
    if asked.list:
        from search.listing import listing

        print(listing())
        return EXIT_DONE
    submission = check(asked, words)
    from search.jobs_client import Cluster
    from search.jobs_package import package

    cluster = Cluster(submission.cluster)
    with package() as code:
        cluster.submit(submission, code)
    say(f"job {submission.job} on {cluster.url}")
    if submission.detach:
        print(submission.job)
        say(f"follow it by  {_command('logs', submission.job, cluster, '--follow')}")
        return EXIT_DONE
    return _to_the_end(cluster, submission)


def _to_the_end(cluster: "Cluster", submission: Submission) -> int:
    """Follow a job and fetch its study; Ctrl-C leaves the job running."""
    job, results = submission.job, submission.results
    try:
        details = cluster.follow(job, sys.stderr)
    except KeyboardInterrupt:
        say(f"\njob {job} goes on without you. Follow, stop or fetch it by")
        more = {"logs": ["--follow"], "stop": [], "fetch": submission.elsewhere}
        for command, words in more.items():
            say(f"  {_command(command, job, cluster, *words)}")
        return EXIT_INTERRUPTED
    code = _ended(details)
    # A job that was refused, or only tried, has no study: one of that name is another's.
    untouched = code in (EXIT_USAGE, EXIT_REFUSED) or "--dry-run" in details.entrypoint.split()
    if results is None or untouched:  # its own output says where the study is
        return code
    from search.jobs_fetch import fetch

    try:
        print(f"study: {fetch(cluster, details, results, say)}")
    except TrellisError as error:
        if code == EXIT_DONE:
            raise
        say(f"search.submit: {error}")
    return code


def _ended(details: Any) -> int:
    """Return the exit code of a job that has ended; say what its own output cannot."""
    if details.status == "STOPPED":
        say(f"job {details.submission_id} was stopped; what is finished is kept")
        return EXIT_INTERRUPTED
    code = details.driver_exit_code
    if code is None:  # no process of ours, or it went with its node
        say(f"search.submit: {_first_line(details.message)}")
        return EXIT_FAILED
    return int(code)


def _about_a_job(words: list[str], command: Callable[..., int]) -> int:
    asked = command_parser(words[0]).parse_args(words[1:])
    wrong = Mistakes()
    url = check_cluster(asked.cluster, wrong)
    if wrong:
        raise UsageError(wrong)
    from search.jobs_client import Cluster

    return command(Cluster(url), asked)


def _status(cluster: "Cluster", asked: argparse.Namespace) -> int:
    jobs = cluster.jobs() if asked.job is None else [cluster.job(asked.job)]
    for each in jobs:
        start, end = each.start_time, each.end_time or time.time() * 1000
        took = f"{(end - start) / 1000:.0f} s" if start else "-"
        code = "" if each.driver_exit_code is None else f"exit {each.driver_exit_code}"
        print(f"{each.submission_id}  {each.status.value.lower():9}  {took:>8}  {code}".rstrip())
    if not jobs:
        say(f"no job of ours on {cluster.url}")
    if asked.job is not None:
        _print_trials(cluster, jobs[0])
    return EXIT_DONE


def _print_trials(cluster: "Cluster", details: Any) -> None:
    """Print how many trials are in which status, from the study's own table."""
    import csv
    import io
    from collections import Counter

    if not details.driver_node_id or "trials.csv" not in cluster.files(details):
        return
    table = io.BytesIO()
    cluster.read(details, "trials.csv", table)
    rows = csv.DictReader(table.getvalue().decode().splitlines())
    counts = Counter(row["status"] for row in rows)
    if counts:
        print("trials: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items())))


def _logs(cluster: "Cluster", asked: argparse.Namespace) -> int:
    details = cluster.job(asked.job)
    if not asked.follow:
        print(cluster.logs(asked.job), end="")
        return EXIT_DONE
    if not details.status.is_terminal():
        return _ended(cluster.follow(asked.job, sys.stdout))
    print(cluster.logs(asked.job), end="")
    return _ended(details)


def _fetch(cluster: "Cluster", asked: argparse.Namespace) -> int:
    from search.jobs_fetch import fetch

    if is_remote(asked.results_dir):
        raise UsageError(["--results-dir: fetch takes a folder here, not a store"])
    results = local_path(asked.results_dir).absolute()
    print(f"study: {fetch(cluster, cluster.job(asked.job), results, say)}")
    return EXIT_DONE


def _stop(cluster: "Cluster", asked: argparse.Namespace) -> int:
    details = cluster.job(asked.job)
    from search.jobs_fetch import study_of

    study = study_of(details)
    if not cluster.stop(asked.job):
        say(f"job {asked.job} had ended: {details.status.value.lower()}")
        return EXIT_DONE
    say(f"stopping job {asked.job} ...")
    cluster.wait(asked.job)
    say(f"stopped; what is finished is kept. Submit it again in the same words, places and "
         f"--cluster-cpus or --cluster-gpus too, with --study {study} --resume")  # fmt: skip
    return EXIT_DONE


_COMMANDS = {"status": _status, "logs": _logs, "fetch": _fetch, "stop": _stop}


def _command(name: str, job: str, cluster: "Cluster", *more: str) -> str:
    words = ["python", "-m", "search.submit", name, job, "--cluster", cluster.url, *more]
    return shlex.join(words)


def _first_line(text: str | None) -> str:
    return (text or "the job ended without a word").splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
