"""How long one run of fine-tuning takes, from its parts: steps, padding, host, evaluation, checkpoints, start."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from estimator.catalog.facts import fact
from estimator.catalog.frameworks import packing_of
from estimator.formulas import run_time, sample_lengths
from estimator.formulas.arithmetic import product, quotient, sum_of
from estimator.formulas.training import adapter_params
from estimator.predict.training_changes import under_a_step
from estimator.predict.training_rows import RowStep, row_step
from estimator.quantities import Quantity, derive, predicted, total, uncertain
from estimator.stages.parts import joined, noted
from estimator.stages.question import Question
from estimator.stages.training import Doubt, Training, doubt

if TYPE_CHECKING:
    from estimator.catalog.samples import Samples


MUCH = 0.3  # of the work, on padding, from which it is said what packing would save


class Rows(NamedTuple):
    """What a run passes through the trainer: samples of all epochs, tokens of each, and how much work each is.

    work: over that of one supervised sequence, such as that of two answers and a reference [1]
    """

    samples: Quantity
    tokens: Quantity
    work: Quantity


class Duration(NamedTuple):
    """Wall-clock parts of one run [s]; padding_share: of a step's work [1]; tokens: that count, in all [token]."""

    steps: Quantity
    computing: Quantity
    padding: Quantity
    host: Quantity
    evaluation: Quantity
    saving: Quantity
    interruptions: Quantity
    waiting: Quantity
    padding_share: Quantity
    tokens: Quantity
    notes: tuple[str, ...] = ()

    @property
    def stepping_s(self) -> Quantity:
        """All steps [s]."""
        return total("steps", "s", [self.computing, self.padding, self.host])

    @property
    def busy_s(self) -> Quantity:
        """All that accelerators are paid for as training [s]."""
        return total("run", "s", [self.stepping_s, self.evaluation, self.saving, self.interruptions])

    def details(self) -> dict[str, Quantity]:
        """The parts by name."""
        return {
            "optimizer_steps": self.steps,
            "padding_share": self.padding_share,
            "time_computing_s": self.computing,
            "time_padding_s": self.padding,
            "time_host_s": self.host,
            "time_evaluation_s": self.evaluation,
            "time_saving_s": self.saving,
            "time_interruptions_s": self.interruptions,
            "time_waiting_s": self.waiting,
        }


def packing(question: Question) -> str:
    """How samples become rows: as asked, else as the framework does."""
    asked = question.word("packing")
    if question.word("objective") == "contrastive":
        return "on"  # queries and passages are cut to their lengths
    return packing_of(question.word("finetune_framework")).word if asked == "by framework" else asked


def duration(question: Question, training: Training, rows: Rows) -> Duration:
    """The parts of one run on these rows."""
    how = packing(question)
    step = _step(question, training, rows, how)
    steps = _steps(question, training, rows, how)
    each = _each(question, training, rows, step, how)
    each["host"] = _with_overhead(question, each["host"])
    parts = {name: derive(name, "s", product, steps=steps, each=one, work=rows.work) for name, one in each.items()}
    stepping = total("steps", "s", list(parts.values()))
    beside = {"evaluation": _evaluation(question, training, stepping), "saving": _saving(question, training, steps)}
    run_s = total("run without interruptions", "s", [stepping, *beside.values()])
    return Duration(
        steps,
        **parts,
        **beside,
        **_interrupted(question, training, run_s, steps),
        padding_share=_padding_share(step, rows),
        tokens=derive("tokens of all epochs", "token", product, samples=rows.samples, tokens=rows.tokens),
        notes=(*_notes(question, training, rows, how, step), *_short(steps)),
    )


def _step(question: Question, training: Training, rows: Rows, how: str) -> RowStep:
    lengths = rows.tokens, question.amount("length_spread")
    return question.once(row_step, question.own_llm(), training.cluster, training.plan, how, *lengths)


def _slower(question: Question, training: Training, how: str) -> Doubt:
    """How far to believe a step's time: rows of changing lengths run less smoothly."""
    known = doubt(question, training.cluster, training.plan)
    if how == "on" or training.plan.contrastive:
        return known
    uneven = fact("uneven_slowdown")
    low, high = math.log(uneven.value / uneven.low), math.log(uneven.high / uneven.value)
    ends = math.hypot(known.down, low), math.hypot(known.up, high)
    return Doubt(known.slower * uneven.value, *ends, known.words)


def _each(question: Question, training: Training, rows: Rows, step: RowStep, how: str) -> dict[str, Quantity]:
    """Parts of a step, as uncertain as the predictor is."""
    slower, down, up, words = _slower(question, training, how)
    inputs = {**question.machine_facts(), "tokens": rows.tokens, "spread": question.amount("length_spread")}
    note = joined(_shape(training, step), words)
    found: dict[str, Quantity] = {}
    for name, seconds in zip(("computing", "padding", "host"), step[:3], strict=True):
        figure = noted(predicted(f"{name} of a step", "s", slower * seconds, row_step, **inputs), note)
        found[name] = uncertain(figure, "training time", down, up)
    return found


def _shape(training: Training, step: RowStep) -> str:
    first = float(step.row_tokens.flat[0]) if hasattr(step.row_tokens, "flat") else float(step.row_tokens)
    return f"{training.layout}; rows of {first:,.0f} tokens"


def _with_overhead(question: Question, host: Quantity) -> Quantity:
    second = question.counted("millisecond", 1e-3, "s/ms", "by definition")
    beside = derive("beside a step", "s", product, each=question.amount("step_overhead_ms"), second=second)
    return total("host of a step", "s", [host, beside])


def _steps(question: Question, training: Training, rows: Rows, how: str) -> Quantity:
    batch = question.amount("finetune_batch")
    if how != "on" or training.plan.contrastive:
        return derive("optimizer steps", "1", run_time.optimizer_steps, rows=rows.samples, batch=batch)
    tokens = derive("tokens of all epochs", "token", product, samples=rows.samples, tokens=rows.tokens)
    packed = derive(
        "packed rows", "1", run_time.packed_rows, tokens=tokens, seq_len=question.amount("finetune_seq_len")
    )
    return derive("optimizer steps", "1", run_time.optimizer_steps, rows=packed, batch=batch)


def _short(steps: Quantity) -> tuple[str, ...]:
    return under_a_step(steps.inputs["rows"].value, steps.inputs["batch"].value, "finetune_batch")


def _evaluation(question: Question, training: Training, stepping: Quantity) -> Quantity:
    passes = 3.0 if training.plan.method == "full" else 2.0
    passes += str(training.plan.recompute) == "full"
    return derive(
        "evaluation",
        "s",
        run_time.evaluation_s,
        training_s=stepping,
        share=question.amount("validation_share"),
        per_epoch=question.amount("evaluations_per_epoch"),
        forward_share=question.counted(
            "forward share", 1 / passes, "1", "of the passes of a training step: back takes one, or two of all weights"
        ),
    )


def _saving(question: Question, training: Training, steps: Quantity) -> Quantity:
    return derive(
        "saving checkpoints",
        "s",
        run_time.saving_s,
        steps=steps,
        every=question.amount("save_steps"),
        checkpoint_bytes=_checkpoint(question, training),
        s_per_byte=_disk_s(question),
        machines=_machines(question, training),
    )


def _machines(question: Question, training: Training) -> Quantity:
    return question.counted("machines", training.cluster.nodes, "1", "accelerators over those of one machine")


def _interrupted(question: Question, training: Training, run_s: Quantity, steps: Quantity) -> dict[str, Quantity]:
    """What is done twice and started again because machines were taken back, and how long there is none."""
    if not question.number("interruptions_per_day"):
        return {name: question.zero(name, "s") for name in ("interruptions", "waiting")}
    rate = {
        "per_day": question.amount("interruptions_per_day"),
        "machines": _machines(question, training),
    }
    every = question.amount("save_steps")
    kept = derive("between checkpoints", "s", run_time.between_checkpoints_s, run_s=run_s, steps=steps, every=every)
    restart = question.seconds("restart_minutes")
    lost = derive(
        "interruptions", "s", run_time.interrupted_s, run_s=run_s, kept_every_s=kept, restart_s=restart, **rate
    )
    longer = total("run with interruptions", "s", [run_s, lost])
    waited = derive(
        "waiting", "s", run_time.waiting_s, run_s=longer, wait_s=question.seconds("spot_wait_minutes"), **rate
    )
    return {"interruptions": lost, "waiting": waited}


def _checkpoint(question: Question, training: Training) -> Quantity:
    """Weights that are trained, with their optimizer states."""
    params = question.params()
    if training.plan.method != "full":
        plan = training.plan
        many = float(adapter_params(question.own_llm(), plan.lora_rank, plan.lora_targets))
        params = question.counted("parameters of adapters", many, "1", "r (in + out) of each targeted matrix")
    each = question.fact("checkpoint_bytes_per_param/full")
    return derive("checkpoint", "B", product, params=params, bytes_per_param=each)


def _disk_s(question: Question) -> Quantity:
    """Time in which one machine reads or writes a byte [s/B]."""
    gigabyte = question.counted("gigabyte", 1e9, "B/GB", "by definition")
    return derive("disk", "s/B", quotient, dividend=question.amount("disk_s_per_gb"), divisor=gigabyte)


def loading_s(question: Question) -> Quantity:
    """Reading the weights from disk before the first step [s]; every machine reads them all."""
    size = question.counted("bytes of a weight", 2.0, "B", "published checkpoints are in 16 bits")
    weights = derive("weights", "B", product, params=question.params(), size=size)
    return derive("loading weights", "s", product, weights=weights, each=_disk_s(question))


def start_s(question: Question) -> Quantity:
    """From asking for machines to the first step [s]."""
    return derive(
        "start of a run",
        "s",
        sum_of,
        start=question.seconds("finetune_startup_minutes"),
        loading=loading_s(question),
    )


def _padding_share(step: RowStep, rows: Rows) -> Quantity:
    share = step.padding / (step.padding + step.computing)
    return predicted("padding of a step", "1", share, row_step, tokens=rows.tokens)


def _notes(question: Question, training: Training, rows: Rows, how: str, step: RowStep) -> tuple[str, ...]:
    """What was counted of the user's own samples, what is cut, and what packing would save."""
    if training.plan.contrastive:
        return ()
    cap, wasted = (
        float(training.plan.seq_len),
        float(np.asarray(step.padding / (step.padding + step.computing)).flat[0]),
    )
    cut = 0.0 if how == "on" else _cut(question, rows, cap)
    found: Mapping[str, bool] = {
        f"{cut:.1%} of the samples are longer than finetune_seq_len = {cap:,.0f} and are cut.": cut >= 0.01,
        f"Rows are padded (packing = {how}): {wasted:.0%} of the work is on padding, which packing=on would save.": (
            wasted >= MUCH
        ),
    }
    data = question.data
    return (*(_of_data(data) if data else ()), *(words for words, holds in found.items() if holds))


def _cut(question: Question, rows: Rows, cap: float) -> float:
    """Share of samples that are longer than rows may be [1]: as counted, else by the spread of their lengths."""
    if question.data is not None:
        return float(question.data.above(cap) / question.data.samples)
    return sample_lengths.share_above(rows.tokens.value, question.number("length_spread"), cap)


def _of_data(data: "Samples") -> tuple[str, ...]:
    """What was counted, and what was passed over."""
    how = "by your tokenizer" if data.counted else "by bytes; tokenizer_json counts exactly"
    words = (
        f"Counted {data.samples:,} samples, {data.tokens:,.0f} tokens ({how}): {data.mean:,.0f} each, the longest "
        f"{data.longest:,.0f}, spread {data.spread:.2f}."
    )
    skipped = (f"{data.broken:,} lines are no samples and were skipped, the first: {data.first_broken}.",)
    return (words, *(skipped if data.broken else ()))
