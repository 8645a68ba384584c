"""What a study's processes hold in memory at their peak: the data once, trials' own, and the rest.

python -m benchmarks.copies lenet_beans --data embedded --trials 2 --max-epochs 1

Takes the words of search.run. Pages that processes share are divided among those who share them
(PSS), so that data which all trials map counts once. Linux only.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.peers.watching import Family
from trainables import store

_EVERY_S = 0.5
_MIB = 2**20
# A process with torch is a trial's worker, or the driver while it evaluates.
_TORCH = "libtorch_cpu"
DATA, TRIALS, SHARED, DRIVER, RAY = "data", "trials' own", "trials, shared", "driver", "Ray's own"


def mappings(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (file or "", PSS, private bytes) of each mapping in a process's smaps."""
    name, pss, private = "", 0, 0
    for line in text.splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # a mapping's first line: addresses, rights, ..., its file
            if pss or private:
                yield name, pss, private
            name, pss, private = " ".join(words[5:]), 0, 0
        elif words[0] == "Pss:":
            pss = int(words[1]) * 1024
        elif words[0] in ("Private_Clean:", "Private_Dirty:"):
            private += int(words[1]) * 1024
    yield name, pss, private


def parts(text: str, driver: bool, cache: str) -> Counter[str]:
    """Return the bytes of one process by part, from its smaps."""
    found: Counter[str] = Counter()
    trial = _TORCH in text and not driver
    for name, pss, private in mappings(text):
        if name.startswith(cache):
            found[DATA] += pss
        elif trial:
            found[TRIALS] += private
            found[SHARED] += pss - private
        else:
            found[DRIVER if driver else RAY] += pss
    return found


def look(family: Family, cache: str) -> Counter[str]:
    """Return the bytes of all processes by part, now."""
    found: Counter[str] = Counter()
    family.look()
    for number in family.members:
        try:
            text = Path(f"/proc/{number}/smaps").read_text(encoding="utf-8", errors="replace")
        except OSError:  # gone meanwhile
            continue
        if text:
            found += parts(text, number == family.root.pid, cache)
    return found


def main() -> int:
    """Run the search, then print the moment at which most was held."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0
    peak: Counter[str] = Counter()
    with subprocess.Popen([sys.executable, "-m", "search.run", *sys.argv[1:]]) as running:
        family = Family(psutil.Process(running.pid))
        while running.poll() is None:
            peak = max(peak, look(family, str(store.root())), key=lambda each: each.total())
            time.sleep(_EVERY_S)
    print("\n| part | MiB |\n| --- | --- |")
    for name in (DATA, TRIALS, SHARED, DRIVER, RAY):
        print(f"| {name} | {peak[name] / _MIB:,.0f} |")
    wanted = peak[DATA] + peak[TRIALS]
    print(f"| all | {peak.total() / _MIB:,.0f} |")
    print(f"\n{peak.total() / max(wanted, 1):.2f} times the data and the trials' own")
    return running.returncode


if __name__ == "__main__":
    sys.exit(main())
