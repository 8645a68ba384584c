"""The formula experiment with more ways to end than the tests of the command need."""

from pathlib import Path

from tests.search_tests.bench import Bench, make_bench

_MISBEHAVE = '''def misbehave(behaviour, epoch, folder):
    """Do what the configuration asks for."""
    once = behaviour.endswith("_once")
    what = behaviour.removesuffix("_once")
    if what == "weigh":
        path = folder / f"weights-{epoch}"
        try:
            path.write_bytes(b"x" * 100_000)
        except OSError:  # as checkpoints do: there is room for tables again
            path.unlink(missing_ok=True)
            raise
    if epoch != 2 or (once and (folder / "before").exists()):
        return
    (folder / "before").touch()
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "segfault":
        import ctypes

        ctypes.string_at(0)
    if what == "hang":
        time.sleep(10_000)
    if what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if what == "hog" and "TRELLIS_CHAOS_HOG" in os.environ:
        held = []
        while True:
            held.append(b"x" * 10_000_000)
            # Ray's monitor, busy machine or not, is to look several times meanwhile.
            time.sleep(float(os.environ["TRELLIS_CHAOS_HOG"]))
    if what == "cuda":
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.")
    if what == "warn":
        import logging

        logging.getLogger("trainables.formula").warning("a checkpoint cannot be used")
'''
_NAMES = ("die", "die_once", "segfault", "segfault_once", "hang", "stop")
_NAMES += ("hog", "hog_once", "cuda", "warn", "weigh", "nan", "learn")


def make_faulty_bench(folder: Path) -> Bench:
    """Return the bench with its trainable's `misbehave` replaced."""
    bench = make_bench(folder)
    trainable, space = (bench.root / name / "formula.py" for name in ("trainables", "spaces"))
    text = trainable.read_text()
    text = text[: text.index("def misbehave")] + _MISBEHAVE
    loss = "1 - value if config['behaviour'] != 'nan' else float('nan')"
    assert text.count("1 - value, value, 1 - value, value") == 1
    text = text.replace("1 - value, value, 1 - value, value", f"1 - value, value, {loss}, value")
    trainable.write_text(text)
    text = space.read_text()
    names = '["learn", "diverge", "break", "exhaust", "die", "die_once"]'
    assert text.count(names) == 1
    space.write_text(text.replace(names, str([*_NAMES])))
    return bench
