"""From what a run's files say to a training plan: what follows from world size, formats and strategies."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from estimator.catalog.frameworks import Framework, framework
from estimator.catalog.optimizers import optimizer
from estimator.catalog.own_code import code_under
from estimator.catalog.precisions import precision, sixteen_bits
from estimator.configs import Run
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.formulas.training import LINEARS, unknown_targets
from estimator.predict.training import TrainingPlan
from estimator.predict.training_plan import unrecomputed
from estimator.records import Architecture, Cluster
from estimator.verdict.generated import LEFT_OUT, Generation, generation

USUAL_LENGTH = 2048  # tokens of a row where neither the files nor the tool's default say it
OVER_HF = ("hf trainer", "trl", "axolotl", "llama-factory", "swift", "accelerate", "peft")  # share the Trainer's habits
PROJECTION = re.compile(r"(?<![a-z])(q|k|v|o|gate|up|down)(?=_proj|[|)])")
ALONE = "none"
PAIRS = ("dpo", "orpo", "rm")
# Fields of a plan that no tool's configuration settles.
UNASKED = ("passages_per_query", "query_len", "reward_model", "logits_to_keep")
METHODS = ("full", "lora", "qlora")


@dataclass(slots=True)
class Planned:
    """A plan with what it rests on.

    copies: frozen models beside it; habits: in memory, if not the framework's; rows: of a sample
    generation: of the answers that are learnt from, where it is counted in
    """

    plan: TrainingPlan
    settled: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    copies: float = 0.0
    habits: Framework | None = None
    widening: float = 1.0
    rows: float = 1.0
    generation: Generation | None = None


def world(settings: Mapping[str, Any]) -> int | None:
    """Accelerators of the run by its files; None where they leave it open [1]."""
    if settings.get("accelerators"):
        return int(settings["accelerators"])
    parallel = 1
    for name in ("tp", "pp", "cp"):
        parallel *= int(settings.get(name) or 1)
    if settings.get("shard", -1) > 1:
        parallel = max(parallel, int(settings["shard"]) * parallel)
    if settings.get("ranks"):
        return int(settings["ranks"]) * parallel
    if settings.get("per_node"):
        each = int(settings["per_node"])
        return each * int(settings.get("nodes") or -(-parallel // each))
    return parallel if parallel > 1 else None


def planned(run: Run, llm: Architecture, cluster: Cluster) -> Planned:
    """The training plan of a run on some accelerators. Raises InvalidInput where its parts contradict each other."""
    said = dict(run.settings)
    notes: list[str] = []
    method, stored = _method(run, llm)
    strategy = said.get("strategy") or ("fsdp" if (said.get("zero") or 0) >= 2 else "")
    framework_name = _framework(run, strategy, method)
    tp, pp, cp = (int(said.get(name) or 1) for name in ("tp", "pp", "cp"))
    if cluster.count % (tp * pp * cp):
        raise InvalidInput(
            f"tp x pp x cp = {tp * pp * cp} does not divide {cluster.count} accelerators: give --gpu with their count"
        )
    dp = cluster.count // (tp * pp * cp)
    objective = str(said.get("objective") or "sft")
    rows = rows_of(said)
    micro, batch = _batches(_by_device(said, cluster.count, dp), dp, notes)
    plan = TrainingPlan(
        seq_len=_length(said, llm, notes),
        micro_batch=None if micro is None else micro * rows,
        global_batch=batch * rows * (float(said.get("generations") or 1) if said.get("batch_of_prompts") else 1.0),
        tp=tp,
        pp=pp,
        vpp=_chunks(said, llm, pp),
        cp=cp,
        ep=int(said.get("ep") or 1) if llm.experts else 1,
        zero=_zero(said, strategy),
        shard=said.get("shard"),
        recompute=said.get("recompute") or ALONE,
        precision=_precision(run, method, strategy, framework_name),
        method=method,
        lora_rank=int(said.get("lora_rank") or 16),
        lora_targets=_targets(said, notes),
        weight_precision=stored,
        optimizer=_optimizer(said, notes),
        cpu_offload=_offload(said, strategy),
        fused_attention=bool(said.get("fused_attention", True)),
        framework=framework_name,
        reward_model=objective == "rm",
        logits_to_keep=int(said.get("part_len") or 0) * bool(objective == "grpo" and said.get("keeps_answer")),
    )
    notes += unrecomputed(llm, plan)
    if "bf16" in plan.precision and sixteen_bits(cluster.accelerator) != "bf16":
        notes.append(f"{cluster.accelerator.name} has no units for bf16, and most trainers refuse it there: say fp16")
    copies = 1.0 if objective in ("dpo", "kto") and method == "full" else 3.0 if objective == "ppo" else 0.0
    made_by = generation(said) if objective in ("grpo", "ppo") else None
    if objective in ("grpo", "ppo") and made_by is None:
        notes.append(LEFT_OUT)
    if said.get("layers_trained", -1) not in (-1, None) and said["layers_trained"] < llm.layers:
        notes.append(
            f"adapters are on the last {said['layers_trained']} layers of {llm.layers}: less is kept than said here"
        )
    if said.get("targets_more"):
        notes.append("adapters on experts are not counted in")
    settled = {name: getattr(plan, name) for name in plan.__slots__ if name not in UNASKED}
    settled |= {"objective": objective, "packed": bool(said.get("packed"))}
    return Planned(plan, settled, notes, copies, _habits(run, framework_name), run.widening, rows, made_by)


def as_run(llm: Architecture, run: Run) -> Architecture:
    """The LLM with its own code as the tool runs it, in the releases that the files can be of."""
    own = str(run.settings.get("framework") or run.tool.framework)
    code = code_under(llm.own_code, own, str(run.settings.get("release") or ""))
    return llm._replace(own_code=(code._replace(framework="", release=""),)) if code else llm


def rows_of(said: Mapping[str, Any]) -> float:
    """Rows that a sample of the tool is [1]: of a preference what is chosen and what is rejected."""
    return 2.0 if said.get("objective") in PAIRS else 1.0


def _habits(run: Run, framework_name: str) -> Framework | None:
    """What memory follows where a kernel of another framework computes the loss, or logits are of no use."""
    if run.settings.get("value_head"):
        return framework(framework_name)._replace(loss="unlearnt")
    fused = bool(run.settings.get("fused_loss")) and framework_name not in ("liger", "unsloth")
    return framework(framework_name)._replace(loss=framework("liger").loss) if fused else None


def _by_device(said: Mapping[str, Any], count: int, dp: int) -> Mapping[str, Any]:
    """What is said, where batches are given by accelerator or by rank instead of by micro-batch and step."""
    found = dict(said)
    if each := said.get("device_batch"):
        shared = each * count / dp  # samples of a rank, whose accelerators share them
        found |= {
            "micro_batch": max(shared, 1.0),
            "global_batch": max(each * count, 1.0) * (said.get("accumulation") or 1),
        }
    if whole := said.get("rank_batch"):
        micro = found.get("micro_batch") or 1
        steps = said.get("accumulation") or max(whole // micro, 1)
        if steps * micro != whole:
            raise InvalidInput(
                f"the batch sizes contradict each other: {whole:g} of a rank is no {micro:g} x {steps:g}"
            )
        found["accumulation"] = steps
    return found


def _batches(said: Mapping[str, Any], dp: int, notes: list[str]) -> tuple[float | None, float]:
    """Micro-batch, None where it is open, and global batch in samples. Raises InvalidInput for a contradiction."""
    micro, steps, whole = said.get("micro_batch"), said.get("accumulation"), said.get("global_batch")
    for name, value in (("micro-batch", micro), ("accumulation", steps), ("global batch", whole)):
        if value is not None and value < 1:
            raise InvalidInput(f"the {name} must be at least 1, not {value:g}")
    if micro and steps and whole and micro * steps * dp != whole:
        raise InvalidInput(
            f"the batch sizes contradict each other: {micro:g} x {steps:g} x {dp} ranks is {micro * steps * dp:g}, "
            f"but the global batch is {whole:g}"
        )
    if whole and micro and whole % (micro * dp):
        notes.append(
            f"a global batch of {whole:g} is no multiple of {micro:g} x {dp} ranks: it is taken as the next one"
        )
        whole = micro * dp * max(-(-whole // (micro * dp)), 1)
    if whole:
        return micro, float(whole)
    return micro, float((micro or 1) * (steps or 1) * dp)


def _method(run: Run, llm: Architecture) -> tuple[str, str | None]:
    """full, lora or qlora, and how frozen weights are stored (None: in 16 bits)."""
    said = run.settings
    bits = str(said.get("base_bits") or "")
    adapters = bool(said.get("adapters")) or _read(run, "lora_rank") or _read(run, "lora_targets")
    method = said.get("method") or ("lora" if adapters or bits else "full")
    if method not in METHODS:
        raise InvalidInput(f"the method must be one of {', '.join(METHODS)}, not {clipped(method)}")
    if method == "full":
        return "full", None
    if bits == "4" or (method == "qlora" and not bits):
        return "qlora", said.get("base_format") or "nf4"
    published = _quantised(llm)
    if published and not said.get("loads_read") and not bits:
        return "lora", published
    return "lora", "int8" if bits == "8" else f"int{bits}" if bits and bits != "16" else None


def _quantised(llm: Architecture) -> str | None:
    """The format that a checkpoint's layers are published in, where it is below 16 bits."""
    name = llm.published.feed_forward
    return name if precision(name).bits < 15 else None


def _read(run: Run, name: str) -> bool:
    found = run.came_from(name)
    return bool(found and found.status == "read")


def _framework(run: Run, strategy: str, method: str) -> str:
    """Whose kernels and states: the tool's, or of what it was told to use instead."""
    said = run.settings
    own = str(said.get("framework") or run.tool.framework)
    if own not in OVER_HF:
        return own
    if said.get("unsloth"):
        return "unsloth"
    if strategy == "deepspeed" and method == "full":
        return "deepspeed"
    return "liger" if said.get("fused_loss") else own


def _precision(run: Run, method: str, strategy: str, framework_name: str) -> str:
    """Products' format, with what trained or frozen weights are kept in (amp: fp32; true: that format alone)."""
    said = run.settings
    loads = str(said.get("loads") or "bf16")
    compute = str(said.get("compute") or loads)
    if said.get("fp8"):
        return "fp8"
    if compute == "fp32":
        return "fp32"
    if method != "full":
        return f"amp_{compute}" if loads == "fp32" and not said.get("base_bits") else compute
    if said.get("masters") == "pure":
        return f"{compute}-true"
    if framework(framework_name).states != "pure":
        return compute
    kept = said.get("masters") == "fp32" or loads == "fp32" or strategy in ("fsdp", "deepspeed")
    return f"amp_{compute}" if kept else f"{compute}-true"


def _zero(said: Mapping[str, Any], strategy: str) -> int:
    if said.get("zero") is not None:
        return int(said["zero"])
    return {"fsdp": 3, "deepspeed": 2}.get(strategy, 0)


def _chunks(said: Mapping[str, Any], llm: Architecture, pp: int) -> int:
    if said.get("vpp"):
        return int(said["vpp"])
    if said.get("chunk_layers") and pp > 1:
        return max(int(llm.layers // pp // said["chunk_layers"]), 1)
    return 1


def _length(said: Mapping[str, Any], llm: Architecture, notes: list[str]) -> int:
    length = said.get("seq_len")
    if length is None:
        length = min(USUAL_LENGTH, llm.max_context or USUAL_LENGTH)
        notes.append(f"no length is given: rows of {length:,} tokens are assumed")
    if said.get("objective") in ("grpo", "ppo") and said.get("prompt_len"):
        length = int(said["prompt_len"])  # to which the answer is added
    if length < 1:
        raise InvalidInput(f"the length of a sequence must be at least 1, not {length}")
    return int(length) + int(said.get("part_len") or 0)


def _targets(said: Mapping[str, Any], notes: list[str]) -> str:
    """Linear layers that get adapters, in our words; all where the tool's words mean none of them."""
    text = str(said.get("lora_targets") or "all")
    text = ",".join(word for word in text.split(",") if "shared_expert" not in word) or text
    words = ",".join(word.rpartition(".")[2] for word in re.split(r"[,\s]+", text) if word)
    if words.replace("-", "_") in ("all_linear", "all"):
        return "all"
    known = [word for word in words.split(",") if word and not unknown_targets(word)]
    if not known:
        known = [name for name in LINEARS if name in PROJECTION.findall(text)]
    if not known:
        notes.append(f"adapters on {clipped(text, 60)} are taken for all linear layers")
        return "all"
    return ",".join(known)


def _optimizer(said: Mapping[str, Any], notes: list[str]) -> str:
    name = str(said.get("optimizer") or "adamw").rpartition(".")[2]
    plain = re.sub(r"[_-]?32-?bit$", "", name)
    for words in (plain, re.sub(r"(?<=adam)w?[_-]\w+$", "w", plain.lower())):
        try:
            optimizer(words)
            return words
        except (UnknownName, InvalidInput):
            continue
    notes.append(f"the optimizer {clipped(name)} is not known here: AdamW is assumed")
    return "adamw"


def _offload(said: Mapping[str, Any], strategy: str) -> str:
    """What waits in the host's memory; FSDP sends gradients and states there with the weights."""
    params = bool(said.get("offload_params"))
    states = bool(said.get("offload_optimizer")) or (params and strategy != "deepspeed")
    parts = {"optimizer": states, "params": params, "activations": bool(said.get("offload_activations"))}
    return "+".join(name for name, there in parts.items() if there)
