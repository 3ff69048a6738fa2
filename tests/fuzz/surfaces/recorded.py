"""Logs of runs, the file of own runs, budgets and bills: whole, spoilt, or with figures that cannot be."""

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

from estimator.catalog.own_runs import columns
from tests.fuzz import values
from tests.fuzz.answers import command
from tests.fuzz.surfaces.run_configs import PIECES, spoilt
from tests.fuzz.trial import HOME, Trial
from tests.recording.test_recording import LOGS, METRICS

SHARE = 90
WHOLE = {name: text for name, (text, *_) in LOGS.items()} | {"metrics": METRICS}
OF_SERVERS = ("vllm bench", "GuideLLM", "AIPerf", "llama-bench", "llama-bench table", "metrics")
TRAINED = ("--model", "8b", "--gpu", "8xh100", "--set", "method=lora", "--set", "seq_len=2k", "--set", "global_batch=8")
SERVED = ("--model", "8b", "--gpu", "1xh100", "--set", "input_len=512", "--set", "output_len=64")
BUDGET = """x_Approach,x_Phase,x_Driver,x_Kind,PricingQuantity,PricingUnit,ListUnitPrice,BillingCurrency,ListCost
RAG,one-off,people's hours,people,44.5,Hours,85,USD,3782.5
RAG,monthly,requests,serving,1.5,Hours,4,USD,6
RAG,monthly,replicas,idle,728.5,Hours,4,USD,2914
"""
BILL = """ChargePeriodStart,BilledCost,BillingCurrency,ServiceName,ServiceCategory,PricingQuantity,PricingUnit,Tags
2026-01-01T00:00:00Z,3460.20,USD,Amazon EC2,Compute,730,Hours,"{""estimator_kind"": ""idle""}"
2026-02-01T00:00:00Z,61.40,USD,Amazon EC2,Compute,12.9,Hours,"{""estimator_kind"": ""serving""}"
2026-02-01T00:00:00Z,9.10,USD,Amazon RDS,Databases,2.1,GB-Months,
"""
RUN = {"family": "lora", "model": "llama-3.1-8b", "seq_len": "2048", "gpu": "h100", "n_gpus": "8"}
FIGURE = re.compile(r"\d[\d.,]*")
OUTPUTS = ((), ("--format", "json"), ("--format", "csv"), ("--format", "markdown"))


def draw(rng: random.Random, index: int) -> Trial:
    """In turn a log, a bill beside its budget, and own runs that a later question learns from; every 10th whole."""
    return (_log, _bill, _own_runs, _log)[index % 4](rng, whole=index // 4 % 10 == 0)


def _log(rng: random.Random, whole: bool) -> Trial:
    name = rng.choice([*WHOLE])
    shown = _put("log", WHOLE[name] if whole else _damaged(rng, WHOLE[name]))
    words = ["record", "log", *(SERVED if name in OF_SERVERS else TRAINED), *rng.choice(OUTPUTS)]
    if not whole and rng.random() < 0.3:
        words += rng.choice((["--compare-only"], ["--accept"], ["--set", f"seq_len={values.number(rng)}"], ["log"]))
    shared = ["--share", "shared.csv"] if rng.random() < 0.3 else []
    return _home(command(f"log, {name}" if not whole else "plain log", [*words, *shared], shown, writes=shared[1:]))


def _bill(rng: random.Random, whole: bool) -> Trial:
    spoils = rng.choice(((True, False), (False, True), (True, True))) if not whole else (False, False)
    names = ("budget.csv", "bill.csv")
    shown = "; ".join(
        _put(name, _damaged(rng, text) if spoil else text)
        for name, text, spoil in zip(names, (BUDGET, BILL), spoils, strict=True)
    )
    words = ["variance", *names, *rng.choice(OUTPUTS)]
    if not whole and rng.random() < 0.4:
        words += rng.choice((["--months", values.number(rng)], ["--map", values.text(rng)], ["--approach", "rag"]))
    book = ["--workbook", "bridge.xlsx"] if rng.random() < 0.3 else []
    return command(
        "budget or bill" if not whole else "plain bill", [*words, *book], shown, 0 if whole else None, book[1:]
    )


def _own_runs(rng: random.Random, whole: bool) -> Trial:
    path = Path(HOME) / "estimator" / "runs" / "training.csv"
    path.parent.mkdir(parents=True)
    shown = _put(str(path), _runs() if whole else _damaged(rng, _runs()))
    _put("log", WHOLE["results"])
    asks = (
        ("estimate", "finetune", "--model", "llama-3.1-8b", "--gpu", "8xh100", "--set", "method=lora"),
        ("record", "log", *TRAINED, "--accept"),
    )
    return _home(command("own runs" if not whole else "plain own runs", rng.choice(asks), shown, 0 if whole else None))


def _runs() -> str:
    """Two runs as they are recorded."""
    header = columns("training")
    told = {**RUN, "source": "own", "source_kind": "own", "metric": "step_time_s"}
    rows = [{**told, "id": f"own-000{number}", "value": f"2.{number}"} for number in (1, 2)]
    return "\n".join([",".join(header), *(",".join(row.get(name, "") for name in header) for row in rows)]) + "\n"


def _damaged(rng: random.Random, text: str) -> str:
    """With up to three figures that are none or extreme, pieces put in, or both."""
    for _ in range(rng.randint(0, 3)):
        if found := [*FIGURE.finditer(text)]:
            place = rng.choice(found)
            text = text[: place.start()] + values.number(rng) + text[place.end() :]
    for _ in range(rng.randint(0, 2)):
        text = spoilt(rng, text, PIECES)
    return text


def _put(name: str, text: str) -> str:
    Path(name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return f"{Path(name).name}: {values.shown(text)}"


def _home(trial: Trial) -> Trial:
    """Own runs are those of the case."""

    def act() -> Iterator[str]:
        os.environ.pop("ESTIMATOR_RUNS", None)
        yield from trial.act()

    return trial._replace(act=act)
