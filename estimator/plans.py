"""What the user asks: the inputs of every stage, checked. Defaults come from presets/scenario.toml, never from here.

A number may be given alone, or with its 80 % range as (low, value, high).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core.core_schema import ValidationInfo

from estimator.errors import InvalidInput, UnknownName, clipped, nearest


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with the ends of its 80 % range, and why it is what it is."""

    value: float
    low: float | None = None
    high: float | None = None
    why: str = ""
    given: bool = False


def amount(unit: str, least: float, most: float, factor: str = "") -> Any:
    """A numeric field: its unit, its bounds, and what makes it uncertain."""
    return Field(json_schema_extra={"unit": unit, "least": least, "most": most, "factor": factor})


class Plan(BaseModel):
    """Base of all plans: frozen, no unknown fields, numbers with bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @field_validator("*", mode="before")
    @classmethod
    def _checked(cls, raw: Any, info: ValidationInfo) -> Any:
        extra = cls.model_fields[str(info.field_name)].json_schema_extra
        if not isinstance(extra, dict):
            return raw["value"] if isinstance(raw, Mapping) and "value" in raw else raw
        number = _amount(raw)
        least, most = float(str(extra["least"])), float(str(extra["most"]))
        for end in (number.value, number.low, number.high):
            if end is not None and not (math.isfinite(end) and least <= end <= most):
                unit = "" if extra["unit"] == "1" else f" {extra['unit']}"
                raise ValueError(f"must be between {least:g} and {most:g}{unit}, not {end:g}")
        if not (number.low or number.value) <= number.value <= (number.high or number.value):
            raise ValueError(f"the range {number.low:g} to {number.high:g} does not hold the value {number.value:g}")
        return number


def _amount(raw: Any) -> Amount:
    if isinstance(raw, Amount):
        return raw
    if isinstance(raw, Mapping):
        return Amount(_number(raw["value"]), raw.get("low"), raw.get("high"), raw.get("why", ""))
    if isinstance(raw, tuple | list) and len(raw) == 3:
        low, value, high = map(_number, raw)
        return Amount(value, low, high, given=True)
    return Amount(_number(raw), given=True)


def _number(raw: Any) -> float:
    try:
        return float(raw.replace("_", "")) if isinstance(raw, str) else float(raw)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"must be a number, not {clipped(raw)}") from None


class TrafficPlan(Plan):
    """How often the system is asked, and how long questions and answers are."""

    requests_per_month: Amount = amount("1", 0, 1e12, "traffic")
    growth_per_month: Amount = amount("1", -0.5, 2.0)
    peak_to_mean: Amount = amount("1", 1, 1000)
    prompt_tokens: Amount = amount("token", 1, 1e7, "prompt length")
    output_tokens: Amount = amount("token", 1, 1e6, "output length")
    horizon_months: Amount = amount("month", 1, 120)


class ServingChoices(Plan):
    """How answers are served."""

    engine: str
    weight_precision: str
    target_utilisation: Amount = amount("1", 0.01, 1)
    billing: Literal["replicas", "per-use"]
    prefix_cache: bool
    cache_hit_rate: Amount = amount("1", 0, 1)
    retries: Amount = amount("1", 0, 10)


class PeoplePlan(Plan):
    """Whose time it takes, and what it costs."""

    rate_usd_per_hour: Amount = amount("USD/h", 0, 10_000, "people's rate")
    label_rate_usd_per_hour: Amount = amount("USD/h", 0, 10_000, "people's rate")
    staff: Amount = amount("1", 0.05, 10_000)
    working_hours_per_week: Amount = amount("h/week", 1, 168)


class MoneyPlan(Plan):
    """Prices that belong to no single accelerator or API."""

    contingency: Amount = amount("1", 0, 5)
    storage_usd_per_gb_month: Amount = amount("USD/GB/month", 0, 100, "service price")
    memory_usd_per_gb_month: Amount = amount("USD/GB/month", 0, 1000, "service price")
    cpu_usd_per_core_hour: Amount = amount("USD/h", 0, 100, "service price")
    grid: str
    facility: str


class PromptPlan(Plan):
    """Prompt engineering."""

    instruction_tokens: Amount = amount("token", 0, 1e7, "prompt length")
    examples: Amount = amount("1", 0, 10_000)
    tokens_per_example: Amount = amount("token", 0, 1e6, "prompt length")
    output_growth: Amount = amount("1", 0.1, 100)
    iterations: Amount = amount("1", 0, 100_000, "attempts")
    evaluation_samples: Amount = amount("1", 0, 1e7)
    prompt_setup_hours: Amount = amount("h", 0, 1e6, "people's effort")
    hours_per_iteration: Amount = amount("h", 0, 10_000, "people's effort")
    label_minutes_per_evaluation: Amount = amount("min", 0, 10_000, "people's effort")
    optimiser: Literal["none", "mipro-light", "mipro-medium", "mipro-heavy", "ape", "opro"]
    prompt_upkeep_hours_per_month: Amount = amount("h/month", 0, 100_000, "people's effort")


class RagPlan(Plan):
    """Retrieval-augmented generation."""

    corpus_gb: Amount = amount("GB", 1e-9, 1e9, "data volume")
    text_kind: str
    tokenizer: str
    chunk_tokens: Amount = amount("token", 8, 1e6)
    overlap_tokens: Amount = amount("token", 0, 1e6)
    embedding_model: str
    embedding_accelerator: str
    index: str
    vector_dtype: str
    vector_store: str
    index_cores: Amount = amount("1", 1, 100_000)
    top_k: Amount = amount("1", 1, 10_000, "prompt length")
    rerank_model: str
    rerank_candidates: Amount = amount("1", 1, 100_000)
    rag_instruction_tokens: Amount = amount("token", 0, 1e6)
    refresh_per_month: Amount = amount("1", 0, 100, "data volume")
    rag_setup_hours: Amount = amount("h", 0, 1e6, "people's effort")
    rag_upkeep_hours_per_month: Amount = amount("h/month", 0, 100_000, "people's effort")
    rag_evaluation_samples: Amount = amount("1", 0, 1e7)


Method = Literal["full", "lora", "qlora"]
Objective = Literal["sft", "dpo", "grpo", "ppo"]


class FinetunePlan(Plan):
    """Fine-tuning."""

    method: Method
    objective: Objective
    samples: Amount = amount("1", 1, 1e12, "data volume")
    tokens_per_sample: Amount = amount("token", 1, 1e7, "data volume")
    epochs: Amount = amount("1", 0.01, 10_000)
    attempts: Amount = amount("1", 1, 10_000, "attempts")
    finetune_seq_len: Amount = amount("token", 16, 1e7)
    finetune_batch: Amount = amount("1", 1, 1e6)
    lora_rank: Amount = amount("1", 1, 65_536)
    finetune_precision: str
    optimizer: str
    deployment: Literal["merged", "unmerged", "dedicated"]
    label_minutes_per_sample: Amount = amount("min", 0, 10_000, "people's effort")
    finetune_setup_hours: Amount = amount("h", 0, 1e6, "people's effort")
    finetune_evaluation_samples: Amount = amount("1", 0, 1e7)
    retrainings_per_year: Amount = amount("1/year", 0, 10_000)
    finetune_upkeep_hours_per_month: Amount = amount("h/month", 0, 100_000, "people's effort")
    generations: Amount = amount("1", 1, 100_000)
    completion_tokens: Amount = amount("token", 1, 1e7)


class PretrainPlan(Plan):
    """Pre-training, from scratch or continued."""

    training_tokens: Amount = amount("token", 0, 1e17)
    unique_tokens: Amount = amount("token", 0, 1e17)
    continued: bool
    continued_tokens: Amount = amount("token", 1, 1e17)
    deadline_days: Amount = amount("day", 0.01, 36_500)
    pretrain_seq_len: Amount = amount("token", 16, 1e7)
    batch_tokens: Amount = amount("token", 16, 1e12)
    pretrain_precision: str
    pretrain_optimizer: str
    kept_yield: Amount = amount("1", 1e-6, 1, "data volume")
    curation_core_hours_per_tb: Amount = amount("h/TB", 0, 1e9, "data volume")
    experiment_share: Amount = amount("1", 0, 100, "attempts")
    failures_per_1000_node_days: Amount = amount("1", 1e-6, 1e6, "reliability")
    restart_minutes: Amount = amount("min", 0, 100_000, "reliability")
    checkpoint_write_s: Amount = amount("s", 0.001, 1e6, "reliability")
    checkpoints_kept: Amount = amount("1", 0, 1e6)
    pretrain_setup_hours: Amount = amount("h", 0, 1e8, "people's effort")
    pretrain_staff: Amount = amount("1", 0.05, 10_000)
    pretrain_upkeep_hours_per_month: Amount = amount("h/month", 0, 1e6, "people's effort")


class Scenario(Plan):
    """Everything a comparison assumes beside the LLM and the hardware."""

    traffic: TrafficPlan
    serving: ServingChoices
    people: PeoplePlan
    money: MoneyPlan
    prompt: PromptPlan
    rag: RagPlan
    finetune: FinetunePlan
    pretrain: PretrainPlan


def scenario(defaults: Mapping[str, Any], **changes: Any) -> Scenario:
    """The default scenario with some inputs changed by name; raises InvalidInput in one line.

    Names are unique across sections, so `samples=2000` needs no prefix; `finetune.samples` works too.
    """
    merged = {section: dict(fields) for section, fields in defaults.items()}
    for name, raw in changes.items():
        section, field = _locate(name, merged)
        merged[section][field] = raw
    try:
        return Scenario.model_validate(merged)
    except ValidationError as error:
        raise InvalidInput(_one_line(error)) from None


def _locate(name: str, sections: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    wanted = name.replace("-", "_")
    for section, fields in sections.items():
        for field in fields:
            if wanted in (field, f"{section}.{field}"):
                return section, field
    known = [field for fields in sections.values() for field in fields]
    raise UnknownName("input", name, known, "`estimator catalog inputs` lists them all.")


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    reason = str(first["msg"]).removeprefix("Value error, ")
    allowed = _choices(name)
    if allowed:
        guess = nearest(str(first["input"]), allowed)
        hint = f" Did you mean {guess[0]!r}?" if guess else ""
        reason = f"must be one of {', '.join(allowed)}, not {clipped(first['input'])}.{hint}"
    return f"{name}: {reason}"


def _choices(name: str) -> tuple[str, ...]:
    section, _, field = name.partition(".")
    plan = Scenario.model_fields[section].annotation
    if isinstance(plan, type) and issubclass(plan, BaseModel) and field in plan.model_fields:
        return tuple(value for value in get_args(plan.model_fields[field].annotation) if isinstance(value, str))
    return ()
