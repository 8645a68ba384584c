"""The one error that a user's mistake raises: what is wrong, what was found, what to do.

And how names that are not ours read in its line.
"""

import errno


class TrellisError(Exception):
    """A mistake in what the user gave, told in one line; commands print it and exit with 2."""


class DeviceError(TrellisError):
    """A device that is asked for is not here, or cannot be used: another machine may have one."""


class DataError(TrellisError):
    """The data cannot be used: not found, offline, damaged, or badly laid out."""


class WeightsError(TrellisError):
    """Pretrained weights cannot be used: not found, offline, damaged, or others than they were."""


def one_line(text: str) -> str:
    """Return text that fits on one line of any terminal.

    What would break it or move the cursor is escaped: names of files may be of somebody else.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# Of mounts and disks that do not answer; other errors of files may be a trial's own.
_OF_MACHINES = {
    *("EIO", "ENXIO", "ENODEV", "EROFS", "ESTALE", "EREMOTEIO"),
    *("ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH"),
}


def is_of_machine(error: BaseException) -> bool:
    """Tell whether an error is of the machine: another, or this one later, may do the same."""
    return isinstance(error, DeviceError) or (
        isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in _OF_MACHINES
    )
