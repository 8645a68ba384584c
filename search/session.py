"""One run of search.run after its words are read: check, prepare data, search, show."""

import argparse
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from search import study
from search.beside import Beside, started
from search.book import Book
from search.broken import (
    broken_off,
    ended_early,
    ended_unopened,
    ended_with_way_on,
    keep_traceback,
    traceback_of,
)
from search.errors import EXIT_DONE, EXIT_INTERRUPTED, UsageError
from search.gpus import precision_of_this_gpu
from search.interrupts import EndEarly, Interrupts
from search.manifest import check_inputs, command_line, make_manifest
from search.mirror import Mirror
from search.plan import published
from search.preparing import check_images, prepare_images
from search.progress import DataProgress, say
from search.request import Request, check
from search.resources import Resources
from search.resuming import given_anew, old_manifest, resume_command, take_over
from search.sharing import add_work
from search.stored import mirrored
from search.study import OpenStudy
from search.telling import announce, say_resources, show_result
from search.weights import complete_best, find_weights_of
from trainables import store
from trainables.budget import Weights
from trainables.cpu import resolve_precision
from trainables.data import Data, open_data
from trainables.errors import TrellisError


def run(arguments: argparse.Namespace, way_on: tuple[str, ...] = ()) -> int:
    """Do what the arguments ask for; return the exit code.

    `way_on` is the command that goes on with the study, where that is not search.run.

    Raises:
        TrellisError: bad input, a refused resume, or a study that could not do its job.
    """
    old = old_manifest(arguments)
    anew = given_anew(arguments)
    take_over(arguments, old)
    request = replace(check(arguments, old), anew=anew, way_on=way_on)
    interrupts = Interrupts(request.time_budget_s)
    with interrupts.caught():
        try:
            with mirrored(request) as mirror:
                return Session(request, interrupts, old, mirror).run()
        except (EndEarly, KeyboardInterrupt) as end:
            return ended_unopened(end, request)


class Session:
    """A request on its way: data, study, Ray, result."""

    def __init__(
        self,
        request: Request,
        interrupts: Interrupts,
        old: Mapping[str, Any] | None,
        mirror: Mirror | None = None,
    ) -> None:
        """Start the clock. `mirror` holds a study that lies in a store."""
        self._request = request
        self._old = old
        self._mirror = mirror
        self._interrupts = interrupts
        self._opened: study.OpenStudy | None = None
        self._weights: Weights | None = None
        self._images: dict[str, Any] = {}  # what study.json is to say of them
        self._beside: list[Beside] = []
        self._under_way = False
        resources = request.resources
        on_this_cpu = resources is not None and not resources.gpus_per_trial
        kept = (old or {}).get("resources", {}).get("precision")
        self._precision = kept or resolve_precision(
            request.plan.precision, on_this_cpu=on_this_cpu
        )
        on_this_gpu = resources is not None and resources.gpus_per_trial
        if self._precision == "auto" and on_this_gpu:
            self._precision = precision_of_this_gpu()

    def run(self) -> int:
        """Search; return the exit code, also of a search that a signal or its budget ended."""
        try:
            return self._run()
        except (EndEarly, KeyboardInterrupt) as end:
            if self._opened is None:
                return ended_unopened(end, self._request)
            return ended_early(end, "everything is kept")

    def _run(self) -> int:
        began = time.monotonic()
        store.limit_bytes()  # a mistake in its setting is told before hours of work
        # First, since they are told to be missing in seconds; data may take minutes to come.
        self._weights = find_weights_of(self._request.experiment, self._request.weights)
        data = open_data(self._request.data, self._interrupts.checked(DataProgress()))
        if self._old is not None and not self._request.resume:
            # The first training of search.confirm, in a folder of the study's.
            check_inputs(self._request.folder.parent.name, self._old, data, self._weights)
        _check_classes(self._request, data)
        self._images = check_images(self._request, data)
        announce(self._request, data)
        if self._request.dry_run:
            return self._dry_run(data)
        code = self._guarded(data)
        if self._opened is not None and not self._request.again:
            # What ended it may have been the end of the terminal.
            gone = (OSError,) if code == EXIT_INTERRUPTED else ()
            with contextlib.suppress(*gone):
                show_result(self._request, self._opened.book, code, time.monotonic() - began)
        return code

    def _guarded(self, data: Data) -> int:
        """Search, and turn what ends it early or breaks it into a message and an exit code."""
        try:
            with contextlib.ExitStack() as closing:
                closing.callback(self._close)
                closing.push(self._keep_traceback)  # before a store gets the last of the folder
                self._search(data)
                self._evaluate(data)
        except (EndEarly, KeyboardInterrupt) as end:
            if self._opened is None:
                raise
            if not self._request.again:  # search.confirm may have more to do
                self._interrupts.over()
            say("")
            return ended_with_way_on(end, self._request, "everything is kept")
        except Exception as error:
            if not self._breaks(error):
                raise
            raise broken_off(self._request, self._opened is not None, error) from error
        return EXIT_DONE

    def _breaks(self, error: BaseException | None) -> bool:
        """Tell whether an error breaks a study off that has begun, or was going on."""
        if not isinstance(error, Exception) or isinstance(error, EndEarly):
            return False
        # What a resume is refused for, before its first trial, is told as of a new study.
        begun = self._opened is not None and (self._under_way or not self._request.resume)
        return begun or not isinstance(error, TrellisError)

    def _keep_traceback(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._opened is not None and error is not None and self._breaks(error):
            keep_traceback(self._request, error)

    def _dry_run(self, data: Data) -> int:
        request = self._request
        if request.resume and self._old is not None:
            study.check_same(request.folder.name, self._old, self._manifest(data))
        if request.resources is not None:
            say_resources(request, request.resources)
        say(f"dry run: no study was {'changed' if request.resume else 'begun'}")
        return EXIT_DONE

    def _manifest(self, data: Data) -> dict[str, Any]:
        request = self._request
        command = list(request.again) or command_line()
        return make_manifest(request.experiment, request.plan, data, command, self._weights)

    def _search(self, data: Data) -> None:
        request = self._request
        content = self._manifest(data)
        content["resources"] = {**request.asked._asdict(), "precision": self._precision}
        if request.resume:  # refused or finished before anything is prepared
            self._open(study.go_on, content)
            if not self._book.unfinished:
                return
        content["data"] |= self._images
        prepare_images(request, data, self._interrupts)
        self._interrupts.check()
        if request.experiment.shares and request.resources is not None:
            work = self._share(data, request.resources)
            if request.resume:
                add_work(request.folder, work)
            content["shared_work"] = work
        from search.connection import connected
        from search.nodes import resources_of
        from search.runner import job, run_trials

        local = request.address == "local"
        say("starting Ray ..." if local else f"joining Ray {request.address} ...")
        with connected(request, self._interrupts):
            resources = resources_of(request)
            if not request.resume:
                content["resources"] |= {
                    "memory_per_trial": resources.memory_mb,
                    "memory_asked": request.asked.memory_per_trial,
                    "at_once": resources.concurrent,
                    "on_gpu": resources.gpus_per_trial > 0,
                    "trial_timeout": f"{request.trial_timeout_s}s",
                }
                self._open(study.begin, content, named=request.named)
            say_resources(request, resources)
            say(f"study: {self._request.shown}")
            # Told now: where Ray itself breaks, it may end this process with no word of ours.
            say(f"  if anything ends it: {resume_command(self._request)}")
            store = self._mirror.for_workers if self._mirror else None
            shared = job(self._request, resources, data, self._precision, self._weights, store)
            self._under_way = True
            run_trials(
                self._book,
                resources,
                shared,
                self._interrupts,
                request.trial_timeout_s,
                self._beside,
            )
        self._interrupts.check_signals()  # one may have come while Ray was left

    def _share(self, data: Data, resources: Resources) -> dict[str, Any]:
        """Make what all trials share, with all that the machine has; on a cluster workers do."""
        from search.sharing import share

        return share(
            self._request, data, resources, self._precision, self._weights, self._interrupts
        )

    def _evaluate(self, data: Data) -> None:
        request = self._request
        self._under_way = True
        if self._book.unfinished or request.again:
            return
        if request.experiment.class_metrics:
            from search.evaluation import evaluate_best

            evaluate_best(request.experiment, self._book, data, self._precision, request.device)
        if request.experiment.conclusion is not None:
            from search.conclusion import conclude

            shown = self._interrupts.checked(DataProgress())
            conclude(request, self._book, data, self._precision, shown)

    def _close(self) -> None:
        if self._opened is None:
            return
        try:
            for each in self._beside:
                each.close()
        finally:
            try:
                # However the search ended: what is kept of the best must be of use.
                self._opened.close(partial(_complete, self._request, self._book, self._weights))
            finally:  # while signals are heard: a store may hang
                if self._mirror is not None:
                    self._mirror.close()

    @property
    def _book(self) -> Book:
        assert self._opened is not None
        return self._opened.book

    def _open(self, how: Callable[..., OpenStudy], content: dict[str, Any], **more: Any) -> None:
        request = self._request
        with self._interrupts.deferred():
            opened = how(
                request.experiment,
                request.plan,
                request.folder,
                content,
                mirror=self._mirror,
                **more,
            )
        self._opened = opened
        # It goes on: what once broke it off is past.
        traceback_of(self._request).unlink(missing_ok=True)
        # A name that nobody chose may have been taken meanwhile: then it got a number.
        self._request = replace(request, folder=opened.book.folder.root)
        if opened.note:
            say(opened.note)
        self._beside = started(opened.book, request.tensorboard, request.mlflow, say)
        if self._mirror is not None:
            self._mirror.start()


def _complete(request: Request, book: Book, weights: Weights | None) -> None:
    if weights is not None:
        complete_best(request.experiment, book, weights)


def _check_classes(request: Request, data: Data) -> None:
    try:
        request.experiment.check(published(request.experiment, request.plan), len(data.classes))
    except ValueError as error:
        raise UsageError([str(error)]) from None
