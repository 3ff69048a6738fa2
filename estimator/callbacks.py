"""Estimates beside running training: a callback of the Hugging Face Trainer, and the same for a loop of one's own.

`transformers` is imported by whoever uses the callback, not by the library.
"""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from estimator.catalog.local import LOCAL
from estimator.catalog.optimizers import optimizer
from estimator.errors import EstimatorError, UnknownName
from estimator.formulas.units import HOUR_S
from estimator.recording import record_run
from estimator.validation.report import CasePrediction

if TYPE_CHECKING:
    from transformers import TrainerCallback as Base
else:
    try:
        from transformers import TrainerCallback as Base
    except ImportError:  # the context manager needs none
        Base = object

Say = Callable[[str], None]
WARM_UP = 2  # steps that are not counted: kernels are chosen and memory is taken in them


def _say(words: str) -> None:
    print(f"estimator: {words}", file=sys.stderr, flush=True)


class Watched:
    """Steps as they are taken, beside what was predicted of them."""

    def __init__(
        self, fields: Mapping[str, object], report_after: int = 20, keep: bool = True, say: Say = _say
    ) -> None:
        """fields: of the run, as `estimator.record` takes them; report_after: steps until measured meets predicted."""
        self.fields, self.report_after, self.keep, self.say = dict(fields), report_after, keep, say
        self.steps, self.total = 0, 0
        self.last = self.counted_s = 0.0
        self.expected: CasePrediction | None = None

    def begin(self, total: int) -> None:
        """Predict a run of `total` steps and say so; a run that cannot be predicted says why, and goes on."""
        self.total = total
        try:
            self.expected = record_run("training", self.fields, {"step_time_s": 1.0}, keep=False, accept=True).runs[0]
        except EstimatorError as error:
            self.say(f"no estimate: {error}")
        else:
            ends = self.expected.predicted or 0.0, self.expected.low or 0.0, self.expected.high or 0.0
            steps, hours = (
                f"{ends[0] * each:.3g} {unit} ({ends[1] * each:.3g} to {ends[2] * each:.3g})"
                for each, unit in ((1.0, "s"), (total / HOUR_S, "h"))
            )
            self.say(f"a step of {steps} is predicted, {hours} for {total:,} steps")

    def step(self) -> None:
        """One more optimizer step was taken."""
        self.steps += 1
        now = time.perf_counter()
        self.counted_s += now - self.last if self.steps > WARM_UP else 0.0
        self.last = now
        if self.steps == WARM_UP + self.report_after:
            self._report()

    def resume(self) -> None:
        """Count from now: what went on since the last step, such as evaluation or saving, is no part of one."""
        self.last = time.perf_counter()

    @property
    def step_s(self) -> float:
        """Mean measured time of a step [s]; 0 before there are any after the warm-up."""
        return self.counted_s / max(self.steps - WARM_UP, 1)

    def _report(self) -> None:
        left = (self.total - self.steps) * self.step_s / HOUR_S
        beside = ""
        if self.expected and self.expected.predicted:
            ratio = self.step_s / self.expected.predicted
            low, high = self.expected.low or 0.0, self.expected.high or 0.0
            beside = f", {ratio:.2f} times the prediction{'' if low <= self.step_s <= high else ' (outside its range)'}"
        self.say(f"a step takes {self.step_s:.3g} s{beside}: {left:.3g} h left")

    def end(self, peak_bytes: float = 0.0) -> None:
        """Record what was measured; a run that is too far off its prediction is said, and not kept."""
        if not self.step_s:
            return
        found = {"step_time_s": self.step_s, **({"peak_mem_gb": peak_bytes / 1e9} if peak_bytes else {})}
        try:
            kept = record_run("training", self.fields, found, keep=self.keep)
        except EstimatorError as error:
            self.say(f"not recorded: {error}")
        else:
            self.say(f"recorded in {kept.where}" if self.keep else f"measured {self.step_s:.3g} s a step")


class EstimateCallback(Base):
    """For `Trainer(callbacks=[EstimateCallback(model="8b", gpu="8xh100")])`: estimate, measure, correct, record.

    What the trainer's arguments say (batch sizes, accumulation, precision, optimizer, checkpointing) is read from them;
    fields: what they do not say, and what is to be said otherwise. keep: whether the run is recorded at its end.
    """

    def __init__(self, report_after: int = 20, keep: bool = True, **fields: object) -> None:
        self.given, self.report_after, self.keep = fields, report_after, keep
        self.watched: Watched | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002 - as the Trainer calls it
        """Estimate before the first step."""
        if not state.is_world_process_zero:
            return
        fields = {**fields_of(args), **shape_of(kwargs.get("model")), **self.given}
        self.watched = Watched(fields, self.report_after, self.keep)
        self.watched.begin(int(state.max_steps))

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Count a step."""
        if self.watched:
            self.watched.step()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Evaluation and saving are no steps."""
        if self.watched:
            self.watched.resume()

    on_save = on_predict = on_evaluate

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Record."""
        if self.watched:
            self.watched.end(_peak_bytes())


def fields_of(args: Any) -> dict[str, object]:
    """Fields of a run from the arguments of a trainer."""
    micro, accumulation = int(args.per_device_train_batch_size), int(args.gradient_accumulation_steps)
    world = int(getattr(args, "world_size", 1) or 1)
    optim = str(getattr(args.optim, "value", args.optim))
    return {
        "framework": "trl" if type(args).__module__.startswith("trl.") else "hf trainer",
        "micro_batch": micro,
        "global_batch": micro * accumulation * world,
        "gpus": world,
        "precision": "amp_bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        "recompute": "full" if args.gradient_checkpointing else "none",
        **({"optimizer": optim} if _is_known(optim) else {}),
        **({"gpu": LOCAL} if args.use_cpu else {}),
        **({"seq_len": args.max_length} if getattr(args, "max_length", None) else {}),
    }


def _is_known(optim: str) -> bool:
    try:
        optimizer(optim)
    except UnknownName:
        return False
    return True


SHAPE = {"layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads", "head_dim": "head_dim", "ffn": "intermediate_size",
    "vocab": "vocab_size"}  # fmt: skip


def shape_of(model: Any) -> dict[str, object]:
    """Columns of a case from a model's configuration, and the rank of its adapters."""
    config = getattr(model, "config", None)
    found = {ours: value for ours, theirs in SHAPE.items() if (value := getattr(config, theirs, None))}
    peft = next(iter(getattr(model, "peft_config", {}).values()), None)
    rank = getattr(peft, "r", None)
    tied = int(bool(getattr(config, "tie_word_embeddings", False)))
    return (
        {**found, "gated_mlp": 1, "tied_embeddings": tied, **({"lora_rank": rank, "method": "lora"} if rank else {})}
        if found
        else {}
    )


def _peak_bytes() -> float:
    """What CUDA's allocator held at most, where CUDA is [B]."""
    torch = sys.modules.get("torch")
    return float(torch.cuda.max_memory_allocated()) if torch is not None and torch.cuda.is_available() else 0.0


class watching(AbstractContextManager["Watched"]):  # noqa: N801 - reads as a statement
    """The same for a loop of one's own.

    `with watching(total=1000, model="8b", gpu="8xh100", seq_len=2048) as run:` and `run.step()` after each step.
    """

    def __init__(self, total: int, report_after: int = 20, keep: bool = True, **fields: object) -> None:
        self.total, self.watched = total, Watched(fields, report_after, keep)

    def __enter__(self) -> Watched:
        self.watched.begin(self.total)
        return self.watched

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.watched.end(_peak_bytes())
