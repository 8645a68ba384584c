"""What is said and kept of a study that breaks off, or is ended early."""

import contextlib
import traceback
from pathlib import Path

from search.disk import is_full, what_to_free
from search.errors import StudyFailed
from search.folder import ERROR_NAME
from search.interrupts import how_it_ended
from search.progress import say
from search.request import Request
from search.resuming import resume_command
from trainables.errors import TrellisError


def traceback_of(request: Request) -> Path:
    """Return the file with all of what broke the request's study off."""
    return request.folder / ERROR_NAME


def keep_traceback(request: Request, error: BaseException) -> None:
    """Write what breaks a study off into its folder, if that can be written to."""
    with contextlib.suppress(OSError):
        text = "".join(traceback.format_exception(error))
        traceback_of(request).write_text(text, encoding="utf-8")


def broken_off(request: Request, begun: bool, error: Exception) -> StudyFailed:
    """Return what to tell: the error, and of a study that has begun the way on."""
    where = ""
    if begun:
        path = traceback_of(request)
        where = f" (all of it in {path})" if path.exists() else ""
        where += f"\nwhat is finished is kept; go on with {resume_command(request)}"
    if is_full(error):
        return StudyFailed(what_to_free(error, request.folder) + where)
    text = str(error) if isinstance(error, TrellisError) else f"{type(error).__name__}: {error}"
    return StudyFailed(f"the study broke off: {text.splitlines()[0]}{where}")


def ended_early(end: BaseException, kept: str) -> int:
    """Say what ended a command early, and what of it is kept; return the exit code."""
    reason, code = how_it_ended(end)
    say(f"{reason}: {kept}")
    return code


def ended_unopened(end: BaseException, request: Request) -> int:
    """Say what ended a command before it had its study; return the exit code."""
    if request.resume:
        return ended_with_way_on(end, request, "the study is as it was")
    return ended_early(end, "no study was begun; what was downloaded or prepared is kept")


def ended_with_way_on(end: BaseException, request: Request, kept: str) -> int:
    """Say what ended a command early, what is kept and how it goes on; return the exit code."""
    code = ended_early(end, f"{kept}. Go on with")
    say(f"  {resume_command(request)}")
    return code
