"""A clock for tests of what waits."""


class Clock:
    """In the place of the module `time`: it moves by what is slept, and by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
