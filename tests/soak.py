"""Run notebooks many times in a row on a busy machine: python3 tests/soak.py COUNT [NOTEBOOK ...]

Each run is the notebook's own test, ``course.py test NOTEBOOK``; meanwhile every core computes
something else. Prints each failure as it comes and a count at the end; exits with 1 after any.
"""

import collections
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
USAGE = "usage: python3 tests/soak.py COUNT [NOTEBOOK ...]   (all notebooks by default)"
SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


def main(arguments: list[str]) -> int:
    """Run the notebooks ``COUNT`` times, one after another, and return the exit code."""
    if not arguments or not arguments[0].isdigit():
        sys.exit(USAGE)
    count = int(arguments[0])
    paths = [Path(name).resolve() for name in arguments[1:]]
    paths = paths or sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb"))
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        sys.exit(f"There is no notebook {missing[0]}.")
    failures = collections.Counter()
    busy = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(os.cpu_count() or 1)]
    runs = 0
    try:
        for number in range(1, count + 1):
            start = time.monotonic()
            for path in paths:
                command = [sys.executable, ROOT / "course.py", "test", "-q", path]
                result = subprocess.run(command, capture_output=True, text=True)
                runs += 1
                if result.returncode:
                    failures[path.name] += 1
                    print(result.stdout[-4000:] + result.stderr[-2000:], flush=True)
            seconds = time.monotonic() - start
            print(
                f"run {number} of {count}: {seconds:.0f} s, failed {failures.total()}", flush=True
            )
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        for process in busy:
            process.kill()
    print(f"{runs} runs of {len(paths)} notebooks, {failures.total()} failed", dict(failures) or "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
