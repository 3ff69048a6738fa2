"""From names to answers: what `estimate` and `compare` do. Names become a question, stages answer it.

The stages and their predictors are imported when a question is asked, so that importing `estimate` alone stays cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from estimator.arguments import check, check_shapes
from estimator.catalog import energy
from estimator.catalog.accelerators import cluster as named_cluster
from estimator.catalog.accelerators import cluster_of
from estimator.catalog.facts import facts
from estimator.catalog.models import architecture
from estimator.catalog.precisions import training_precision
from estimator.catalog.prices import api_price
from estimator.errors import DoesNotFit, InvalidInput, UnknownName, clipped
from estimator.pricing import Price, bought_at, usd_per_hour
from estimator.quantities import ONE_AT_A_TIME, Design, Quantity, given, total
from estimator.records import Accelerator, Architecture, Cluster
from estimator.results import Blocked, Comparison, Estimate, ServingAnswer
from estimator.scenario import Scenario, scenario
from estimator.stages import COMBINATIONS, STAGES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from estimator.catalog.samples import Samples
    from estimator.predict.learning import OwnRuns
    from estimator.predict.training import TrainingStep
    from estimator.stages.question import Question
    from estimator.stages.service import Service


def estimate(
    stage: str,
    *,
    model: str | None = None,
    gpu: str | None = None,
    api: str | None = None,
    gpus: int | None = None,
    price: Price | float | None = None,
    scenario_file: str | None = None,
    design: Design | None = None,
    **inputs: Any,
) -> Estimate:
    """What one approach needs and costs.

    stage: prompt, rag, finetune or pretrain; or a combination: prompt+rag, finetune+rag, distil or corpus-in-prompt
    model: a size (7b), a preset (llama-3.1-8b) or a path to a Hugging Face config.json
    gpu: an accelerator (a100), with its count fixed (8xa100) or chosen; api: a hosted LLM (openai:gpt-4o-mini) instead
    price: of one accelerator-hour [USD/h]; or a Price, which owned accelerator or which list prices; else all of these
    inputs: any input of the scenario by name; a number, or (low, value, high) as its 80 % range
    scenario_file: inputs from a TOML file; design: scenarios to compute, such as Design.monte_carlo(1000)
    Raises EstimatorError in one line: UnknownName, InvalidInput, DoesNotFit.

    >>> from estimator import estimate
    >>> answer = estimate("finetune", model="llama-3.1-8b", gpu="8xa100", samples=1000)
    >>> answer.data_samples.value
    1000.0
    """
    check(stage=stage)
    if stage in COMBINATIONS:
        hardware = {"model": model, "gpu": gpu, "api": api, "gpus": gpus, "price": price}
        found: Estimate = import_module("estimator.decide.combine").combine(
            stage, **hardware, scenario_file=scenario_file, design=design, **inputs
        )
        return found
    if stage not in STAGES:
        known = (*STAGES, *COMBINATIONS)
        raise UnknownName("stage", stage, known, f"Stages are {', '.join(known)}.")
    return answered(stage, ask(model, gpu, api, gpus, price, scenario_file, design, inputs))


def compare(
    *,
    model: str | None = None,
    gpu: str | None = None,
    api: str | None = None,
    gpus: int | None = None,
    price: Price | float | None = None,
    scenario_file: str | None = None,
    stages: tuple[str, ...] = STAGES,
    design: Design | None = None,
    **inputs: Any,
) -> Comparison:
    """The approaches side by side; one that cannot run says why, and the others stand. Arguments as for `estimate`.

    >>> from estimator import compare
    >>> [answer.stage for answer in compare(model="7b", gpu="a100").estimates]
    ['prompt', 'rag', 'finetune', 'pretrain']
    """
    from estimator.stages.answer import hardware_text, llm_text

    check(stages=stages)
    question = ask(model, gpu, api, gpus, price, scenario_file, design, inputs)
    if tuple(stages) != ("finetune",):
        check_answers(question)
    answers = tuple(_try(stage, question) for stage in stages)
    return Comparison(
        llm=llm_text(question),
        hardware=hardware_text(question),
        baseline=_baseline_figures(question.bare) if question.bare else {},
        estimates=answers,
        assumptions=question.assumptions(),
        notes=_notes(question),
    )


def ask(
    model: str | None,
    gpu: str | None,
    api: str | None,
    gpus: int | None,
    price: Price | float | None,
    scenario_file: str | None,
    design: Design | None,
    inputs: Mapping[str, Any],
) -> Question:
    """The question in records: names resolved, prices found, the scenario checked."""
    from estimator.stages.question import Question

    named = {"model": model, "gpu": gpu, "api": api, "gpus": gpus, "scenario_file": scenario_file}
    check(tuple(named), **named)
    if design is not None and not isinstance(design, Design):
        raise InvalidInput(f"design must be a Design, such as Design.monte_carlo(1000), not {type(design).__name__}")
    if api is None and (model is None or gpu is None):
        _check_writes(model)
        raise InvalidInput(
            "name an LLM and an accelerator (--model 7b --gpu a100), or a hosted LLM (--api openai:gpt-4o-mini)"
        )
    llm = architecture(str(model)) if model else None  # a path may be one of pathlib
    chosen, design = _suited(scenario(scenario_file, **inputs), llm), design or ONE_AT_A_TIME
    hardware = named_cluster(str(gpu)) if gpu else None
    accelerator, count = _device(hardware, gpus)
    how = price if isinstance(price, Price) else Price(price)
    accelerator, chosen = _linked(accelerator, chosen), _lent(chosen, how)
    data = counted_data(chosen)
    chosen = _long_enough(_of_data(chosen, data) if data else chosen)
    hosted = api_price(api) if api else None
    question = Question(
        scenario=chosen,
        llm=llm,
        accelerator=accelerator,
        count=count,
        per_node=int(chosen.amount("gpus_per_node").value) or ((accelerator.per_node if accelerator else None) or 8),
        api=hosted,
        usd_per_hour=usd_per_hour(accelerator, how, design),
        carbon_g_per_kwh=_carbon(chosen, design),
        pue=_pue(chosen, design),
        machine=hardware if isinstance(hardware, Cluster) else None,
        design=design,
        own_runs=_own_runs(),
        data=data,
    )
    owned = how if how.purchase is not None else bought_at(accelerator, how)
    if accelerator is not None and owned is not None:
        question.own(owned)
    elif accelerator is not None:
        question.usd_per_hour = question.paid(question.usd_per_hour)
    return question


def _own_runs() -> OwnRuns:
    """What the user's own runs say; nothing of it is loaded where there are none."""
    from estimator.catalog.own_runs import stamp
    from estimator.predict.learning import NONE

    if not stamp():
        return NONE
    from estimator.validation.own_runs import learnt

    return learnt()


def counted_data(chosen: Scenario, progress: Callable[[int], None] | None = None) -> Samples | None:
    """The user's training samples, counted; None where none are named. Counted once while the files stay the same."""
    path = chosen.word("data")
    if not path:
        return None
    from estimator.catalog.samples import counted  # rarely asked for

    json, kind, tokenizer = (chosen.word(name) for name in ("tokenizer_json", "text_kind", "tokenizer"))
    return counted(path, json, kind, tokenizer, chosen.word("broken_lines") == "skip", progress)


def _of_data(chosen: Scenario, data: Samples) -> Scenario:
    """The scenario with what was counted, where nothing else was given."""
    found = {"samples": float(data.samples), "tokens_per_sample": data.mean, "length_spread": data.spread}
    amounts = dict(chosen.amounts)
    for name, value in found.items():
        if not amounts[name].given:
            why = f"counted in {chosen.word('data')}"
            amounts[name] = amounts[name]._replace(value=value, low=None, high=None, why=why, given=True)
    return chosen._replace(amounts=amounts)


def _suited(chosen: Scenario, llm: Architecture | None) -> Scenario:
    """The scenario, with the one objective that an encoder can be trained to where none was given."""
    objective = chosen.choices["objective"]
    if llm is None or llm.kind != "encoder" or objective.given:
        return chosen
    word = objective._replace(value="contrastive", why=f"{llm.name} embeds texts: it learns from pairs or triplets")
    return chosen._replace(choices={**chosen.choices, "objective": word})


def _linked(accelerator: Accelerator | None, chosen: Scenario) -> Accelerator | None:
    """The accelerator with the network between machines that was given."""
    gbit_per_s = chosen.amount("network_gbit_per_s").value
    if accelerator is None or not gbit_per_s:
        return accelerator
    return accelerator._replace(network_bytes_per_s=gbit_per_s * 1e9 / 8)


def _lent(chosen: Scenario, price: Price) -> Scenario:
    """The scenario, with interruptions as usual where machines are lent by the hour and may be taken back."""
    given = chosen.amount("interruptions_per_day")
    if given.given or price.commitment not in LENT:
        return chosen
    known = facts("interruptions_per_day")
    found = known.get((price.provider or "").lower(), known["any"])
    why = f"{price.commitment} machines are taken back: {found.context}"
    usual = given._replace(value=found.value, low=found.low, high=found.high, why=why)
    return chosen._replace(amounts={**chosen.amounts, "interruptions_per_day": usual})


LENT = ("spot", "preemptible")


def _long_enough(chosen: Scenario) -> Scenario:
    """The scenario with sequences as long as a sample, where no length was given: a sample is not cut unasked."""
    asked, completion = chosen.amount("finetune_seq_len"), chosen.amount("completion_tokens").value
    sample = chosen.amount("tokens_per_sample").value + completion * (chosen.word("objective") in ("grpo", "ppo"))
    if asked.given or sample <= asked.value:
        return chosen
    longer = asked._replace(value=float(math.ceil(sample)), why="as long as a sample, which is longer than usual")
    return chosen._replace(amounts={**chosen.amounts, "finetune_seq_len": longer})


def check_answers(question: Question) -> None:
    """Refuse to set what makes an embedder beside what answers questions."""
    from estimator.predict.serving import check_writes

    if question.llm is not None:
        check_writes(question.llm)
    if question.scenario.word("objective") == "contrastive":
        raise InvalidInput(
            "objective contrastive trains an embedder, which answers no questions and compares with nothing that does. "
            "Ask for it alone: estimator estimate finetune --set objective=contrastive"
        )


def _check_writes(model: str | None) -> None:
    """That an LLM which answers nothing wants no accelerator to be told so."""
    if model is not None:
        from estimator.predict.serving import check_writes

        check_writes(architecture(str(model)))


def _device(hardware: Cluster | Accelerator | None, gpus: int | None) -> tuple[Accelerator | None, int | None]:
    if gpus is not None and (not 1 <= gpus <= 10_000_000 or gpus % 1):
        raise InvalidInput(f"the number of accelerators must be a whole one between 1 and 10,000,000, not {gpus}")
    gpus = None if gpus is None else int(gpus)  # NumPy's too
    if hardware is None:
        return None, gpus
    if isinstance(hardware, Cluster):
        if gpus is not None and gpus != hardware.count:
            raise InvalidInput(f"{hardware.count} and {gpus} x {hardware.accelerator.name} were asked for: say one")
        return hardware.accelerator, hardware.count
    return hardware, gpus


def _carbon(chosen: Scenario, design: Design) -> Quantity:
    found = energy.carbon_intensity(chosen.word("grid"))
    return _fact_quantity("carbon intensity", found, "carbon intensity", design)


def _pue(chosen: Scenario, design: Design) -> Quantity:
    return _fact_quantity("power usage effectiveness", energy.pue(chosen.word("facility")), "power", design)


def _fact_quantity(name: str, found: Any, factor: str, design: Design) -> Quantity:
    return given(
        name,
        found.value,
        found.unit,
        low=found.low if np.isfinite(found.low) else None,
        high=found.high if np.isfinite(found.high) else None,
        factor=factor,
        design=design,
        basis="published",
        sources=(found.source,),
    )


def answered(stage: str, question: Question) -> Estimate:
    """What a stage answers to a question; the module of a stage is loaded when it is asked."""
    found: Estimate = import_module(f"estimator.stages.{stage}").estimate(question)
    return found


def _try(stage: str, question: Question) -> Estimate | Blocked:
    if stage not in STAGES:
        raise UnknownName("stage", stage, STAGES, f"Stages are {', '.join(STAGES)}.")
    from estimator.stages.answer import approaches

    title = approaches()[stage]["title"]
    try:
        return answered(stage, question)
    except DoesNotFit as error:
        return Blocked(stage, title, str(error))
    except InvalidInput as error:
        if question.api is None or isinstance(error, UnknownName):
            raise
        return Blocked(stage, title, str(error))


def _baseline_figures(service: Service) -> dict[str, Quantity]:
    monthly = [line.usd for line in service.lines]
    return {
        "ttft_s": service.ttft_s,
        "tpot_s": service.tpot_s,
        "requests_per_s": service.requests_per_s,
        "usd_per_request": service.usd_per_request,
        "monthly_usd": total("monthly cost of the bare LLM", "USD/month", monthly),
        "replicas": service.replicas,
    }


def _notes(question: Question) -> tuple[str, ...]:
    notes = []
    if question.api is not None and question.trains_here:
        notes.append(
            f"Fine-tuning and pre-training are of {question.own_llm().name}, trained and served on "
            f"{question.own_accelerator().title}; what they add is against the bare {question.api.name}."
        )
    if question.accelerator and not question.usd_per_hour.known:
        notes.append(
            f"What an hour of {question.accelerator.title} costs is unknown, not zero: {question.usd_per_hour.note}."
        )
    if question.accelerator and question.api is None:
        notes.append(
            "Replicas are the fewest accelerators that hold the LLM, not the cheapest for a request: "
            "`estimator layout serve` searches those."
        )
    if question.accelerator and question.accelerator.basis == "assumed":
        notes.append(f"Figures of {question.accelerator.title} are recalled, not read: ranges may be wider than shown.")
    return tuple(notes)


def training_step(*, model: str, gpu: str, gpus: int | None = None, **plan: object) -> TrainingStep:
    """Time and memory of one training step; `plan` are the fields of `TrainingPlan` (seq_len, micro_batch, tp, ...).

    A layout field given as None is chosen: fits, then fastest. Numeric fields may be arrays of layouts.
    Raises EstimatorError: UnknownName, InvalidInput, DoesNotFit (only when a layout was to be chosen).

    >>> from estimator import training_step
    >>> step = training_step(model="llama-2-7b", gpu="8xa100", seq_len=2048, global_batch=64, zero=3, recompute="full")
    >>> bool(0.3 < step.mfu < 0.8)
    True
    """
    from estimator.predict.checked import checked_plan
    from estimator.predict.training import TrainingPlan, best_layout
    from estimator.predict.training import training_step as predicted
    from estimator.predict.training_plan import check_positions

    check(model=model)
    asked = checked_plan(TrainingPlan, plan)
    check_shapes({name: value for name, value in plan.items() if not isinstance(value, str)})
    if asked.method == "full":
        training_precision(asked.precision)
    llm, cluster = architecture(str(model)), _cluster(gpu, gpus)
    if asked.method != "full":  # an LLM trained whole may be given as many positions as it needs
        check_positions(llm, float(np.max(asked.seq_len)))
    open_fields = any(getattr(asked, name) is None for name in CHOSEN)
    for name in asked.__slots__:
        if open_fields and name not in CHOSEN and np.ndim(getattr(asked, name)):
            raise InvalidInput(f"to choose a layout there must be one {name}: give one, or name the whole layout")
    return predicted(llm, cluster, best_layout(llm, cluster, asked) if open_fields else asked)


def serving(
    *,
    model: str,
    gpu: str,
    prompt_tokens: ArrayLike,
    output_tokens: ArrayLike,
    gpus: int | None = None,
    cached_tokens: ArrayLike = 0.0,
    requests_per_s: ArrayLike | None = None,
    concurrency: ArrayLike | None = None,
    burst: ArrayLike | None = None,
    batch: ArrayLike | None = None,
    replicas: int = 1,
    price: Price | float | None = None,
    **plan: Any,
) -> ServingAnswer:
    """Latency, throughput, memory and money of replicas under load; `plan` are fields of `ServingPlan` and of traffic.

    Load is one of requests_per_s (open loop), concurrency (closed loop), burst (all at once) and batch (static); none
    is one at a time. Replicas share it evenly. tp is all accelerators unless tp, pp or ep is given. Lengths and loads
    may be arrays, each element a load of the answer.
    Raises EstimatorError: UnknownName, InvalidInput, DoesNotFit (also where more come than the replicas can end).

    >>> from estimator import serving
    >>> one = serving(model="llama-3.1-8b", gpu="h100", prompt_tokens=1000, output_tokens=200)
    >>> bool(0.004 < one.tpot_s.value < 0.012)
    True
    """
    from estimator.predict.checked import checked, fields_of
    from estimator.predict.serving import Traffic, check_context
    from estimator.predict.serving_machine import ServingPlan
    from estimator.stages.served import served

    lengths = {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens, "cached_tokens": cached_tokens}
    load: dict[str, object] = {
        "requests_per_s": requests_per_s,
        "concurrency": concurrency,
        "burst": burst,
        "batch": batch,
    }
    check(tuple(load), model=model, **lengths, **load)
    check_shapes(lengths | load)
    if isinstance(replicas, bool) or not isinstance(replicas, int) or not 1 <= replicas <= 1_000_000:
        raise InvalidInput(f"replicas must be a whole number from 1 to 1,000,000, not {clipped(replicas)}")
    cluster, of_plan, of_load = _cluster(gpu, gpus), fields_of(ServingPlan), fields_of(Traffic)
    load = lengths | {name: value for name, value in load.items() if value is not None}
    asked = checked({**of_plan, **of_load}, plan | load)
    layout = {} if {"tp", "pp", "ep"} & set(asked) else {"tp": cluster.count}
    cut = ServingPlan(**layout | {name: value for name, value in asked.items() if name in of_plan})
    traffic = Traffic(**{name: value for name, value in asked.items() if name in of_load})
    llm = architecture(str(model))
    check_context(llm, traffic.prompt_tokens, traffic.written_tokens)
    paid = price if isinstance(price, Price) else Price(price)
    return served(llm, cluster, cut, traffic, usd_per_hour(cluster.accelerator, paid, ONE_AT_A_TIME), replicas)


def _cluster(gpu: str, gpus: int | None) -> Cluster:
    check(("gpus",), gpu=gpu, gpus=gpus)
    device, count = _device(named_cluster(str(gpu)), gpus)
    if device is None:
        raise InvalidInput("name an accelerator, such as a100")
    return cluster_of(device, count or 1)


CHOSEN = ("micro_batch", "tp", "pp", "vpp", "ep", "zero", "recompute")  # axes of a layout, when left open
