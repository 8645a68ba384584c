"""`python -m search.run EXPERIMENT`: search the best configuration of an experiment."""

import argparse
from collections.abc import Sequence

from search import options
from search.command import ended, leave
from search.errors import EXIT_DONE
from search.listing import listing


def main(arguments: Sequence[str] | None = None, way_on: tuple[str, ...] = ()) -> int:
    """Run the command; return its exit code. `way_on` goes on with it, where search.run cannot."""
    parsed = options.build_parser().parse_args(arguments)
    return ended("search.run", lambda: _run(parsed, way_on))


def _run(parsed: argparse.Namespace, way_on: tuple[str, ...]) -> int:
    if parsed.list:
        print(listing())
        return EXIT_DONE
    from search.session import run

    return run(parsed, way_on)


if __name__ == "__main__":
    leave(main())
