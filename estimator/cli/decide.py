"""`estimator recommend`: a recommendation, or one of the questions turned round."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from estimator.cli.answers import asked, emit, in_currency, number
from estimator.decide.inverse import Finding
from estimator.decide.recommend import Recommendation
from estimator.decide.recommend import recommend as recommended
from estimator.errors import DoesNotFit, InvalidInput
from estimator.export.explain import estimate_reasons

TURNED = ("fit", "largest", "deadline", "budget", "replicas")


def recommend(options: argparse.Namespace) -> None:
    """Print what was asked for."""
    chosen = [name for name in TURNED if getattr(options, name)]
    if len(chosen) > 1:
        raise InvalidInput(f"ask one question at a time: --{chosen[0]} or --{chosen[1]}")
    if chosen:
        emit(options, _shown(options, ANSWERS[chosen[0]](options, asked(options))))
    else:
        _recommended(options)


def _recommended(options: argparse.Namespace) -> None:
    emit(options, in_currency(options, recommended(**asked(options)), _rendered))


def _rendered(options: argparse.Namespace, found: Recommendation) -> str:
    from estimator.export.decision import recommendation_csv, recommendation_markdown

    if options.format == "json":
        return found.to_json()
    if options.format == "csv":
        return recommendation_csv(found)
    if options.format == "markdown":
        return recommendation_markdown(found)
    best = found.best.estimate if found.best else None
    return f"{found}\n\n{estimate_reasons(best)}" if options.explain and best else str(found)


def _shown(options: argparse.Namespace, found: Finding) -> str:
    from estimator.export.decision import finding_text
    from estimator.export.rows import rows_csv

    if options.format == "json":
        return json.dumps({"schema_version": 1, **found.to_dict()}, indent=2, allow_nan=False)
    if options.format == "csv":
        data = found.to_dict()
        return rows_csv(data["rows"] or [{name: data[name] for name in ("question", "value", "unit", "boundary")}])
    return finding_text(found, "github" if options.format == "markdown" else "simple")


def _machine(given: dict[str, Any], *leave_out: str) -> dict[str, Any]:
    """The arguments of the questions turned round: no API, no scenario file, nothing that was not given."""
    if given["scenario_file"]:
        raise InvalidInput("give inputs with --set here, not with --scenario")
    if given["gpu"] is None and "gpu" not in leave_out:
        raise InvalidInput("name an accelerator (--gpu a100, or 8xa100 for so many)")
    if given["model"] is None and "model" not in leave_out:
        raise InvalidInput("name an LLM (--model 7b)")
    dropped = ("api", "scenario_file", *leave_out)
    return {name: value for name, value in given.items() if name not in dropped}


def _fit(options: argparse.Namespace, given: dict[str, Any]) -> Finding:
    from estimator.decide.inverse import accelerator_sets

    names = tuple(given["gpu"].split(",")) if given["gpu"] else ()
    sets = accelerator_sets(options.fit, gpus=names, **_machine(given, "gpu", "gpus"))
    if not sets:
        raise DoesNotFit(f"no accelerator of the catalogue holds it: {options.fit} of {given['model']}")
    best = sets[0]
    return Finding(
        f"smallest sets for {options.fit} of {given['model']}, cheapest per hour first",
        f"{best.count} x {best.accelerator}",
        best.count,
        "1",
        "each set holds it; one accelerator (or node, or doubling) less does not",
        tuple(one.to_dict() for one in sets),
    )


def _largest(options: argparse.Namespace, given: dict[str, Any]) -> Finding:
    from estimator.decide import inverse

    task, what = options.task, options.largest
    if what == "llm":
        name = inverse.largest_llm(task, **_machine(given, "model", "price"))
        size = inverse.parameters(name)
        return Finding(
            f"largest LLM for {task} on {given['gpu']}", name, size, "1", "no larger one of the catalogue fits"
        )
    machine = _machine(given, "price")
    if what == "context":
        value, unit = inverse.largest_context(task, **machine), "token"
    elif what == "batch":
        value, unit = inverse.largest_batch(task, **machine), "1"
    else:
        value, unit = inverse.most_users(**machine, **_limits(options)), "1"
    where = f"{given['model']} on {given['gpu']}"
    boundary = "fits and keeps to the limits; one more does not" if value else "not even one does"
    return Finding(f"largest {what} for {task} of {where}", f"{value:,}", value, unit, boundary)


def _limits(options: argparse.Namespace) -> dict[str, Any]:
    given = {"ttft_s": number(options.ttft, "--ttft"), "tpot_s": number(options.tpot, "--tpot")}
    return {name: value for name, value in given.items() if value is not None}


def _deadline(options: argparse.Namespace, given: dict[str, Any]) -> Finding:
    from estimator.decide.inverse import accelerators_for_deadline, pretraining_days

    days, machine = number(options.deadline, "--deadline"), _machine(given, "gpus", "price")
    count = accelerators_for_deadline(days or 0.0, **machine)
    took = pretraining_days(count, **machine)
    return Finding(
        f"accelerators that pre-train {given['model']} in {days:g} days",
        f"{count:,} x {given['gpu']}, which take {took:.3g} days",
        count,
        "1",
        "the next smaller cluster takes longer",
    )


def _budget(options: argparse.Namespace, given: dict[str, Any]) -> Finding:
    from estimator.decide import inverse

    usd, careful = number(options.budget, "--budget") or 0.0, options.careful
    machine = _machine(given, "model") if given["model"] is None else _machine(given)
    without = {name: value for name, value in machine.items() if name != "model"}
    questions: dict[str, Callable[[], float]] = {
        "parameters, compute-optimal": lambda: inverse.llm_for_budget(usd, careful=careful, **without)
    }
    if given["model"]:
        questions["tokens to pre-train on"] = lambda: inverse.tokens_for_budget(usd, careful=careful, **machine)
        questions["samples to fine-tune on"] = lambda: inverse.samples_for_budget(usd, careful=careful, **machine)
    rows = [{"what": what, **_bought(ask)} for what, ask in questions.items()]
    first = next((row for row in rows if row["most"] is not None), rows[0])
    return Finding(
        f"what ${usd:,.0f} buys on {given['gpu']}, people and data included",
        f"{first['what']}: {first['most']:.3g}" if first["most"] is not None else str(first["note"]),
        first["most"] or 0.0,
        "1",
        "one step of the third digit more costs more than that",
        tuple(rows),
    )


def _bought(ask: Callable[[], float]) -> dict[str, Any]:
    try:
        return {"most": ask(), "note": ""}
    except DoesNotFit as error:
        return {"most": None, "note": str(error)}


def _replicas(options: argparse.Namespace, given: dict[str, Any]) -> Finding:
    from estimator.decide.inverse import replicas_for_latency

    limits = _limits(options)
    if not limits:
        raise InvalidInput("say what is fast enough: --ttft 0.5, --tpot 0.03 (seconds)")
    count = replicas_for_latency(**_machine(given, "price"), **limits)
    shown = ", ".join(f"{name.removesuffix('_s')} {value:g} s" for name, value in limits.items())
    boundary = "they keep to it in the busy hour; one less does not" if count > 1 else "one is enough"
    return Finding(f"replicas of {given['model']} on {given['gpu']} for {shown}", f"{count:,}", count, "1", boundary)


ANSWERS: dict[str, Callable[[argparse.Namespace, dict[str, Any]], Finding]] = {
    "fit": _fit,
    "largest": _largest,
    "deadline": _deadline,
    "budget": _budget,
    "replicas": _replicas,
}
