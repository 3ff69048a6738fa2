"""Training frameworks by name: which kernels they run, what states they keep, how they count FLOP. Open vocabulary."""

from typing import Literal, NamedTuple

from estimator.catalog.files import cached, preset_files, rows, source_of
from estimator.errors import UnknownName
from estimator.formulas.step_memory import Loss
from estimator.records import Source

Kernels = Literal["compiled", "fused", "eager"]
States = Literal["megatron", "megatron-bf16", "deepspeed", "mixed", "amp", "pure", "pure-master", "pure-lora"]


class Framework(NamedTuple):
    """Habits of a training framework.

    kernels: how element-wise passes run: compiled into few kernels, some fused by hand, or one by one (eager)
    cudnn: whether attention uses kernels written for the newest generations (see generations.csv)
    early_attention: whether it uses those of the first FlashAttention, or adds biases to the scores
    states: which precision weights, gradients, masters and moments have (see formulas.memory)
    fused_step: whether the optimizer works in place, without temporaries
    sequence_parallel: whether tensor parallelism also splits norms and residuals (arXiv:2205.05198)
    counts_recompute, counts_causal: how it reports FLOP: recomputation added, causal attention halved
    reads_allocated: whether its reported peak leaves out what the allocator keeps and the context
    overlap: whether messages run beside products by default
    model_parallel: whether it splits layers, their experts or the stack of them, not data alone
    interleaves: whether pipelines run in several chunks a stage unless told otherwise; of an unnamed one, where it pays
    light_selective: whether selective recomputation redoes attention and passes over memory only, not products
    keeps_projections: whether it keeps inputs, queries, keys and values alone, and redoes all else of a layer
    tensor_gathers: whether sharded weights are gathered one tensor at a time, from Python
    loss: how logits become the loss (see formulas.step_memory.logit_bytes)
    splits_vocabulary: whether each tensor-parallel rank keeps its share of the logits; others gather all of them
    widens_frozen: whether what stays unquantised under a 4-bit base is fp32 (PEFT's preparation for k-bit training)
    keeps_frozen_inputs: whether inputs of frozen layers wait for the backward pass, which does not need them
    inputs_in_host: whether the inputs of recomputed layers wait in host memory
    accumulates_whole: whether sharded gradients wait whole until the last micro-batch of a step
    step_copies_bytes: of gradients and moments that are copied whole while the optimizer steps, of a parameter [B]
    buckets: whether gradients are reduced out of buckets of half a billion values, two at a time
    expandable: whether the allocator's segments grow, so that blocks of one moment serve any other
    splits_root: whether FSDP gathers embeddings and output projection each on its own, not as one until the end
    unties: whether the output projection has weights of its own where an LLM shares those of its embeddings
    pace: the framework whose fitted factor of time it shares, its own unless it is like another
    loop: the framework whose loop it runs, so that runs of that one say how sure it is; its own unless it is that code
    known: False for a name that nothing matches
    """

    name: str
    kernels: Kernels = "fused"
    cudnn: bool = False
    early_attention: bool = False
    states: States = "mixed"
    fused_step: bool = False
    sequence_parallel: bool = True
    counts_recompute: bool = False
    counts_causal: bool = False
    reads_allocated: bool = False
    overlap: bool = False
    model_parallel: bool = True
    interleaves: bool = True
    light_selective: bool = True
    keeps_projections: bool = False
    tensor_gathers: bool = False
    loss: Loss = "whole"
    splits_vocabulary: bool = True
    widens_frozen: bool = False
    keeps_frozen_inputs: bool = False
    inputs_in_host: bool = False
    accumulates_whole: bool = False
    step_copies_bytes: float = 0.0
    buckets: bool = False
    expandable: bool = False
    splits_root: bool = False
    unties: bool = False
    pace: str = ""
    loop: str = ""
    source: str = ""
    known: bool = False


@cached
def framework(name: str) -> Framework:
    """Habits of the framework that `name` contains; those of a usual one, `known=False`, when none does.

    >>> framework("HF Trainer+PEFT").kernels, framework("my own loop").known
    ('eager', False)
    """
    spelled = name.strip().lower()
    found = next((row for row in _rows() if row["match"] in spelled), None)
    return _read(found) if found else Framework(name="")


def framework_names() -> list[str]:
    """All frameworks whose habits are known; a name that holds one of them is read as the first it holds."""
    return [row["match"] for row in _rows()]


def named_framework(name: str) -> str:
    """The name, of a framework whose habits are known, or empty for none in particular. Raises UnknownName.

    >>> named_framework("HF Trainer"), named_framework("")
    ('HF Trainer', '')
    """
    if name and not framework(name).known:
        listed = "`estimator catalog frameworks` lists them all."
        raise UnknownName("training framework", name, framework_names(), listed)
    return name


def _rows() -> list[dict[str, str]]:
    return [row for path in preset_files("frameworks.csv") for row in rows(path)]


def _read(row: dict[str, str]) -> Framework:
    return Framework(
        name=row["match"],
        kernels=row["kernels"],  # type: ignore[arg-type]  # the file's values are checked by its test
        cudnn=row["attention"] == "cudnn",
        early_attention=row["attention"] == "flash1",
        states=row["states"],  # type: ignore[arg-type]
        fused_step=row["optimizer_step"] == "fused",
        sequence_parallel=row["sequence_parallel"] == "1",
        counts_recompute=row["flop_convention"] == "hardware",
        counts_causal=row["attention_counted"] == "causal",
        reads_allocated=row["memory_reading"] == "allocated",
        overlap=row["overlap"] == "1",
        model_parallel=row["model_parallel"] == "1",
        interleaves=row["interleaves"] == "1",
        light_selective=row["selective"] == "attention",
        keeps_projections=row["selective"] == "all but projections",
        loss=row["loss"],  # type: ignore[arg-type]
        splits_vocabulary=row["vocabulary"] == "split",
        widens_frozen=row["kbit"] == "fp32",
        keeps_frozen_inputs=row["frozen_inputs"] == "kept",
        inputs_in_host=row["frozen_inputs"] == "host",
        accumulates_whole=row["accumulation"] == "whole",
        step_copies_bytes=float(row["step_copies_bytes"]),
        buckets=row["buckets"] == "1",
        expandable=row["segments"] == "expandable",
        splits_root=row["root"] == "split",
        unties=row["ends"] == "apart",
        tensor_gathers=row["gathers"] == "tensors",
        pace=row["pace_of"] or row["match"],
        loop=row["pace_of"] if row["loop"] == "same" else row["match"],
        source=row["source"],
        known=True,
    )


class Packing(NamedTuple):
    """What a framework does with samples shorter than its rows unless told: packs them (on), or pads (off)."""

    word: str
    source: Source


@cached
def packing_of(name: str) -> Packing:
    """What the framework that `name` contains does by default; one that nobody looked up pads.

    >>> packing_of("HF Trainer").word, packing_of("Megatron-LM").word
    ('off', 'on')
    """
    spelled = name.strip().lower()
    found = [row for path in preset_files("framework_packing.csv") for row in rows(path)]
    row = next((row for row in found if row["match"] in spelled), found[-1])
    return Packing(row["packing"], source_of(row))
