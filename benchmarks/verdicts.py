"""How often plans ran that were said to fit with some chance: python benchmarks/verdicts.py [CASES...] [--to FILE]

Every run of the case files has a verdict: it ran, or the column `outcome` says `oom`. Its chance comes from its
configuration alone; published runs that were fitted to are predicted with their source left out. Without CASES those
that ship: people's reports and configurations with what became of them, and published runs, which ran all of them.
The Brier score is the mean squared distance between chance and verdict; that of always saying the share that ran
stands beside it.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from tabulate import tabulate

from estimator.predict.chance import SURELY
from estimator.validation.verdicts import Verdict, brier, verdicts

PUBLISHED = Path(__file__).parents[1] / "calibration" / "published"
SHIPPED = (PUBLISHED / "training_reports.csv", PUBLISHED / "training.csv")
BANDS = (0.0, 0.3, 0.7, SURELY, 1.0)


def bands(found: Sequence[Verdict]) -> list[list[object]]:
    """A line for each band of chances: how many, the mean chance, the share that ran."""
    lines: list[list[object]] = []
    for low, high in pairwise(BANDS):
        inside = [one for one in found if low <= one.chance < high or one.chance == high == 1.0]
        means = [np.mean([getattr(one, name) for one in inside]) for name in ("chance", "ran")] if inside else ["", ""]
        lines.append([f"{low:.0%} to {high:.0%}", len(inside), *means])
    return lines


def text(found: Sequence[Verdict]) -> str:
    """The table, the scores, and what was said to fit but did not."""
    table = tabulate(bands(found), ["said to fit", "runs", "mean chance", "ran"], "github", floatfmt=".2f")
    score, constant = brier(found)
    wrong = [f"{one.id} ({one.chance:.2f})" for one in found if one.chance >= SURELY and not one.ran]
    said = f"Brier score {score:.3f}; of the constant base rate {constant:.3f}."
    return f"{table}\n\n{said} Out of memory though said to fit with 90 %: {', '.join(wrong) or 'none'}."


def main() -> None:
    """Print the table of each file and of all together, or write them."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("cases", nargs="*", type=Path, default=SHIPPED)
    asked.add_argument("--to", type=Path)
    options = asked.parse_args()
    parts = [(path.name, verdicts([path])) for path in options.cases]
    parts.append(("all together", [one for _, found in parts for one in found]))
    explained = (__doc__ or "").split("\n", 2)[2].strip()
    tables = "\n\n".join(f"## {name}\n\n{text(found)}" for name, found in parts)
    whole = f"# Said to fit, and ran\n\n{explained}\n\n{tables}\n"
    if options.to:
        options.to.write_text(whole, encoding="utf-8")
    else:
        print(whole)


if __name__ == "__main__":
    main()
