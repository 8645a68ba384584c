"""Benchmarks: ratios measured in one run. `benchmarks/README.md` holds what came out."""
