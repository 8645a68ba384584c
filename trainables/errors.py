"""The one error that a user's mistake raises: what is wrong, what was found, what to do."""


class TrellisError(Exception):
    """A mistake in what the user gave, told in one line; commands print it and exit with 2."""


class DeviceError(TrellisError):
    """A device that is asked for is not here, or cannot be used: another machine may have one."""


class DataError(TrellisError):
    """The data cannot be used: not found, offline, damaged, or badly laid out."""


class WeightsError(TrellisError):
    """Pretrained weights cannot be used: not found, offline, damaged, or others than they were."""
