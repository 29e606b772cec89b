"""Run the benchmarks: `python -m benchmarks [NAME…] [OPTION…]`, each in a process of its own.

Exit code 1 when one misses a mark. NAME is a file's name without `bench_` and `.py`; without names
all are run. `--list` names them. Options are handed on: `python -m benchmarks htools --size full`.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def benchmarks() -> dict[str, Path]:
    return {
        path.stem.removeprefix("bench_"): path
        for path in sorted(HERE.rglob("bench_*.py"))
        if "def main(" in path.read_text()
    }


def main(arguments: list[str]) -> int:
    known = benchmarks()
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    options = arguments[len(names) :]
    if arguments == ["--list"]:
        print("\n".join(known))
        return 0
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    # programs start from compiled modules, as an installation has them
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    missed = []
    for name in names or known:
        print(f"\n=== {name} ===", flush=True)
        command = [sys.executable, str(known[name]), "--check", *options]
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode:
            missed.append(name)
    print(f"\nmissed marks: {', '.join(missed)}" if missed else "\nall marks reached")
    return 1 if missed else 0


sys.exit(main(sys.argv[1:]))
