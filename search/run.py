"""`python -m search.run EXPERIMENT`: search the best configuration of an experiment."""

import argparse
import sys
from collections.abc import Sequence

from search import options
from search.command import printed
from search.errors import EXIT_DONE, EXIT_INTERRUPTED, UsageError, exit_code
from search.listing import listing
from trainables.errors import TrellisError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parsed = options.build_parser().parse_args(arguments)
    return printed("search.run", lambda: _run(parsed))


def _run(parsed: argparse.Namespace) -> int:
    if parsed.list:
        print(listing())
        return EXIT_DONE
    from search.session import run

    try:
        return run(parsed)
    except TrellisError as error:
        lines = error.mistakes if isinstance(error, UsageError) else str(error).splitlines()
        for text in lines:
            print(f"search.run: {text}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print("\nsearch.run: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
