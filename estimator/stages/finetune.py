"""Fine-tuning: full, LoRA or QLoRA; from samples, preferences or rewards; served merged, unmerged or apart."""

from collections.abc import Mapping
from typing import Any

from estimator.catalog.facts import fact
from estimator.catalog.frameworks import named_framework
from estimator.catalog.precisions import training_precision
from estimator.catalog.prices import ApiPrice, fine_tuning_price
from estimator.errors import InvalidInput, UnknownName
from estimator.formulas import Floats, alignment, effort, money
from estimator.formulas.arithmetic import product, quotient, sum_of
from estimator.formulas.training import LINEARS, unknown_targets
from estimator.formulas.transformer import attention_flop, matmul_params, request_flop
from estimator.predict.training import TrainingPlan
from estimator.predict.training_plan import beyond_positions, check_positions, unrecomputed
from estimator.quantities import Quantity, derive, given, predicted, total
from estimator.records import Architecture
from estimator.results import Estimate, Line
from estimator.stages.answer import Findings, Overhead, answer, bare, calendar, served_here
from estimator.stages.budget import evaluation_runs, monthly, one_off, people, upkeep
from estimator.stages.duration import Rows, duration, start_s
from estimator.stages.hosted import behind_api, tuned_price
from estimator.stages.question import Question
from estimator.stages.service import Service, after_training, embedded, more_to_serve, on_own
from estimator.stages.training import ALONE, Copies, Training, set_up
from estimator.text import human

PAIRS = ("dpo", "reward")  # objectives that learn from a chosen and a rejected answer
READS = "A reward model reads answers and writes none; served, it is counted as if it wrote them: the most it can cost."
EMBEDS = (
    "Served, it embeds the question of each request, and its time to first token is that of one text. The LLM that "
    "answers is not counted: estimator estimate rag counts both."
)


def estimate(question: Question) -> Estimate:
    """What a fine-tuned LLM needs and costs."""
    _check_objective(question)
    tokens = _training_tokens(question)
    return _own(question, tokens) if question.trains_here else _managed(question, tokens)


def _contrastive(question: Question) -> bool:
    """Whether an embedder is trained, on pairs or triplets."""
    return question.word("objective") == "contrastive"


def _check_objective(question: Question) -> None:
    objective, llm = question.word("objective"), question.llm
    if llm is not None and llm.kind == "encoder" and objective != "contrastive":
        raise InvalidInput(
            f"{llm.name} embeds texts and writes none: {objective} needs an LLM that writes. "
            "Embedders are fine-tuned on pairs or triplets: objective=contrastive."
        )
    if objective == "contrastive" and not question.trains_here:
        raise InvalidInput(
            "no price is known of fine-tuning embeddings behind an API: name a model and accelerators "
            "(--model bge-m3 --gpu a100)"
        )


def copies(question: Question) -> Copies:
    """Models the objective holds beside each other; adapters share their frozen base with the reference."""
    objective, method = question.word("objective"), question.word("method")
    if objective in ("sft", "reward", "contrastive") or (objective == "dpo" and method != "full"):
        return ALONE
    trained, frozen = (question.fact(f"{objective}/{kind}_copies") for kind in ("trained", "frozen"))
    return Copies(trained.value, frozen.value)


def _warned(question: Question, training: Training) -> tuple[str, ...]:
    longest = max(float(tokens) for _, tokens in training.plan.sequences)
    noted = (*training.warnings(), *_accumulated(training), *_too_long(question), *[READS] * training.plan.reward_model)
    noted = (*noted, *[EMBEDS] * training.plan.contrastive)
    return (*noted, *beyond_positions(question.own_llm(), longest), *unrecomputed(question.own_llm(), training.plan))


def _accumulated(training: Training) -> tuple[str, ...]:
    """That fewer negatives are seen than the batch holds, where it is passed in parts."""
    plan, seen = training.plan, training.together
    if not plan.contrastive or seen >= plan.global_batch:
        return ()
    return (
        f"Gradients are accumulated: each query sees the passages of {seen:,.0f} samples, not of all "
        f"{plan.global_batch:,.0f}. Caching embeddings (GradCache) sees them all and takes another forward pass.",
    )


def training_plan(question: Question) -> TrainingPlan:
    """The plan the scenario describes, its layout still open."""
    lengths = _lengths(question)
    if question.llm:
        check_positions(question.llm, max(lengths["seq_len"], lengths.get("query_len", 0.0)))
    return TrainingPlan(
        **lengths,
        reward_model=question.word("objective") == "reward",
        **_layout_given(question),
        global_batch=question.number("finetune_batch"),
        tp=None,
        pp=None,
        precision=training_precision(question.word("finetune_precision")),
        method=question.word("method"),
        lora_rank=question.number("lora_rank"),
        optimizer=question.word("optimizer"),
        framework=named_framework(question.word("finetune_framework")),
    )


def _layout_given(question: Question) -> dict[str, Any]:
    """What the user says of the layout; None is left to be chosen."""
    zero, recompute = question.number("finetune_zero"), question.word("finetune_recompute")
    targets, stored = question.word("finetune_lora_targets"), question.word("base_precision")
    if unknown := unknown_targets(targets):
        raise UnknownName("adapter target", unknown[0], LINEARS, f"Targets are all, {', '.join(LINEARS)}.")
    return {
        "micro_batch": int(question.number("finetune_micro_batch")) or None,
        "zero": None if zero < 0 else int(zero),
        "recompute": None if recompute == "by layout" else recompute,
        "lora_targets": targets,
        "cpu_offload": "" if question.word("finetune_offload") == "none" else question.word("finetune_offload"),
        "weight_precision": None if stored == "by method" else training_precision(stored),
    }


def _lengths(question: Question) -> dict[str, Any]:
    """Of packed sequences, or of what a sample of an embedder's holds, by the names of the plan."""
    if not _contrastive(question):
        return {"seq_len": _seq_len(question)}
    names = {"seq_len": "chunk_tokens", "query_len": "prompt_tokens", "passages_per_query": "passages_per_query"}
    return {field: question.number(name) for field, name in names.items()}


def _seq_len(question: Question) -> float:
    """Tokens of a sequence: as given, else as usual or of a sample, whichever is longer, which is then noted."""
    asked, sample = question.number("finetune_seq_len"), question.amount("tokens_per_sample")
    if question.word("objective") in ("grpo", "ppo"):
        sample = _with_completion(question)
    if not question.scenario.amount("finetune_seq_len").given and not question.within(sample, asked - 1):
        question.chosen(sample)
    return asked


def _too_long(question: Question) -> tuple[str, ...]:
    """That samples are longer than sequences, where a length was given."""
    most = question.number("finetune_seq_len")
    if _contrastive(question) or question.within(question.amount("tokens_per_sample"), most):
        return ()
    each = question.number("tokens_per_sample")
    return (f"A sample of {each:,.0f} tokens is cut at {most:,.0f} (finetune_seq_len).",)


def _own(question: Question, tokens: Quantity) -> Estimate:
    training = set_up(question, training_plan(question), question.count, copies(question))
    taken = duration(question, training, _rows(question))
    generation_s = _generation(question)
    count = training.accelerators
    learning_s = derive("training on accelerators", "s", product, run=taken.busy_s, accelerators=count)
    once = derive("one run on accelerators", "s", sum_of, training=learning_s, generation=generation_s)
    all_s = derive("all attempts on accelerators", "s", product, once=once, attempts=question.amount("attempts"))
    start = start_s(question)
    starting = derive("start of one run", "s", product, start=start, accelerators=count)
    started = derive("start of all attempts", "s", product, once=starting, attempts=question.amount("attempts"))
    again = derive("one run with its start", "s", sum_of, run=once, start=starting)
    paid_s = derive("one run of all", "s", quotient, dividend=again, divisor=count)
    wall = derive("training time", "s", sum_of, paid=paid_s, waiting=taken.waiting)
    price, waiting = question.hour_usd("training"), question.hour_usd("idle")
    paid: dict[str, Any] = {"driver": "attempts", "formula": money.machine_usd}
    lines = [
        one_off("training", "training accelerators", quantity=all_s, activity="training", unit_price=price, **paid),
        one_off("start", "starting runs", quantity=started, activity="idle", unit_price=waiting, **paid),
        _retraining(question, again, price),
    ]
    steps_s = derive("steps on accelerators", "s", product, steps=taken.stepping_s, accelerators=count)
    rate = derive("tokens that count", "token/s", quotient, dividend=taken.tokens, divisor=steps_s)
    parts = {"training_tokens_per_s_per_accelerator": rate} | taken.details() | {"time_start_up_s": start}
    if generation_s.value:
        parts["time_generation_s"] = derive("generation", "s", quotient, dividend=generation_s, divisor=count)
    return _answer(question, tokens, lines, all_s, wall, training, parts, taken.notes)


def _retraining(question: Question, once: Quantity, price: Quantity) -> Line:
    each_month = derive(
        "retraining", "s/month", effort.monthly_share, once=once, per_year=question.amount("retrainings_per_year")
    )
    return monthly(
        question,
        "training",
        "retraining",
        driver="retrainings",
        quantity=each_month,
        unit_price=price,
        formula=money.machine_usd,
        activity="training",
    )


def _training_tokens(question: Question) -> Quantity:
    """Tokens a run learns from: all data, once an epoch."""
    data = _data_tokens(question)
    return derive("training tokens", "token", product, data=data, epochs=question.amount("epochs"))


def _data_tokens(question: Question) -> Quantity:
    """Tokens of the samples there must be, each once."""
    many = 2.0 if question.word("objective") in PAIRS else 1.0
    answers = question.counted("answers per sample", many, "1", "by the objective: one, or a chosen and a rejected one")
    return derive(
        "data",
        "token",
        product,
        samples=question.amount("samples"),
        tokens_per_sample=_tokens_per_sample(question),
        answers=answers,
    )


def _tokens_per_sample(question: Question) -> Quantity:
    if not _contrastive(question):
        return question.amount("tokens_per_sample")
    return derive("tokens per sample", "token", alignment.contrastive_tokens, **_of_sample(question))


def _of_sample(question: Question) -> dict[str, Quantity]:
    names = {"query_tokens": "prompt_tokens", "passage_tokens": "chunk_tokens", "passages": "passages_per_query"}
    return {name: question.amount(key) for name, key in names.items()}


def _rows(question: Question) -> Rows:
    """What one run passes through the trainer; completions are read with their prompts."""
    objective, one = question.word("objective"), question.counted("work of a row", 1.0, "1", "a supervised sequence")
    if objective in ("grpo", "ppo"):
        return Rows(_completions(question), _with_completion(question), _work_ratio(question, objective))
    passed = {"samples": question.amount("samples"), "epochs": question.amount("epochs")}
    samples = derive("samples of all epochs", "1", product, **passed)
    if objective in PAIRS:
        both = question.counted("answers per sample", 2.0, "1", "by the objective: a chosen and a rejected one")
        one = derive("work of a row", "1", product, answers=both, work=_work_ratio(question, objective))
    return Rows(samples, _tokens_per_sample(question), one)


def _work_ratio(question: Question, objective: str) -> Quantity:
    """Work per token over supervised fine-tuning."""
    share = _trainable_share(question)
    if objective == "reward":
        return question.counted("work against supervised", 1.0, "1", "a number of each answer, no LLM beside it")
    if objective == "dpo":
        return derive("work against supervised", "1", alignment.dpo_work_ratio, trainable_share=share)
    names = ("scoring_passes", "update_epochs", "trained_copies")
    settings = {name: question.fact(f"{objective}/{name}") for name in names}
    if question.number("update_epochs"):
        settings["update_epochs"] = question.amount("update_epochs")
    return derive(
        "work against supervised", "1", alignment.policy_gradient_work_ratio, trainable_share=share, **settings
    )


def _trainable_share(question: Question) -> Quantity:
    full = question.word("method") == "full"
    return question.counted(
        "trainable share",
        1.0 if full else 0.0,
        "1",
        "1 when all weights are trained; 0 for adapters, whose own work is next to nothing",
    )


def _with_completion(question: Question) -> Quantity:
    """Tokens of a completion with its prompt, which is read again with each."""
    lengths = {"prompt": question.amount("tokens_per_sample"), "completion": question.amount("completion_tokens")}
    return derive("prompt and completion", "token", sum_of, **lengths)


def _generation(question: Question) -> Quantity:
    """Device-seconds of sampling the completions where training runs, by the serving predictor at full batch."""
    if question.word("objective") not in ("grpo", "ppo"):
        return question.zero("generation", "s")
    prompt, nothing = question.amount("tokens_per_sample"), question.zero("fixed prefix", "token")
    sampling = on_own(question, prompt, question.amount("completion_tokens"), nothing)
    return derive(
        "generation",
        "s",
        money.busy_s,
        requests=_completions(question),
        capacity_requests_per_s=sampling.requests_per_s,
        accelerators=sampling.accelerators,
    )


def _completions(question: Question) -> Quantity:
    return derive(
        "completions",
        "1",
        product,
        prompts=question.amount("samples"),
        epochs=question.amount("epochs"),
        generations=question.amount("generations"),
    )


def served(question: Question) -> Service:
    """What was trained here is served here, unmerged adapters slowing every step; what an API trained, by the API."""
    if _contrastive(question):
        return embedded(question)
    if question.api is not None and not question.trains_here:
        return _tuned_api(question, question.api, bare(question))
    apart = question.word("deployment") == "unmerged" and question.word("method") != "full"
    return served_here(question, adapters=int(apart))


def _untrained(question: Question) -> Service:
    """What there was before: the bare LLM, or the embedder as it is published."""
    return embedded(question) if _contrastive(question) else bare(question)


def _tuned_api(question: Question, api: ApiPrice, baseline: Service) -> Service:
    """A provider's price for the fine-tuned LLM where it lists one, else that of the LLM itself."""
    tuned = tuned_price(api)
    if tuned is api:
        return baseline
    nothing = question.zero("fixed prefix", "token")
    return behind_api(question, tuned, baseline.prompt_tokens, baseline.output_tokens, nothing)


def _managed(question: Question, tokens: Quantity) -> Estimate:
    """A provider trains it, by the token; its price is a dated default range unless given."""
    price = _managed_price(question)
    billed = derive("billed tokens", "token", product, tokens=tokens, attempts=question.amount("attempts"))
    each_month = derive(
        "retrained tokens",
        "token/month",
        effort.monthly_share,
        once=tokens,
        per_year=question.amount("retrainings_per_year"),
    )
    paid: dict[str, Any] = {"unit_price": price, "formula": money.token_usd}
    lines = [
        one_off("training", "managed fine-tuning", driver="attempts", quantity=billed, **paid),
        monthly(question, "training", "retraining", driver="retrainings", quantity=each_month, **paid),
    ]
    none = question.zero("training on accelerators", "s")
    wall = question.unknown("training time", "s", "a managed service's training time is the provider's to tell")
    return _answer(question, tokens, lines, none, wall, None, {})


def _managed_price(question: Question) -> Quantity:
    """What a service asks per million training tokens: for this LLM if listed, else for open ones of a usual size."""
    if question.number("managed_usd_per_mtok") > 0:
        return question.amount("managed_usd_per_mtok")
    api = question.api
    usual = fact("managed_price_params").value
    found = fine_tuning_price(model=api.model if api else "") or fine_tuning_price(params=usual)
    if found is None:
        why = "no price known: give managed_usd_per_mtok"
        return question.unknown("managed fine-tuning", "USD/Mtok", why, key="price_managed_fine_tuning")
    return given(
        "managed fine-tuning",
        found.median,
        "USD/Mtok",
        low=found.low,
        high=found.high,
        factor="service price",
        design=question.design,
        basis="list price",
        sources=found.sources,
        note=found.note,
        key="price_managed_fine_tuning",
    )


def _not_listed(question: Question) -> tuple[str, ...]:
    """That no price is known for training this very LLM; perhaps its provider does not offer it at all."""
    name = question.api.name if question.api else ""
    if question.number("managed_usd_per_mtok") > 0:
        return ()
    if question.api and fine_tuning_price(model=question.api.model) is not None:
        return ()
    return (f"No price of fine-tuning {name} is known, nor whether it is offered: open LLMs' prices stand for it.",)


def _answer(
    question: Question,
    tokens: Quantity,
    training_lines: list[Line],
    accelerator_s: Quantity,
    wall: Quantity,
    training: Training | None,
    parts: Mapping[str, Quantity],
    notes: tuple[str, ...] = (),
) -> Estimate:
    service = after_training(question, served)
    hours, labelling = _hours(question)
    machine_s = wall if wall.known else question.zero("training", "s")
    lines = [
        *training_lines,
        *_people(question, hours, labelling),
        _evaluation(question, service),
        *service.lines,
        *_kept_beside(question),
        *_checkpoints(question),
        upkeep(question, "finetune_upkeep_hours_per_month"),
    ]
    attempts_s = derive("all attempts", "s", product, once=machine_s, attempts=question.amount("attempts"))
    working = total("people's hours", "h", [hours, labelling])
    return answer(
        question.at_home() if training else question,
        Findings(
            "finetune",
            lines=lines,
            people_hours=working,
            calendar_s=calendar(question, working, attempts_s),
            accelerator_s=accelerator_s,
            flop=_flop(question, tokens),
            accelerators=training.accelerators if training else None,
            layout=training.layout if training else "managed",
            overhead=Overhead(service, after_training(question, _untrained)),
            data_tokens=_data_tokens(question),
            data_samples=question.amount("samples"),
            data_bytes=_data_bytes(question),
            training_s=wall,
            peak_memory_bytes=training.peak_memory_bytes if training else None,
            details=_details(question, training, service) | dict(parts),
            warnings=(
                *notes,
                *more_to_serve(question, service),
                *(_warned(question, training) if training else _not_listed(question)),
                *_labelled(question, lines),
            ),
            verdict=training.verdict if training else "",
            words="embedder" if _contrastive(question) else "",
        ),
    )


def _data_bytes(question: Question) -> Quantity:
    return derive(
        "data",
        "B",
        product,
        samples=question.amount("samples"),
        tokens_per_sample=_tokens_per_sample(question),
        bytes_per_token=question.bytes_per_token(),
    )


def _details(question: Question, training: Training | None, service: Service) -> dict[str, Quantity]:
    found = {"replicas": service.replicas}
    if training and _contrastive(question):
        found |= {"embeddings_per_s": service.requests_per_s, "negatives_per_query": _negatives(question, training)}
    if training:
        found |= training.fit(question)
        found["training_tokens_per_s_per_accelerator"] = training.tokens_per_s
    if training and question.word("method") == "full":  # frozen weights do less than the 6N that MFU counts
        why = "the predicted step of full rows against the peak, by model FLOP"
        found["mfu"] = question.counted("MFU", training.mfu, "1", why)
    return found


def _negatives(question: Question, training: Training) -> Quantity:
    seen = training.plan.passages_per_query * training.together - 1
    return question.counted(
        "negatives per query", seen, "1", "hard ones and all other queries' passages of a pass, gathered over ranks"
    )


def _hours(question: Question) -> tuple[Quantity, Quantity]:
    engineers = question.amount("finetune_setup_hours")
    minutes = question.amount("label_minutes_per_sample")
    counts = {"samples": question.amount("samples"), "existing": question.amount("existing_samples")}
    missing = derive("samples to label", "1", effort.samples_to_label, **counts)
    return engineers, derive("labelling", "h", effort.labelling_hours, samples=missing, minutes_per_sample=minutes)


def _labelled(question: Question, lines: list[Line]) -> tuple[str, ...]:
    """That samples which exist cost no labelling; where it is most of what is paid once, how to say that they do."""
    counts = {"samples": question.amount("samples"), "existing": question.amount("existing_samples")}
    samples = human(counts["samples"], spread=False)
    if question.number("existing_samples") > 0:
        missing = human(derive("samples to label", "1", effort.samples_to_label, **counts), spread=False)
        return (f"Labelling is counted for {missing} of {samples} samples: the others exist.",)
    once = sum(line.usd.value for line in lines if line.phase == "one-off")
    labelling = sum(line.usd.value for line in lines if line.kind == "labelling")
    if not labelling > once / 2:
        return ()
    what = "pairs" if _contrastive(question) else "answers"
    engineers, hours = (one.value for one in _hours(question))
    return (
        f"Labelling {samples} samples by hand is {labelling / once:.0%} of the one-off cost, and {hours:,.0f} of the "
        f"{engineers + hours:,.0f} hours before the first result: if {what} exist already, set existing_samples.",
    )


def _people(question: Question, hours: Quantity, labelling: Quantity) -> list[Line]:
    paid: dict[str, Any] = {"unit_price": question.amount("label_rate_usd_per_hour"), "formula": money.people_usd}
    return [
        people(question, "data, training and evaluation", hours),
        one_off("labelling", "labelling", driver="samples", quantity=labelling, **paid),
    ]


def _evaluation(question: Question, service: Service) -> Line:
    calls = derive(
        "evaluation calls",
        "1",
        product,
        attempts=question.amount("attempts"),
        samples=question.amount("finetune_evaluation_samples"),
    )
    return evaluation_runs(calls, service.usd_per_request, service.busy_s)


def _kept_beside(question: Question) -> list[Line]:
    """Replicas of the base LLM that a dedicated deployment leaves running for everything else."""
    if question.word("deployment") != "dedicated" or question.api is not None:
        return []
    one = question.counted("one replica", 1.0, "1", "by definition")
    each = after_training(question, _untrained).accelerators
    always = derive("base LLM kept on", "s/month", money.always_on_s, replicas=one, accelerators=each)
    line = monthly(
        question,
        "base",
        "base LLM beside",
        driver="replicas",
        quantity=always,
        unit_price=question.hour_usd("idle"),
        formula=money.machine_usd,
        activity="idle",
    )
    return [line]


def _checkpoints(question: Question) -> list[Line]:
    """Whole LLMs kept on disk, where the scenario keeps any."""
    if question.llm is None or question.number("finetune_checkpoints_kept") == 0:
        return []
    two = question.counted("bytes of a weight", 2.0, "B", "16 bits")
    kept = question.amount("finetune_checkpoints_kept")
    held = derive("checkpoints kept", "B/month", product, params=question.params(), each=two, kept=kept)
    price, paid = question.amount("storage_usd_per_gb_month"), money.storage_usd
    item = "checkpoints on disk"
    return [monthly(question, "storage", item, driver="checkpoints", quantity=held, unit_price=price, formula=paid)]


def _flop(question: Question, tokens: Quantity) -> Quantity:
    if question.llm is None:
        return question.unknown("work", "FLOP", "the LLM's size is not published")
    objective, weights = question.word("objective"), question.matmul_params()
    if objective == "contrastive":
        return _contrastive_flop(question, question.llm)
    if objective == "reward":
        headless = matmul_params(question.llm, with_head=False)
        weights = question.known("weights per token", headless, "1", question.llm.basis, *question.llm.sources)
    per_token = derive(
        "work per token",
        "FLOP/token",
        alignment.sft_flop_per_token,
        params=weights,
        trainable_share=_trainable_share(question),
    )
    if objective == "sft":
        return derive("work", "FLOP", product, per_token=per_token, tokens=tokens, attempts=question.amount("attempts"))
    learnt = tokens
    if objective not in PAIRS:
        rows = {"completions": _completions(question), "length": _with_completion(question)}
        learnt = derive("learnt tokens", "token", product, **rows)
    ratio = _work_ratio(question, objective)
    learning = derive("learning", "FLOP", product, per_token=per_token, tokens=learnt, work=ratio)
    once = learning if objective in PAIRS else total("one run", "FLOP", _with_sampling(question, learning, weights))
    return derive("work", "FLOP", product, once=once, attempts=question.amount("attempts"))


def _contrastive_flop(question: Question, llm: Architecture) -> Quantity:
    held, of_sample = matmul_params(llm, with_head=False), _of_sample(question)
    weights = question.known("weights per token", held, "1", llm.basis, *llm.sources)
    share, passes = _trainable_share(question), {name: question.amount(name) for name in ("samples", "epochs")}
    attended = question.once(_attention_flop, llm, *of_sample.values())
    return derive(
        "work",
        "FLOP",
        alignment.contrastive_flop,
        weights_flop=derive(
            "work per token", "FLOP/token", alignment.sft_flop_per_token, params=weights, trainable_share=share
        ),
        tokens=_tokens_per_sample(question),
        attention_flop=predicted("attention of a sample", "FLOP", attended, attention_flop, **of_sample),
        samples=derive("samples of all epochs", "1", product, **passes),
        attempts=question.amount("attempts"),
    )


def _attention_flop(llm: Architecture, query: Floats, passage: Floats, passages: Floats) -> Floats:
    return attention_flop(llm, query) + passages * attention_flop(llm, passage)


def _with_sampling(question: Question, learning: Quantity, weights: Quantity) -> list[Quantity]:
    prompt, output = question.amount("tokens_per_sample"), question.amount("completion_tokens")
    sampling = derive(
        "sampling", "FLOP", request_flop, weights=weights, prompt=prompt, output=output, requests=_completions(question)
    )
    return [learning, sampling]
