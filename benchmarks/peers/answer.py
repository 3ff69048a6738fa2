"""What every adapter shares: cases in, predictions and processor time out. Runs in the peer's own environment."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = dict[str, Any]


class Unsupported(Exception):
    """The peer has no such accelerator, format or figure."""


def answer(predict: Callable[[Case], dict[str, float]]) -> None:
    """Predict the cases of file argv[1] and write {id: {figure: value}} with seconds to file argv[2].

    At most so many of a group are answered as the file says. A peer that fails on a case fails on that case alone,
    whatever it raises: its reason is kept.
    """
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers, ready, done = [], 0.0, Counter()
    for case in asked["cases"]:
        if done[case["group"]] >= asked["most"]:
            continue
        start = time.process_time()
        try:
            found, reason = predict(case), ""
        except Unsupported as error:
            found, reason = {}, str(error)
        except Exception as error:
            found, reason = {}, f"{type(error).__name__}: {str(error)[:120]}"
        done[case["group"]] += bool(found)
        if found:
            ready = ready or time.process_time()  # of the whole process, until the first answer
        answers.append({"id": case["id"], "found": found, "reason": reason, "s": time.process_time() - start})
    Path(sys.argv[2]).write_text(json.dumps({"answers": answers, "first_s": ready}), encoding="utf-8")


def named(table: dict[str, str], name: str, what: str) -> str:
    """The peer's word for ours."""
    if name not in table:
        raise Unsupported(f"no {what} {name}")
    return table[name]
