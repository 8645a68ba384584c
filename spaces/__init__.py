"""Search spaces: one file per experiment, each a define-by-run function `space(trial)` and its DEFAULTS."""
