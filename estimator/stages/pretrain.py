"""Pre-training, from scratch or continued: tokens by the scaling law, a cluster for the deadline, failures, storage."""

import math
from typing import Any

from estimator.catalog.facts import fact
from estimator.catalog.frameworks import named_framework
from estimator.catalog.precisions import training_precision
from estimator.errors import DoesNotFit
from estimator.formulas import corpus, money, reliability, scaling
from estimator.formulas.arithmetic import product, quotient, sum_of
from estimator.formulas.training import model_flop
from estimator.formulas.units import DAY_S
from estimator.predict.reliability import LEAST
from estimator.predict.training import TrainingPlan
from estimator.predict.training_changes import under_a_step
from estimator.quantities import Quantity, derive, uncertain
from estimator.results import Estimate, Line
from estimator.stages.answer import Findings, Overhead, answer, bare, calendar, served_here
from estimator.stages.budget import monthly, one_off, people, upkeep
from estimator.stages.question import Question
from estimator.stages.service import after_training, more_to_serve
from estimator.stages.training import Training, most_accelerators, set_up

LAW = "chinchilla_besiroglu"


def estimate(question: Question) -> Estimate:
    """What pre-training the LLM needs and costs."""
    tokens = training_tokens(question)
    training = _sized(question, tokens)
    service = after_training(question, served_here)
    progress = _goodput(question, training)
    if question.chosen(progress) <= LEAST:
        raise DoesNotFit(_never_done(training, progress))
    wall = derive("training time", "s", quotient, dividend=training.wall_s(tokens), divisor=progress)
    final_s = derive("final run on accelerators", "s", quotient, dividend=training.device_s(tokens), divisor=progress)
    all_s = derive("with experiments", "s", money.with_share, amount=final_s, share=question.amount("experiment_share"))
    hours = question.amount("continued_setup_hours" if question.flag("continued") else "pretrain_setup_hours")
    lines = [
        _compute(question, all_s),
        _curation(question, _raw_bytes(question, tokens)),
        people(question, "data, training and evaluation", hours),
        *_storage(question, tokens),
        *service.lines,
        upkeep(question, "pretrain_upkeep_hours_per_month"),
    ]
    return answer(
        question.at_home(),
        Findings(
            "pretrain",
            lines=lines,
            people_hours=hours,
            calendar_s=calendar(question, hours, wall, "pretrain_staff"),
            accelerator_s=all_s,
            flop=_flop(question, training, tokens),
            accelerators=training.accelerators,
            layout=training.layout,
            overhead=Overhead(service, after_training(question, bare)),
            data_tokens=tokens,
            data_samples=_sequences(question, tokens),
            data_bytes=_corpus_bytes(question, tokens),
            training_s=wall,
            peak_memory_bytes=training.peak_memory_bytes,
            warnings=(
                *_late(question, wall),
                *_short(training.plan, tokens),
                *training.warnings(),
                *more_to_serve(question, service),
            ),
            verdict=training.verdict,
            words="continued" if question.flag("continued") else "",
            details={**_details(question, training, tokens), **_reliability(progress, wall)},
        ),
    )


def _details(question: Question, training: Training, tokens: Quantity) -> dict[str, Quantity]:
    why = "the predicted step against the peak, by model FLOP"
    return {
        "expected_loss": _loss(question, tokens),
        "raw_data_bytes": _raw_bytes(question, tokens),
        "checkpoint_bytes": _checkpoint(question),
        **training.fit(question),
        "training_tokens_per_s_per_accelerator": training.tokens_per_s,
        "mfu": question.counted("MFU", training.mfu, "1", why),
    }


def training_tokens(question: Question) -> Quantity:
    """As given; else what is compute-optimal for the parameters; continued pre-training has its own default."""
    if question.number("training_tokens") > 0:
        return question.amount("training_tokens")
    if question.flag("continued"):
        return question.amount("continued_tokens")
    return derive(
        "training tokens",
        "token",
        scaling.optimal_tokens,
        N=question.params(),
        **_law(question, "A", "B", "alpha", "beta"),
    )


def training_plan(question: Question) -> TrainingPlan:
    """The plan the scenario describes, its layout still open."""
    seq_len = question.number("pretrain_seq_len")
    return TrainingPlan(
        seq_len=seq_len,
        global_batch=_global_batch(question, seq_len),
        vpp=None,
        micro_batch=None,
        tp=None,
        pp=None,
        zero=None,
        recompute=None,
        precision=training_precision(question.word("pretrain_precision")),
        method="full",
        optimizer=question.word("pretrain_optimizer"),
        framework=named_framework(question.word("pretrain_framework")),
    )


def _global_batch(question: Question, seq_len: float) -> int:
    """Sequences of a step: as given, else by the law for the run's compute; a multiple of 64, easy to divide."""
    asked = question.number("batch_tokens")
    if asked > 0:
        return max(round(asked / seq_len), 1)
    compute = 6 * question.matmul_params().value * question.chosen(training_tokens(question))
    return batch_for(compute, seq_len)


def batch_for(compute_flop: float, seq_len: float) -> int:
    """Sequences of a step that suit a run's compute, a multiple of 64."""
    law = {name: fact(f"batch_law/{name}").value for name in ("coefficient", "exponent")}
    return max(round(float(scaling.batch_tokens(compute_flop, **law)) / seq_len / 64), 1) * 64


def _sized(question: Question, tokens: Quantity) -> Training:
    """As many accelerators as given; else the fewest whole nodes that meet the deadline."""
    plan = training_plan(question)
    if question.count is not None:
        return set_up(question, plan, question.count)
    training = set_up(question, plan, None)
    deadline_s = question.number("deadline_days") * DAY_S
    for _ in range(4):
        progress = question.chosen(_goodput(question, training))
        needed = question.chosen(tokens) / (training.tokens_per_s.value * deadline_s * progress)
        if needed <= training.cluster.count:
            break
        if needed > most_accelerators():
            raise DoesNotFit(
                f"pre-training in time would need {needed:,.0f} accelerators: set deadline_days higher, or "
                "batch_tokens, which is what keeps many of them busy"
            )
        training = set_up(question, plan, _whole(needed, question.per_node))
    return training


def _short(plan: TrainingPlan, tokens: Quantity) -> tuple[str, ...]:
    length = float(plan.seq_len)
    return under_a_step(tokens.value / length, float(plan.global_batch), "batch_tokens", length)


def _late(question: Question, wall: Quantity) -> tuple[str, ...]:
    """That the deadline is missed; a batch that is small for so many accelerators is the usual reason."""
    days, asked = wall.value / DAY_S, question.number("deadline_days")
    if days <= asked:
        return ()
    return (
        f"The run takes {days:,.0f} days, not the {asked:g} of deadline_days: name more accelerators, or set "
        "batch_tokens higher, so that more of them stay busy.",
    )


def _whole(needed: float, per_node: int) -> int:
    """Accelerators rounded up to a count that layouts divide: whole nodes, at most one eighth more than asked."""
    nodes = math.ceil(needed / per_node)
    step = 1 << max(nodes.bit_length() - 4, 0)
    return math.ceil(nodes / step) * step * per_node


def _goodput(question: Question, training: Training) -> Quantity:
    between = derive(
        "time between interruptions",
        "s",
        reliability.time_between_interruptions_s,
        nodes=question.counted(
            f"nodes ({training.cluster.count})", training.cluster.nodes, "1", "accelerators over those of one machine"
        ),
        failures_per_1000_node_days=_failures(question),
    )
    write = question.amount("checkpoint_write_s")
    interval = derive(
        "checkpoint interval", "s", reliability.checkpoint_interval_s, write_s=write, between_interruptions_s=between
    )
    return derive(
        "goodput",
        "1",
        reliability.goodput,
        interval_s=interval,
        write_s=write,
        restart_s=_restart_s(question),
        between_interruptions_s=between,
        least=question.counted(
            "least goodput", LEAST, "1", "a run that hardly gets ahead takes very long, not forever"
        ),
    )


def _failures(question: Question) -> Quantity:
    """Failures per 1,000 nodes and day; of lent machines, what takes them back too."""
    failures = question.amount("failures_per_1000_node_days")
    if not question.number("interruptions_per_day"):
        return failures
    lent = question.amount("interruptions_per_day")
    return derive(
        "failures and interruptions",
        "1",
        reliability.lent_failures,
        failures_per_1000_node_days=failures,
        interruptions_per_day=lent,
    )


def _restart_s(question: Question) -> Quantity:
    restart = question.seconds("restart_minutes")
    if not question.number("interruptions_per_day"):
        return restart
    return derive("restart and waiting", "s", sum_of, restart=restart, waiting=question.seconds("spot_wait_minutes"))


def _never_done(training: Training, progress: Quantity) -> str:
    between, restart = (progress.inputs[name].value / 60 for name in ("between_interruptions_s", "restart_s"))
    return (
        f"the run never ends: {training.cluster.nodes:,} nodes are interrupted every {between:.3g} min and take "
        f"{restart:.3g} to restart: fewer accelerators, or set restart_minutes or failures_per_1000_node_days lower"
    )


def _reliability(progress: Quantity, wall: Quantity) -> dict[str, Quantity]:
    """What to expect of a long run: its interruptions, how often to write a checkpoint, what is left as progress."""
    between = progress.inputs["between_interruptions_s"]
    return {
        "interruptions": derive("interruptions", "1", quotient, dividend=wall, divisor=between),
        "checkpoint_interval_s": progress.inputs["interval_s"],
        "goodput": progress,
    }


def _unique(question: Question, tokens: Quantity) -> Quantity:
    fewer = 0 < question.number("unique_tokens") < question.chosen(tokens)
    return question.amount("unique_tokens") if fewer else tokens


def _corpus_bytes(question: Question, tokens: Quantity) -> Quantity:
    return derive(
        "corpus on disk", "B", product, tokens=_unique(question, tokens), bytes_each=question.bytes_per_token()
    )


def _raw_bytes(question: Question, tokens: Quantity) -> Quantity:
    return derive(
        "raw text before filtering",
        "B",
        quotient,
        dividend=_corpus_bytes(question, tokens),
        divisor=question.amount("kept_yield"),
    )


def _compute(question: Question, all_s: Quantity) -> Line:
    return one_off(
        "training",
        "training accelerators",
        driver="accelerator time",
        quantity=all_s,
        unit_price=question.hour_usd("training"),
        formula=money.machine_usd,
        activity="training",
    )


def _curation(question: Question, raw: Quantity) -> Line:
    core_s = derive(
        "curation", "s", corpus.curation_s, text_bytes=raw, hours_per_tb=question.amount("curation_core_hours_per_tb")
    )
    price = question.amount("cpu_usd_per_core_hour")
    return one_off(
        "curation", "data curation", driver="raw text", quantity=core_s, unit_price=price, formula=money.machine_usd
    )


def _checkpoint(question: Question) -> Quantity:
    return derive(
        "checkpoint",
        "B",
        reliability.checkpoint_bytes,
        params=question.params(),
        bytes_per_param=question.fact("checkpoint_bytes_per_param/full"),
    )


def _storage(question: Question, tokens: Quantity) -> list[Line]:
    held = derive(
        "corpus and checkpoints",
        "B/month",
        reliability.stored_bytes,
        corpus_bytes=_corpus_bytes(question, tokens),
        checkpoint_bytes=_checkpoint(question),
        kept=question.amount("checkpoints_kept"),
    )
    price, driver = question.amount("storage_usd_per_gb_month"), "corpus and checkpoints"
    paid: dict[str, Any] = {"quantity": held, "unit_price": price, "formula": money.storage_usd}
    return [monthly(question, "storage", "storage", driver=driver, **paid)]


def _sequences(question: Question, tokens: Quantity) -> Quantity:
    return derive("sequences", "1", quotient, dividend=tokens, divisor=question.amount("pretrain_seq_len"))


def _flop(question: Question, training: Training, tokens: Quantity) -> Quantity:
    seq = float(training.plan.seq_len)
    each = question.counted(
        "work per token",
        float(model_flop(question.own_llm(), seq)) / seq,
        "FLOP/token",
        "6 for each weight a token meets, and attention, from the shape of the LLM",
    )
    return derive("work", "FLOP", product, per_token=each, tokens=tokens)


def _loss(question: Question, tokens: Quantity) -> Quantity:
    """Final loss by the law; unknown for continued pre-training, which starts elsewhere."""
    if question.flag("continued"):
        return question.unknown("expected loss", "nat/token", "the law describes training from scratch")
    worth = derive(
        "tokens' worth",
        "token",
        scaling.effective_tokens,
        D=tokens,
        unique_tokens=_unique(question, tokens),
        R_star=question.fact("data_constrained/R_D"),
    )
    found = derive(
        "expected loss",
        "nat/token",
        scaling.loss,
        N=question.params(),
        D=worth,
        **_law(question, "E", "A", "B", "alpha", "beta"),
    )
    law_error = fact(f"{LAW}/E")
    down, up = math.log(law_error.value / law_error.low), math.log(law_error.high / law_error.value)
    return uncertain(found, "scaling law", down, up)


def law() -> dict[str, float]:
    """Constants of the scaling law as expected, by symbol."""
    return {name: fact(f"{LAW}/{name}").value for name in ("E", "A", "B", "alpha", "beta")}


def _law(question: Question, *names: str) -> dict[str, Quantity]:
    """Constants of the scaling law, by symbol."""
    return {name: question.fact(f"{LAW}/{name}") for name in names}
