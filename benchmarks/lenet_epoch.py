"""Seconds per LeNet epoch at 299x299, and what each choice of the loop gives: ratios of one run.

python -m benchmarks.lenet_epoch --images 256 --repeats 3
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

# name -> (trials side by side, threads each, precision, keep freed memory)
VARIANTS = {
    "2 threads, bfloat16": (1, 2, "bfloat16", True),
    "2 threads, bfloat16, memory given back": (1, 2, "bfloat16", False),
    "2 threads, float32": (1, 2, "float32", True),
    "2 trials of 1 thread, bfloat16": (2, 1, "bfloat16", True),
}


def worker(threads: int, precision: str, keep: bool, images: int) -> float:
    """Return the seconds of one training pass over `images` drawn images, after one to warm up."""
    import numpy as np
    import torch

    from trainables import device as machine
    from trainables.budget import Budget
    from trainables.evaluation import Examples
    from trainables.nets.lenet import LeNet, keras_init
    from trainables.optimizers import Adam
    from trainables.training import Stage, train_epoch

    budget = Budget(epochs=1, threads=threads, precision=precision, device="cpu")
    if not keep:
        machine.keep_freed_memory = lambda: None
    device = machine.set_up(budget)
    draws = np.random.default_rng(0)
    pixels = torch.from_numpy(draws.integers(0, 256, (images, 299, 299, 3), dtype=np.uint8))
    examples = Examples(pixels, torch.from_numpy(draws.integers(0, 3, images)))
    model = LeNet(
        image_size=299, channels=3, classes=3, kernel_size=5, filters=(6, 16, 120), dropout=0.0
    )
    keras_init(model, torch.Generator().manual_seed(0))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Adam(model.parameters(), lr=1e-3)
    stage = Stage("train", 2, model, optimizer, examples, examples, 64)
    lower = machine.autocast(budget, device)
    train_epoch(stage, 0, 1, lower)
    started = time.perf_counter()
    train_epoch(stage, 0, 2, lower)
    return time.perf_counter() - started


def measure(name: str, images: int) -> float:
    """Return images per second of a variant, all its processes together."""
    trials, threads, precision, keep = VARIANTS[name]
    words = json.dumps([threads, precision, keep, images])
    command = [sys.executable, "-m", "benchmarks.lenet_epoch", "--worker", words]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(trials)]
    seconds = [float(process.communicate()[0]) for process in running]
    return sum(images / each for each in seconds)


def main() -> None:
    """Print each variant's median, and its ratio to the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256, help="per pass (default 256)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds over all variants")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(worker(*json.loads(arguments.worker)))
        return
    speeds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.repeats):
        for name in VARIANTS:
            speeds[name].append(measure(name, arguments.images))
    first = statistics.median(next(iter(speeds.values())))
    for name, values in speeds.items():
        median = statistics.median(values)
        print(
            f"{name:42} {median:6.1f} images/s, {1034 / median:5.1f} s for 1,034, "
            f"{median / first:.2f} times the first"
        )


if __name__ == "__main__":
    main()
