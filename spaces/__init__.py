"""Search spaces, one file per experiment: a define-by-run `space(trial)`, and DEFAULTS."""
