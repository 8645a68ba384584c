"""Trials per hour on one GPU, several at once in each way there is, beside stock Ray Tune.

`python -m benchmarks.gpu` prints a table; a file `with_...` per way.
"""
