"""Trellis beside the tools that a user would pick instead: same data, space, epochs and cores.

`python -m benchmarks.peers EXPERIMENT` runs them one after the other; a file `with_...` per tool.
"""
