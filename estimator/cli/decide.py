"""`estimator recommend`: a recommendation, or one of the questions turned round."""

import argparse
import math
from collections.abc import Callable
from typing import Any

from estimator.cli.argument_parser import listed
from estimator.cli.options import asked, inputs_of, levelled, number, seconds, show, use_own_facts, whole
from estimator.decide.break_even import BreakEven
from estimator.decide.inverse import Finding
from estimator.decide.recommend import Recommendation
from estimator.decide.recommend import recommend as recommended
from estimator.decide.rules import criteria
from estimator.errors import DoesNotFit, InvalidInput
from estimator.formulas.units import DAY_S
from estimator.pricing import Price
from estimator.quantities import Quantity
from estimator.records import Cluster
from estimator.results import Estimate
from estimator.shown import in_currency
from estimator.text import digits, short

WORK = {"serve": "to serve", "finetune": "to fine-tune", "pretrain": "to pre-train"}
# Options that say more about some questions, and those questions.
BELONGS = {
    "task": ("largest",),
    "users": ("largest",),
    "ttft": ("replicas", "largest"),
    "tpot": ("replicas", "largest"),
    "careful": ("budget",),
}
TURNED = ("fit", "largest", "deadline", "budget", "replicas", "break_even")


def recommend(options: argparse.Namespace) -> None:
    """Print what was asked for; with the reasons behind the figures of what comes first, where they were asked for."""
    if options.explain is not None and options.format != "table":
        raise InvalidInput(f"--explain goes with a table, not with {options.format}")
    found = recommendation(options)
    best = found.best.estimate if isinstance(found, Recommendation) and found.best else None
    if options.explain is None or best is None:
        return show(options, found)
    return show(options, found, in_currency(best, options.currency or "").explain(*listed(options.explain)))


def recommendation(options: argparse.Namespace) -> Recommendation | Finding:
    """The recommendation, or the answer to a question turned round."""
    chosen = [name for name in TURNED if getattr(options, name)]
    if len(chosen) > 1:
        first, second = (name.replace("_", "-") for name in chosen[:2])
        raise InvalidInput(f"ask one question at a time: --{first} or --{second}")
    if chosen and (options.level or options.explain is not None):
        raise InvalidInput("--level and --explain belong to the recommendation, not to a question turned round")
    for name, questions in BELONGS.items():
        if getattr(options, name) and not set(questions) & set(chosen):
            as_criterion = f"; as a criterion: --set {name}_limit_s=0.5" if name == "ttft" else ""
            raise InvalidInput(f"--{name} belongs to --{' and --'.join(questions)}{as_criterion}")
    if options.break_even == "owning":
        return owning(options)
    if chosen:
        return ANSWERS[chosen[0]](options, asked(options))
    return levelled(options, recommended(**asked(options, criteria())))


def machine_of(given: dict[str, object], *leave_out: str) -> dict[str, Any]:
    """The arguments of the questions turned round: no API, no scenario file, nothing that was not given."""
    if given["scenario_file"]:
        raise InvalidInput("give inputs with --set here, not with --scenario")
    if given["api"]:
        raise InvalidInput("this is asked of accelerators, and an API has none to show: leave out --api")
    if given["gpu"] is None and "gpu" not in leave_out:
        raise InvalidInput("name an accelerator (--gpu a100, or 8xa100 for so many)")
    if given["model"] is None and "model" not in leave_out:
        raise InvalidInput("name an LLM (--model 7b)")
    if given["gpus"] and "gpus" in leave_out:
        raise InvalidInput("how many is the answer: leave out --gpus")
    dropped = ("api", "scenario_file", *leave_out)
    return {name: value for name, value in given.items() if name not in dropped}


def _fit(options: argparse.Namespace, given: dict[str, Any]) -> Finding:
    from estimator.decide.inverse import accelerator_sets

    names = tuple(given["gpu"].split(",")) if given["gpu"] else ()
    sets = accelerator_sets(options.fit, gpus=names, **machine_of(given, "gpu", "gpus"))
    if not sets:
        raise DoesNotFit(f"no accelerator of the catalogue holds it: {options.fit} of {given['model']}")
    best = sets[0]
    return Finding(
        f"smallest sets {WORK[options.fit]} {given['model']}{_stored(options.fit, given)}, cheapest per hour first",
        f"{best.count} x {best.accelerator}",
        best.count,
        "1",
        "each set holds it; one accelerator (or node, or doubling) less does not. More of them may cost less for what "
        f"they do: `estimator layout {options.fit}` searches that",
        tuple(one.to_dict() for one in sets),
        verdict=best.verdict,
    )


def _stored(task: str, given: dict[str, Any]) -> str:
    """What the weights that are served are stored in, in words; nothing for training."""
    if task != "serve":
        return ""
    from estimator.catalog.formats import AS_PUBLISHED, shown
    from estimator.catalog.models import architecture

    return f" in {shown(architecture(given['model']), given.get('weight_precision', AS_PUBLISHED))}"


def _largest(options: argparse.Namespace, given: dict[str, object]) -> Finding:
    from estimator.decide import inverse

    task, what = options.task or "serve", options.largest
    if what == "llm":
        found = inverse.largest_llm_in_usual_formats(task, **machine_of(given, "model", "price"))
        stored = f" in {found.stored}" if task == "serve" else ""
        return Finding(
            f"largest LLM {WORK[task]} on {given['gpu']}",
            f"{found.name}{stored}",
            inverse.parameters(found.name),
            "1",
            "no larger one of the catalogue fits, as published or in the usual formats (fp8, awq)"
            if task == "serve"
            else "no larger one of the catalogue fits",
        )
    if what == "users" and task != "serve":
        raise InvalidInput(f"users are served: leave out --task {task}")
    machine = machine_of(given, "price")
    users = whole(options.users, "--users")
    if users is not None and (users < 1 or (what, task) != ("context", "serve")):
        raise InvalidInput("--users is how many are served at once, 1 or more, and belongs to --largest context")
    ask: dict[str, Callable[[], int]] = {
        "context": lambda: inverse.largest_context(task, users=users or 1, **machine),
        "batch": lambda: inverse.largest_batch(task, **machine),
        "users": lambda: inverse.most_users(**machine, **_limits(options)),
    }
    value, counted = ask[what](), COUNTED[what, task == "serve"]
    boundary = "it fits and keeps to the limits; one more does not" if value else "not even one does"
    if not value and task == "serve" and (users or 1) == 1:
        boundary = f"{boundary}: {inverse.why_no_user(**machine, **_limits(options))}"
    where = f"{WORK[task]} {given['model']}{_stored(task, given)} on {given['gpu']}"
    unit = "token" if what == "context" else "1"
    return Finding(f"largest {what} {where}", f"{value:,} {counted}", value, unit, boundary)


COUNTED = {  # by what is asked and whether it is to serve
    ("context", True): "tokens, prompt and answer together, no more than the LLM's own",
    ("context", False): "tokens a sequence, in steps of 128, no more than the LLM's own",
    ("batch", True): "requests of the scenario's length at once",
    ("batch", False): "sequences in the micro-batch of one data-parallel rank",
    ("users", True): "who wait for an answer at the same time",
}


def _limits(options: argparse.Namespace) -> dict[str, Any]:
    given = {"ttft_s": number(options.ttft, "--ttft"), "tpot_s": number(options.tpot, "--tpot")}
    return {name: value for name, value in given.items() if value is not None}


def _deadline(options: argparse.Namespace, given: dict[str, object]) -> Finding:
    from estimator.decide.inverse import accelerators_for_deadline, pretraining_days

    days = seconds(options.deadline, "--deadline", "d") / DAY_S
    machine = machine_of(given, "gpus", "price")
    count = accelerators_for_deadline(days, **machine)
    took = pretraining_days(count, **machine)
    return Finding(
        f"accelerators that pre-train {given['model']} in {days:.4g} days",
        f"{count:,} x {given['gpu']}, which take {took:.3g} days",
        count,
        "1",
        "the next smaller cluster takes longer",
    )


def _budget(options: argparse.Namespace, given: dict[str, Any]) -> Finding:
    """What it buys of each; behind an API, which trains no LLM from nothing, samples alone."""
    from estimator.decide import inverse

    usd, hosted = number(options.budget, "--budget") or 0.0, given["api"] is not None and given["gpu"] is None
    spent = {"usd": usd, "careful": options.careful}
    machine = given if hosted else machine_of(given, *([] if given["model"] else ["model"]))
    without = {name: value for name, value in machine.items() if name != "model"}
    questions: dict[str, Callable[[], float]] = {}
    if not hosted:
        questions["parameters, compute-optimal"] = lambda: inverse.llm_for_budget(**spent, **without)
    if given["model"] and not hosted:
        questions["tokens to pre-train on"] = lambda: inverse.tokens_for_budget(**spent, **machine)
    if given["model"] or hosted:
        questions["samples to fine-tune on"] = lambda: inverse.samples_for_budget(**spent, **machine)
    rows = [{"what": what, **_bought(ask)} for what, ask in questions.items()]
    bought = [row for row in rows if row["most"] is not None]
    return Finding(
        f"what ${usd:,.0f} buys on {given['api'] if hosted else given['gpu']}, people and data included",
        "; or ".join(f"{short(row['most'])} {row['what']}" for row in bought) or "none of these",
        bought[0]["most"] if bought else None,
        "1",
        "each costs no more than that until it is in use; a step of the third digit more does, or cannot be done"
        if bought
        else "the notes say why",
        tuple(rows),
        absent="none",
    )


def _bought(ask: Callable[[], float]) -> dict[str, Any]:
    try:
        return {"most": ask(), "note": ""}
    except DoesNotFit as error:
        return {"most": None, "note": str(error)}


def _replicas(options: argparse.Namespace, given: dict[str, object]) -> Finding:
    from estimator.decide.inverse import replicas_for_latency

    limits = _limits(options)
    if not limits:
        raise InvalidInput("say what is fast enough: --ttft 0.5, --tpot 0.03 (seconds)")
    count = replicas_for_latency(**machine_of(given, "price"), **limits)
    shown = ", ".join(f"{name.removesuffix('_s')} {value:g} s" for name, value in limits.items())
    boundary = (
        f"{'they keep to it in the busy hour; one less does not' if count > 1 else 'one is enough'}. Each is "
        f"{given['gpus'] or 'the fewest accelerators that hold the LLM'}, not the cheapest: `estimator layout serve` "
        "searches that"
    )
    return Finding(f"replicas of {given['model']} on {given['gpu']} for {shown}", f"{count:,}", count, "1", boundary)


def owning(options: argparse.Namespace) -> Finding:
    """Hours of use after which bought accelerators have cost less than rented ones, and what share of their years."""
    from estimator.catalog.accelerators import cluster
    from estimator.decide.break_even import owning as repaid

    purchase = number(options.purchase_price, "--purchase-price")
    if purchase is None or options.gpu is None:
        raise InvalidInput(
            "owning against renting needs --gpu and --purchase-price (rent: --price-per-hour, or as listed)"
        )
    use_own_facts(options)
    named = cluster(options.gpu)
    device, count = (named.accelerator, named.count) if isinstance(named, Cluster) else (named, 1)
    rent = Price(
        number(options.price_per_hour, "--price-per-hour"),
        provider=options.provider,
        region=options.region,
        commitment=options.commitment,
    )
    owned = {name: number(getattr(options, name), f"--{name}") for name in ("years", "electricity")}
    found = repaid(device, purchase, rent, **owned, **inputs_of(options))
    in_time = found.share.known and found.share.value <= 1
    figures = {"hours of use that repay owning [h]": found.hours, "share of its years in use [1]": found.share}
    parts = {f"{what} [{figure.unit}]": figure for what, figure in found.parts.items()}
    many = "one" if count == 1 else f"each of {count}"
    return Finding(
        f"owning {many} {device.title} for ${purchase:,.0f} against renting it"
        + (f" ({count} together: ${count * purchase:,.0f})" if count > 1 else ""),
        _repaid(found.hours, found.share),
        found.hours.value if in_time else None,
        "h",
        "more use than that and owning costs less; less use and renting does" if in_time else "renting costs less",
        (*({"what": what, **_spread(figure)} for what, figure in figures.items()), *map(_part, parts.items())),
        absent="never",
    )


def _part(named: tuple[str, Quantity]) -> dict[str, object]:
    """What owning costs for one thing; what it is sold for counts against the rest."""
    what, figure = named
    low, high = figure.interval()
    return {"what": what, "value": figure.value, "low": low, "high": high}


def _repaid(hours: Quantity, share: Quantity) -> str:
    """When owning is repaid; or that it is not within the years it is written off over, or never."""
    if not hours.known:
        return "never repaid: an hour of use saves nothing against renting"
    lasts = share.inputs["years"].value
    years = f"{lasts:g} year{'' if lasts == 1 else 's'}"
    if share.value > 1:
        return f"not repaid in time: it takes {hours.value:,.0f} hours of use, {share.value:.3g} times its {years}"
    late = "; not in time at the upper end of the range" if share.high > 1 else ""
    return f"repaid after {hours.value:,.0f} hours of use, {_percent(share)} of its {years}{late}"


def _percent(share: Quantity) -> str:
    return f"{digits(100 * share.value)} %"


def _spread(figure: Quantity) -> dict[str, object]:
    """A figure and the ends of its range; nothing where it is unknown or never reached."""
    if not figure.known:
        return {"value": None, "low": None, "high": None}
    low, high = figure.interval()
    return {"value": figure.value, "low": max(low, 0.0), "high": high if math.isfinite(high) else None}


def _break_even(options: argparse.Namespace, given: dict[str, object]) -> Finding:
    return (_by_volume if options.break_even == "volume" else _against_api)(given)


def _by_volume(given: dict[str, Any]) -> Finding:
    """From which volume which approach is cheaper, of every two that can be done."""
    from estimator.api import compare
    from estimator.decide.break_even import pairs

    answers = [one for one in compare(**given).estimates if isinstance(one, Estimate) and one.total_usd.known]
    if len(answers) < 2:
        raise InvalidInput("fewer than two costs are known: give --price-per-hour")
    found = pairs(answers)
    rows = tuple({"cheaper": one.b, "than": one.a, **_volumes(one, "from", "from low", "from high")} for one in found)
    sound = [one for one in found if one.exists and one.cheaper_from.value > 1]
    return Finding(
        "from how many requests of the first month one approach costs less than another over the horizon",
        "; ".join(str(one).rstrip(".") for one in sound) or "none: of every two the same is cheaper at any volume",
        sound[0].cheaper_from.value if sound else None,
        "1/month",
        "at a crossing both cost the same; from 1 is at any volume",
        rows,
        absent="never",
    )


def _volumes(found: BreakEven, *names: str) -> dict[str, object]:
    """From which volume on, low and high end, under three names; and where the two cost the same."""
    data = found.to_dict()["cheaper_from"] or {}
    crossed = ", ".join(f"{volume:,.0f}" for volume in found.crossings[:4])
    more = ", ..." if len(found.crossings) > 4 else ""
    ends = zip(names, ("value", "low", "high"), strict=True)
    return {name: data.get(key) for name, key in ends} | {"crossings": crossed + more}


def _against_api(given: dict[str, Any]) -> Finding:
    """At which use of a replica, and from which volume, own accelerators cost less than an API."""
    from estimator.api import estimate
    from estimator.decide.break_even import break_even, most_used

    if not (given["api"] and given["gpu"] and given["model"]):
        raise InvalidInput("own accelerators against an API needs --api, and --model and --gpu for the own ones")
    hosted, own = estimate("prompt", **given), estimate("prompt", **{**given, "api": None})
    used, most, found = hosted.details["break_even_utilisation"], most_used(own), break_even(hosted, own)
    rows = (
        {"what": "use of a replica's capacity from which it pays [1]", **_spread(used), "crossings": ""},
        {"what": "use of what is paid, with this peak and headroom [1]", **_spread(most), "crossings": ""},
        {"what": "requests of the first month [1/month]", **_volumes(found, "value", "low", "high")},
    )
    said = "own accelerators never cost less, not even fully used"
    if used.value <= 1:
        reached = f"this traffic reaches {_percent(most)} at most"
        said = f"own accelerators cost less above {_percent(used)} use of a replica, and {reached}"
    doubt = " by the expected figures, but perhaps within their ranges" if used.low < most.value else ""
    volume = _from(found) if found.exists else f"at no volume{doubt}"
    return Finding(
        f"{own.llm} on {own.hardware} against {hosted.llm}, with the prompt of prompt engineering",
        f"{said}; whole replicas, people and all: {volume}",
        used.value if used.value <= 1 else None,
        "1",
        "at that use an hour of accelerators costs what the API asks for the requests it answers",
        rows,
        absent="never",
    )


def _from(found: BreakEven) -> str:
    if found.cheaper_from.value <= 1:
        return "at any volume"
    first = next((volume for volume in found.crossings if volume < found.cheaper_from.value), None)
    now_and_then = f" (just before further replicas, from {short(first)} on)" if first else ""
    return f"for good from {short(found.cheaper_from.value)} requests a month{now_and_then}"


ANSWERS: dict[str, Callable[[argparse.Namespace, dict[str, Any]], Finding]] = {
    "fit": _fit,
    "largest": _largest,
    "deadline": _deadline,
    "budget": _budget,
    "replicas": _replicas,
    "break_even": _break_even,
}
