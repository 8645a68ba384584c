"""A Ray cluster as its dashboard shows it: jobs sent there, followed, stopped, their files read.

All of it goes through the dashboard's one port and needs no Ray here beyond the client.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from search import access
from search.errors import StudyFailed, UsageError
from search.jobs_entry import SHARED
from search.jobs_options import Submission

# The driver closes its study within seconds; Ray would kill it after 3.
_STOP_S = 60
# A dashboard that is gone for longer is taken for lost.
_PATIENCE_S = 60
# After so long without a line it is asked whether anybody is still there.
_SILENCE_S = 60.0
_BLOCK = 1 << 20
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
# Of any job, what a file's transfer may take.
_TRANSFER_S = 3600
_PYTHONS = ("3.11.", "3.12.")


class Cluster:
    """The jobs of one cluster. Its methods raise UsageError for what the cluster refuses."""

    def __init__(self, url: str) -> None:
        """Connect, and make sure that a study can run there.

        Raises:
            UsageError: nothing, or no Ray of our version, answers there; or not to our token.
        """
        wrong = [line.replace("--address", "--cluster", 1) for line in access.token_mistakes(url)]
        if wrong:
            raise UsageError(wrong)
        self.url = url
        os.environ["RAY_AUTH_MODE"] = "token"
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):  # these would win over the URL
            os.environ.pop(name, None)
        access.past_proxies(url)
        with self._told():
            _reach(url)
            from ray.job_submission import JobSubmissionClient

            for name in _TALKATIVE:  # each sets its own level when imported
                logging.getLogger(name).setLevel(logging.ERROR)
            self._client = JobSubmissionClient(url)
            self._check_versions()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what Ray's client raises into one line."""
        import requests

        try:
            yield
        except UsageError:
            raise
        except (requests.JSONDecodeError, KeyError, TypeError, requests.HTTPError):
            raise UsageError([f"--cluster {self.url}: what answers is no Ray dashboard"]) from None
        except (OSError, requests.RequestException) as error:
            why = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise UsageError([f"--cluster {self.url}: no Ray answers there: {why}"]) from None
        except Exception as error:  # RuntimeError and Ray's own
            raise UsageError([f"--cluster {self.url}: {_why(error)}"]) from None

    def _check_versions(self) -> None:
        import ray

        there = self._json("/api/version")["ray_version"]
        if there != ray.__version__:
            raise UsageError(
                [
                    f"--cluster {self.url}: has Ray {there}, and this is {ray.__version__}; "
                    f"install requirements.lock in both places"
                ]
            )
        python = str(self._json("/api/v0/cluster_metadata")["data"]["pythonVersion"])
        if not python.startswith(_PYTHONS):
            raise UsageError(
                [f"--cluster {self.url}: has Python {python}; a study needs 3.11 or 3.12"]
            )

    def _get(self, path: str, **settings: Any) -> Any:
        # Ray's client puts the token on it, but has no method of its own for these pages.
        return self._client._do_request("GET", path, **settings)

    def _json(self, path: str, **settings: Any) -> Any:
        answer = self._get(path, **settings)
        answer.raise_for_status()
        return answer.json()

    def submit(self, asked: Submission, code: Path) -> None:
        """Send the code, and start the job."""
        import shlex

        words = ["python", "-m", "search.jobs_entry", "--job", asked.job, "--study", asked.study]
        words += ["--cpus", str(asked.cluster_cpus), "--gpus", str(asked.cluster_gpus)]
        words += ["--results", asked.cluster_results] if asked.cluster_results else []
        words += ["--cluster", asked.cluster]
        words += ["--fetched-to", str(asked.results)] if asked.elsewhere else []
        with self._told():
            self._client.submit_job(
                # Without exec, a shell would stand between the driver and its signals.
                entrypoint=f"exec {shlex.join([*words, '--', *asked.words])}",
                submission_id=asked.job,
                runtime_env={
                    "working_dir": str(code),
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_S)},
                },
                metadata={"trellis_study": asked.study, "experiment": asked.experiment},
            )

    def jobs(self) -> list[Any]:
        """Return Ray's details of our jobs, the oldest first."""
        with self._told():
            found = self._client.list_jobs()
        ours = [each for each in found if "trellis_study" in (each.metadata or {})]
        return sorted(ours, key=lambda each: each.start_time or 0)

    def job(self, name: str) -> Any:
        """Return Ray's details of a job of ours.

        Raises:
            UsageError: there is none of that name.
        """
        for details in self.jobs():
            if details.submission_id == name:
                return details
        raise UsageError([f"{name}: no such job on {self.url}; see search.submit status"])

    def logs(self, name: str) -> str:
        """Return all that a job has printed."""
        with self._told():
            return self._client.get_job_logs(name)

    def stop(self, name: str) -> bool:
        """Ask a job to end; return False if it had ended."""
        with self._told():
            return self._client.stop_job(name)

    def wait(self, name: str) -> Any:
        """Return a job's details once it has ended.

        Raises:
            UsageError: the cluster has not answered for a minute.
        """
        heard = time.monotonic()
        while True:
            try:
                details = self.job(name)
            except UsageError:  # one answer that fails is no end of the job
                if time.monotonic() - heard > _PATIENCE_S:
                    raise
            else:
                heard = time.monotonic()
                if details.status.is_terminal():
                    return details
            time.sleep(0.5)

    def follow(self, name: str, output: IO[str]) -> Any:
        """Copy what a job prints to `output` until it ends; return its details then.

        Raises:
            StudyFailed: the cluster is lost; the job may go on.
            OSError: `output` cannot be written to.
        """
        import aiohttp

        copied = _Copied(output)
        while True:
            try:
                asyncio.run(self._tail(name, copied))
                details = self.job(name)
                if details.status.is_terminal():
                    return details
                copied.lost_since = None
            except (aiohttp.ClientError, OSError, RuntimeError, UsageError) as error:
                if error is copied.error:  # a pipe that was closed here, not the cluster
                    raise
                copied.lost_since = copied.lost_since or time.monotonic()
                if time.monotonic() - copied.lost_since > _PATIENCE_S:
                    raise StudyFailed(f"lost the cluster {self.url}: {_why(error)}") from None
            time.sleep(0.5)

    async def _tail(self, name: str, copied: "_Copied") -> None:
        """Print what is new until the job ends; raises where the connection drops.

        Returns after a silence, if the cluster answers: a connection may be lost without a word.
        """
        at, texts = 0, self._client.tail_job_logs(name)
        while True:
            try:
                text = await asyncio.wait_for(anext(texts), _SILENCE_S)
            except StopAsyncIteration:
                return
            except TimeoutError:
                with self._told():
                    self._get("/api/version", timeout=_SILENCE_S)
                return
            copied.add(text, at)
            at += len(text)

    def files(self, details: Any) -> list[str]:
        """Return the names of the files in the folder of a job's study."""
        place = f"{SHARED}/{details.submission_id}"
        asked = {"node_id": details.driver_node_id, "glob": f"{place}/*"}
        with self._told():
            found = self._json("/api/v0/logs", params=asked)["data"]["result"]
        names = [name.rpartition("/")[2] for part in found.values() for name in part]
        return sorted(name for name in names if name and not name.startswith("."))

    def read(self, details: Any, name: str, write: IO[bytes]) -> None:
        """Copy a file of a job's study to `write`.

        Raises:
            UsageError: the cluster does not give it, or its answer breaks off: the dashboard ends
                a whole one with an empty chunk.
            OSError: `write` cannot be written to.
        """
        asked = {
            "node_id": details.driver_node_id,
            "filename": f"{SHARED}/{details.submission_id}/{name}",
            "lines": -1,  # all of it
            "timeout": _TRANSFER_S,
        }
        with self._told():
            answer = self._get("/api/v0/logs/file", params=asked, stream=True)
        with answer:
            with self._told():
                answer.raise_for_status()
            blocks = answer.iter_content(_BLOCK)
            while block := self._next(blocks):
                write.write(block)  # whose errors are not the cluster's

    def _next(self, blocks: Iterator[bytes]) -> bytes:
        """Return the next block of an answer, b"" at its end."""
        with self._told():
            return next(blocks, b"")


class _Copied:
    """What of a job's output has been printed, by however many connections, each from its start.

    `lost_since` is when the cluster was lost, by the monotonic clock; None while it answers.
    """

    def __init__(self, output: IO[str]) -> None:
        self._output = output
        self._seen = 0  # characters
        self.lost_since: float | None = None
        self.error: OSError | None = None  # of `output`

    def add(self, text: str, at: int) -> None:
        """Print what is new of `text`, which stands at character `at` of the output."""
        self.lost_since = None
        new = text[max(0, self._seen - at) :]
        if not new:
            return
        self._seen = at + len(text)
        try:
            self._output.write(new)
            self._output.flush()
        except OSError as error:
            self.error = error
            raise


def _reach(url: str) -> None:
    """Raise OSError if nothing listens there; Ray's client would wait for minutes."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), timeout=10).close()


def _why(error: BaseException) -> str:
    """Return the first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
