"""--set and --vary: every input and every field of a plan, with values that are no numbers, no ranges, or extreme."""

import random

from estimator.catalog.plan_fields import PlanField, hints, plan_fields
from estimator.scenario import default_scenario
from tests.fuzz import values
from tests.fuzz.answers import command
from tests.fuzz.trial import Trial

SHARE = 170
SERVED, TRAINED = ("serving", "traffic", "serving_goal"), ("training", "training_goal")
MACHINE = ("--model", "7b", "--gpu", "a100")
ASKS = (
    ("compare", *MACHINE, "--format", "json"),
    ("compare", *MACHINE),
    ("estimate", "prompt", *MACHINE, "--format", "json"),
    ("estimate", "rag", *MACHINE, "--format", "json"),
    ("estimate", "finetune", *MACHINE, "--format", "json"),
    ("estimate", "pretrain", *MACHINE, "--format", "json"),
    ("estimate", "finetune+rag", *MACHINE, "--format", "csv"),
    ("compare", "--api", "openai:gpt-4o-mini", "--format", "json"),
    ("recommend", *MACHINE, "--format", "json"),
)
NAMED = (
    ("layout", "serve", *MACHINE, "--set", "tp=1..2..3"),
    ("layout", "serve", *MACHINE, "--set", "tp=nan"),
    ("layout", "finetune", *MACHINE, "--set", "cpu_offload=false"),
    ("sweep", *MACHINE, "--vary", "samples=nan"),
    ("sweep", *MACHINE, "--vary", "samples=inf"),
    ("sweep", *MACHINE, "--vary", "samples=-1e308..1e308:3"),
    ("sweep", *MACHINE, "--vary", "price_per_hour=nan", "--format", "json"),
    ("sweep", *MACHINE, "--vary", "gpus=-1e308..1e308:3"),
)


def draw(rng: random.Random, index: int) -> Trial:
    """An assignment; every 8th of a field of a plan, every 5th a grid, every 25th one known to have failed."""
    if index % 25 == 0:
        words = NAMED[index // 25 % len(NAMED)]
        return command(" ".join(words[-2:] if words[-2] != "--format" else words[-4:-2]), words)
    if index % 8 == 1:
        return _planned(rng)
    if index % 5 == 2:
        name = rng.choice((*default_scenario().names(), "gpus", "price_per_hour", "model"))
        vary = f"{name}={rng.choice(values.SPANS)}"
        return command("--vary", ("sweep", *MACHINE, "--vary", vary, *rng.choice(((), ("--format", "json")))))
    return command("--set", (*rng.choice(ASKS), *_assignments(rng)))


def _assignments(rng: random.Random) -> list[str]:
    """One to six inputs: hostile, or at the ends of what they may be."""
    names = rng.sample(default_scenario().names(), rng.choice((1, 1, 2, 6)))
    return [word for name in names for word in ("--set", f"{name}={_value(rng, name)}")]


def _value(rng: random.Random, name: str) -> str:
    amount = default_scenario().amounts.get(name)
    if amount is None:
        choices = default_scenario().choices[name].choices
        return rng.choice(choices) if choices and rng.random() < 0.5 else values.text(rng)
    ends = (amount.least, amount.most, amount.value)
    if rng.random() < 0.6:
        return f"{rng.choice(ends):.17g}"
    return "..".join(f"{end:.17g}" for end in sorted(ends)) if rng.random() < 0.3 else values.number(rng)


def _planned(rng: random.Random) -> Trial:
    """Fields of a plan, by what any framework calls them, at the ends of what they may be or past any."""
    task = rng.choice(("serve", "finetune", "pretrain"))
    fields = [*plan_fields(*(SERVED if task == "serve" else TRAINED)).values()]
    chosen = rng.sample(fields, rng.choice((1, 1, 2, 4)))
    words = [word for one in chosen for word in ("--set", f"{_called(rng, one)}={_held(rng, one)}")]
    return command(f"layout --set {chosen[0].name}", ("layout", task, *MACHINE, *words))


def _called(rng: random.Random, field: PlanField) -> str:
    others = (*field.aliases, *hints(), values.text(rng))
    return rng.choice(others) if rng.random() < 0.3 else field.name


def _held(rng: random.Random, field: PlanField) -> str:
    if rng.random() < 0.4:
        return values.number(rng)
    if field.kind in ("whole", "number"):
        return f"{rng.choice((field.least, field.most, field.value or 1)):.17g}"
    known = (*field.words, *(field.choices if isinstance(field.choices, tuple) else ()), "true", "false", "all")
    return rng.choice(known) if rng.random() < 0.7 else values.text(rng)
