"""What runs really took: from logs that tools write anyway into the user's own case file, in its columns.

A recorded run is predicted from its configuration, kept beside what was measured, and corrects later predictions
(estimator/predict/learning.py). Nothing leaves the machine.
"""

import csv
import datetime
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from estimator.arguments import check
from estimator.catalog.accelerators import cluster
from estimator.catalog.cases import Case, CaseKind, read_cases
from estimator.catalog.cases import kind as case_kind
from estimator.catalog.own_runs import KINDS, add_runs, columns, own_runs, own_runs_path
from estimator.catalog.plan_fields import field_named, plain, plan_fields
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.files import read_text, shown
from estimator.numerals import numeral
from estimator.predict.checked import checked_value
from estimator.recording import server_logs, training_logs
from estimator.recording.foreign import foreign, refuse_bills, tensorboard
from estimator.recording.found import Found, Log
from estimator.records import Cluster
from estimator.shown import SCHEMA_VERSION, Shown
from estimator.validation import inference, training
from estimator.validation.metrics import as_asked, known_row
from estimator.validation.report import CasePrediction, with_measurement

# Off the prediction, and off it outside its range: beyond, a unit or a field is likelier wrong than the prediction.
FARTHEST, FAR = math.log(9.0), math.log(3.0)
THOUSAND, NEARLY = (300.0, 3000.0), 0.5  # times off, and in ln: what a wrong unit or count of accelerators explains
READERS = (*training_logs.READERS, *server_logs.READERS, tensorboard)
KNOWN = (
    "trainer_state.json, all_results.json and printed results of Hugging Face trainers, LLaMA-Factory's "
    "trainer_log.jsonl, logs of torchtitan and Megatron, W&B summaries, TensorBoard's event files, nvidia-smi and "
    "CodeCarbon CSV, JSON of vllm bench serve, GuideLLM and AIPerf, llama-bench, and a scrape of /metrics of vLLM, "
    "SGLang or TGI"
)
# Columns of a case whose plan field has another name.
COLUMN = {"global_batch": "global_batch_seqs", "concurrency": "batch_or_concurrency", "prompt_tokens": "input_len",
    "output_tokens": "output_len", "cached_tokens": "prefix_len"}  # fmt: skip
FAMILIES = ("pretrain", "full_ft", "lora", "qlora", "total_run")
MEASURED = ("id", "source", "metric", "value")  # which logs alone say
FAMILY = {"full": "full_ft"}  # of a method that is called otherwise


@dataclass(frozen=True, slots=True)
class Recorded(Shown):
    """Runs that were recorded, each beside its prediction without it.

    where: the file that keeps them, if any does; cases: their configurations, all of one kind
    """

    runs: tuple[CasePrediction, ...]
    logs: tuple[str, ...]
    where: str
    kind: CaseKind
    cases: tuple[Case, ...]

    def to_dict(self) -> dict[str, Any]:
        """The content of `to_json`."""
        return {"schema_version": SCHEMA_VERSION, "kept_in": self.where or None, "runs": self.rows()}

    def rows(self) -> list[dict[str, object]]:
        """One row a figure."""
        return [
            {
                "log": log,
                "metric": one.metric,
                "unit": one.unit,
                "measured": one.measured,
                "predicted": one.predicted,
                "low": one.low,
                "high": one.high,
                "inside": one.low is not None and one.low <= (one.measured or 0.0) <= (one.high or 0.0),
            }
            for log, one in zip(self.logs, self.runs, strict=True)
        ]


def record_run(
    kind: CaseKind,
    fields: Mapping[str, object],
    measured: Mapping[str, float],
    *,
    keep: bool = True,
    accept: bool = False,
) -> Recorded:
    """The same of a run that no log tells of: its fields, and metrics with their values."""
    told = dict(fields)
    told |= hardware(_word(told.pop("gpu", None)), cast("int | None", told.pop("gpus", None)))
    return recorded_run(Found("a callback", kind, {}, tuple(measured.items())), told, keep=keep, accept=accept)


def recorded_run(run: Found, told: Mapping[str, object], *, keep: bool, accept: bool) -> Recorded:
    """One run that was found, with what is told beside it."""
    return _recorded([(run, case) for case in _cases(run, [run], told)], keep, accept)


def _word(value: object) -> str | None:
    return None if value is None else str(value)


def record(
    files: Iterable[str | Path] | str | Path,
    *,
    model: str | None = None,
    gpu: str | None = None,
    gpus: int | None = None,
    keep: bool = True,
    accept: bool = False,
    **fields: object,
) -> Recorded:
    """Read logs of one run, predict it, keep both in the user's own case file.

    fields: what the logs do not say: any field of a plan (micro_batch=2, method="lora"), or column of a case
    keep: False only compares; accept: keep a run that is too far off its prediction
    Raises InvalidInput for a log that nobody knows, a run that cannot be predicted, or one that is too far off.
    """
    paths = [files] if isinstance(files, str | Path) else list(files)
    found = [one for path in paths for one in read_log(path)]
    return record_found(found, model=model, gpu=gpu, gpus=gpus, keep=keep, accept=accept, **fields)


def record_found(found: Sequence[Found], *, keep: bool = True, accept: bool = False, **told: object) -> Recorded:
    """The same of logs that were read."""
    named = {name: told.pop(name, None) for name in ("model", "gpu", "gpus")}
    check(tuple(named), **named)
    if len({one.kind for one in found}) > 1:
        raise InvalidInput("these are logs of training and of a server: record each run by itself")
    machine = hardware(_word(named["gpu"]), cast("int | None", named["gpus"]))
    told = {"model": named["model"], **machine, **told}
    return _recorded([(one, case) for one in found for case in _cases(one, found, told)], keep, accept)


def record_cases(path: str | Path, *, accept: bool = False) -> Recorded:
    """Own runs from a case file, such as a colleague's: predicted, and kept if none is too far off; none twice.

    Raises InvalidInput for a file that is none, a run that cannot be predicted, and one that is too far off.
    """
    rows = read_cases(path)
    kind = case_kind(rows[0]) if rows else "training"
    known = columns(kind) if kind in KINDS else ()
    for row in rows:
        if not known or (unknown := next((name for name in row if name not in known), None)):
            what = f"a column {unknown!r}" if known else "runs of stores, which nothing is learnt from"
            raise InvalidInput(f"{shown(path)} has {what}: own runs have the columns of the published ones")
    before = [_same_as(row) for row in own_runs(kind)] if rows else []
    fresh = [row for row in rows if _same_as(row) not in before]
    if not fresh:
        raise InvalidInput(f"{shown(path)} holds no run that is not recorded already")
    return _recorded([(Found(row["id"], kind, {}, ()), row) for row in fresh], keep=True, accept=accept)


def _same_as(row: Case) -> Case:
    """What tells a run from others: all but its name, and whose it is."""
    return {name: text for name, text in row.items() if text and name not in ("id", "source", "source_kind")}


def _recorded(cases: Sequence[tuple[Found, Case]], keep: bool, accept: bool) -> Recorded:
    predictions = [_prediction(one.kind, case) for one, case in cases]
    kept = tuple(case for _, case in cases)
    if not accept:
        _check_near(predictions, kept)
    kind = cases[0][0].kind
    if keep:
        add_runs(kind, kept)
    where = str(own_runs_path(kind)) if keep else ""
    return Recorded(tuple(predictions), tuple(one.what for one, _ in cases), where, kind, kept)


def hardware(gpu: str | None, gpus: int | None) -> dict[str, object]:
    """Accelerator and how many, of `8xh100` too."""
    if gpu is None:
        return {"n_gpus": gpus}
    found = cluster(gpu)
    return (
        {"gpu": found.accelerator.name, "n_gpus": found.count}
        if isinstance(found, Cluster)
        else {"gpu": found.name, "n_gpus": gpus}
    )


def read_log(path: str | Path) -> Sequence[Found]:
    """The runs of a log. Raises InvalidInput where no reader knows it."""
    log, wrong = _log(path), ""
    for reader in READERS:
        try:
            if found := [one for one in reader(log) if one.measured]:
                return found
        except (ValueError, ArithmeticError, csv.Error) as error:  # figures that are none; another reader may know it
            wrong = wrong or f" ({clipped(str(error), 80)})"
    refuse_bills(log)
    raise InvalidInput(
        f"{shown(path)} is no log that is known{wrong}, or one of a run that did not end. Known are {KNOWN}."
    )


def _log(path: str | Path) -> Log:
    if (said := foreign(Path(path))) is not None:
        return said
    text = read_text(path, "log")
    if text.lstrip()[:1] not in ("{", "["):
        return Log(str(path), text)
    try:
        return Log(str(path), text, json.loads(text))
    except (ValueError, RecursionError):
        return Log(str(path), text)


def _cases(one: Found, every: Sequence[Found], told: Mapping[str, object]) -> list[Case]:
    """A case for each figure of a run; what one log of it says of its configuration holds for all."""
    known = {name: value for found in every if found.kind == one.kind for name, value in found.columns.items() if value}
    given = {name: value for name, value in _columns(one.kind, told).items() if value not in (None, "")}
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    base = {**known, **one.columns, **given, "notes": f"{one.what}, recorded {day}"}
    full = base | ({"family": _family(base)} if one.kind == "training" and "family" not in base else {})
    named = {name: "" if value is None else str(value) for name, value in full.items()}
    return [named | {"metric": metric, "value": f"{value:.6g}"} for metric, value in one.measured]


def _family(base: Mapping[str, object]) -> str:
    return "lora" if base.get("lora_rank") else "full_ft"


def _columns(kind: CaseKind, told: Mapping[str, object]) -> dict[str, object]:
    """Columns of a case from fields of a plan under any of their names."""
    known = columns(kind)
    fields = plan_fields(*(("training",) if kind == "training" else ("serving", "traffic")))
    found: dict[str, object] = {}
    for called, value in told.items():
        name = field_named(called, fields) or called
        if name in fields and value is not None:
            value = checked_value(fields[name], value)
        column = COLUMN.get(plain(name), plain(name))
        if name == "method":
            column, value = "family", FAMILY.get(str(value), value)
        elif name == "zero" and "sharding" in known:
            column, value = "sharding", f"zero{value}"
        if column == "family" and value not in FAMILIES:
            raise UnknownName("family", str(value), FAMILIES, f"Families are {', '.join(FAMILIES)}.")
        if column not in known or column in MEASURED:
            raise UnknownName(
                "field of a run", called, [*fields, *known], "Give a field of a plan or a column of a case."
            )
        found[column] = value
    return found


def _prediction(kind: CaseKind, case: Case) -> CasePrediction:
    """The prediction of a case from its configuration alone, beside what was measured."""
    predict = training.predict_cases if kind == "training" else inference.predict_cases
    (found,) = predict([known_row(kind, {name: text for name, text in case.items() if name not in ("value", "notes")})])
    if found.predicted is None:
        raise InvalidInput(f"this run cannot be predicted: {found.reason}")
    return with_measurement(as_asked(kind, case["metric"], replace(found, source="own")), case["value"])


def _check_near(predictions: Sequence[CasePrediction], cases: Sequence[Case]) -> None:
    for one, case in zip(predictions, cases, strict=True):
        if one.predicted and one.measured and _is_far(one):
            ratio = max(one.measured / one.predicted, one.predicted / one.measured)
            assumed = f" ({clipped(one.reason)})" if one.reason else ""
            raise InvalidInput(
                f"{one.metric} of {one.measured:.4g} {one.unit} is {ratio:.0f} times off the {one.predicted:.4g} "
                f"{one.unit} predicted{assumed}: {_likely(ratio, case)}? Give what is missing with --set, or --accept "
                "to record it all the same."
            )


def _is_far(one: CasePrediction) -> bool:
    off = abs(math.log((one.measured or 1.0) / (one.predicted or 1.0)))
    inside = one.low is not None and one.low <= (one.measured or 0.0) <= (one.high or 0.0)
    return off > FARTHEST or (off > FAR and not inside)


def _likely(ratio: float, case: Case) -> str:
    """What is asked first of a run that is so many times off."""
    count = numeral(case.get("n_gpus", "")) or 1.0
    if THOUSAND[0] < ratio < THOUSAND[1]:
        return "are seconds and milliseconds, or thousands, mixed up"
    if count > 1 and abs(math.log(ratio / count)) < NEARLY:
        return f"is it of one accelerator, and not of all {count:.0f}"
    return "is the unit right"
