"""Steps of a tree say what its figures say when they are made anew, to the last bit."""

import random

import numpy as np
import pytest

from estimator.formulas.arithmetic import product, quotient, sum_of
from estimator.quantities import FACTORS, derive, given
from estimator.stages.live import Tree
from estimator.stages.steps import Moved

KEYS = ("requests_per_month", "samples", "contingency", "rate_usd_per_hour")
MOVED = list(enumerate(FACTORS[::5][:4]))


def figures(seed: int, values: dict[str, float]) -> list:
    """Sums, products and quotients of inputs and constants, some of them nothing, some of them the same."""
    draw = random.Random(seed)
    found = [given(key, values[key], "1", key=key) for key in KEYS]
    nothing = given("nothing or some", draw.choice((0.0, 0.0, 2.0)), "1")
    found += [nothing, *(given(f"constant {n}", 1.7, "1", low=0.5, high=3.0, factor=name) for n, name in MOVED)]
    for place in range(20):
        formula = draw.choice((sum_of, sum_of, product, quotient))
        parts = draw.sample(found, 2 if formula is quotient else draw.randint(1, 5))
        found.append(made(f"figure {place}", formula, parts))
        if place % 4 == 3:  # lines, nothing times them, and all that together
            more = made(f"more {place}", product, [made(f"lines {place}", sum_of, parts), nothing])
            found.append(made(f"all {place}", sum_of, [*parts, found[0], more]))
    return found


def made(name, formula, parts):
    names = ("dividend", "divisor") if formula is quotient else [f"part_{place}" for place in range(len(parts))]
    return derive(name, "1", formula, **dict(zip(names, parts, strict=True)))


@pytest.mark.parametrize("seed", range(30))
def test_steps_are_what_the_formulas_say(seed):
    draw = np.random.default_rng(seed)
    start = dict.fromkeys(KEYS, 3.0)
    with np.errstate(all="ignore"):
        tree = Tree(figures(seed, start), ())
        rows = {key: draw.uniform(0.1, 9.0, 4) for key in KEYS[: 1 + seed % 4] if key in tree.live}
        if seed % 3 == 0:
            for values in rows.values():
                values[draw.integers(0, 4)] = draw.choice((np.inf, np.nan, 0.0))

        columns = tree.recomputed({key: Moved(0, values[None]) for key, values in rows.items()})
        found = {number: Moved(factors, column.copy()) for number, (factors, column) in columns}

        alone = [figures(seed, start | {key: float(values[row]) for key, values in rows.items()}) for row in range(4)]
    assert found.keys() == set(range(len(alone[0])))
    for place, (factors, column) in found.items():
        bits = [bit for bit in range(len(FACTORS)) if factors >> bit & 1]
        kept = [0, *(1 + bit for bit in bits), *(1 + len(FACTORS) + bit for bit in bits)]
        expected = np.stack([one[place].column[kept] for one in alone], axis=1)
        assert np.array_equal(np.broadcast_to(column, expected.shape), expected, equal_nan=True), place
