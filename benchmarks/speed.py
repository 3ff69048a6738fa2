"""Speed limits, each as a ratio within one run: python benchmarks/speed.py

CPU time of whole processes (user + system, best of several): what importing and a cold command cost over what they
cannot do without, and how long warm calls take.
"""

import itertools
import json
import os
import sys
import time
from pathlib import Path

REPEATS = 15
# As installed, compiled. One thread: NumPy's others spin while it is imported, which takes processor time but no time.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "OPENBLAS_NUM_THREADS": "1"
}


def cpu_s(*argv: str) -> float:
    """CPU seconds of one process (user and system), the least of several."""
    return min(_once(argv) for _ in range(REPEATS))


def _once(argv: tuple[str, ...]) -> float:
    child = os.posix_spawn(
        argv[0], argv, ENVIRONMENT, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(argv)} failed")
    return usage.ru_utime + usage.ru_stime


def python(code: str) -> float:
    """CPU seconds of a fresh interpreter running `code`."""
    return cpu_s(sys.executable, "-c", code)


def command(*words: str) -> float:
    """CPU seconds of the command as the shell starts it."""
    return cpu_s(sys.executable, "-c", "from estimator.cli import command; command()", *words)


def warm_s(call: str, seconds: float = 1.0) -> float:
    """CPU seconds of a warm call, mean over about `seconds`."""
    from estimator import compare, estimate

    names = {"compare": compare, "estimate": estimate, "other": itertools.count(1000)}
    run = compile(call, "call", "eval")
    eval(run, names)
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        eval(run, names)
        count += 1
    return (time.process_time() - start) / count


def main() -> int:
    """Print each figure with its limit; exit 1 when one is missed."""
    bare = python("pass")
    base, both = python("import numpy"), python("import numpy, pydantic")
    compared = command("compare", "--model", "7b", "--gpu", "a100")
    file = str(Path(__file__).parents[1] / "tests" / "configs" / "files" / "train.yaml")
    checked = command("check", file, "--gpu", "a100")
    rows = [
        ("import over NumPy [s]", python("from estimator import estimate") - base, 0.05),
        ("--help over bare Python [s]", command("--help") - bare, 0.10),
        ("cold compare over NumPy and pydantic [1]", compared / both, 1.6),
        ("cold check of a run over that compare [1]", checked / compared, 1.5),
        ("warm estimate, asked again [s]", warm_s("estimate('finetune', model='7b', gpu='a100')"), 0.002),
        ("warm compare, asked again [s]", warm_s("compare(model='7b', gpu='a100')"), 0.010),
        (
            "warm compare, other traffic [s]",
            warm_s("compare(model='7b', gpu='a100', requests_per_month=next(other))"),
            0.010,
        ),
        (
            "warm compare, other physics [s]",
            warm_s("compare(model='7b', gpu='a100', prompt_tokens=next(other))"),
            0.010,
        ),
    ]
    for name, value, limit in rows:
        print(f"{name:40s} {value:8.4f}   limit {limit:g}   {'ok' if value <= limit else 'MISSED'}")
    print(json.dumps({"bare_python_s": bare, "numpy_s": base}))
    return int(any(value > limit for _, value, limit in rows[:3]))


if __name__ == "__main__":
    sys.exit(main())
