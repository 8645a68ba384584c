"""`python -m search.run EXPERIMENT`: search the best configuration of an experiment."""

import sys
from collections.abc import Sequence

from search import options
from search.catalog import EXPERIMENTS
from search.errors import EXIT_DONE, EXIT_INTERRUPTED, UsageError, exit_code
from trainables.errors import TrellisError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parsed = options.build_parser().parse_args(arguments)
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


def listing() -> str:
    """Return the catalog as a table: data, trials and epochs of the presets, published number."""
    head = ("experiment", "data", "quick", "standard", "thorough", "published", "")
    rows: list[tuple[str, ...]] = [head]
    for each in EXPERIMENTS.values():
        presets = [each.presets[name] for name in ("quick", "standard", "thorough")]
        budgets = [f"{preset.trials} x {preset.max_epochs}" for preset in presets]
        published = "" if each.published is None else f"{each.published:.4f}"
        rows.append((each.name, each.dataset, *budgets, published, each.summary))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows)
    table = "\n".join(line.rstrip() for line in lines)
    return f"{table}\n\nbudgets are trials x epochs at most; published is a test accuracy"


if __name__ == "__main__":
    sys.exit(main())
