"""What a real training step keeps in memory, without a GPU: python benchmarks/memory_oracle.py [--measure]

Models of `transformers` (and adapters of `peft`) run forward, backward and an optimizer's step on fake tensors, which
have shapes and no values, while every storage is counted from its creation to its end: `--measure` does so for all
configurations and writes calibration/measured/step_memory.csv (some twenty minutes). Formulas (formulas.step_memory)
stand beside it, part by part, in the table of docs/accuracy.md. What it cannot see: rounding and fragmentation of an
allocator, the context of a GPU, and memory inside one kernel.
"""

import argparse
import contextlib
import csv
import datetime
import gc
import math
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from step_cases import BYTES, CHUNKS, MEASURED, PRECISIONS, Case, Found, parts, read, shape, table
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from transformers import masking_utils
from transformers.initialization import no_init_weights

from estimator.catalog.models import architecture
from estimator.formulas.training import targeted_linears

PART = MEASURED.with_suffix(".part")
PAGE = Path(__file__).parent.parent / "docs" / "accuracy.md"
MARKS = "<!-- step memory -->", "<!-- end of step memory -->"
# Kinds of LLM in `transformers`, by how names in the catalogue begin; the first that fits.
KINDS = {
    "qwen3-30b": "qwen3_moe",
    "qwen3": "qwen3",
    "qwen2.5": "qwen2",
    "gemma-2-": "gemma2",
    "gemma": "gemma",
    "mixtral": "mixtral",
    "mistral": "mistral",
    "": "llama",
}


class Alive(TorchDispatchMode):
    """Bytes of all storages that are alive, and of those with a value for each word of the vocabulary."""

    def __init__(self, vocab: int, least: int) -> None:
        super().__init__()
        self.vocab, self.least, self.seen = vocab, least, {}
        self.now = self.logits = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor)
        return out

    def count(self, tensor: torch.Tensor) -> None:
        """A storage from its first sight to its end."""
        storage = tensor.untyped_storage()
        if storage._cdata in self.seen:
            return
        size = storage.nbytes()
        whole = tensor.dim() > 1 and tensor.shape[-1] == self.vocab and tensor.numel() >= self.least
        self.seen[storage._cdata] = weakref.finalize(storage, self._end, storage._cdata, size, size * whole)
        self.now, self.logits = self.now + size, self.logits + size * whole
        self.most = max(self.most, self.now)

    def _end(self, key: int, size: int, of_logits: int) -> None:
        del self.seen[key]
        self.now, self.logits = self.now - size, self.logits - of_logits

    def phase(self) -> int:
        """The most since the last call."""
        most, self.most = self.most, self.now
        return most


def run(case: Case) -> Found:
    """A steady step: the optimizer has its states already."""
    with FakeTensorMode(), cuda_like():
        model = built(case)
        weights = [each for each in model.parameters() if each.requires_grad]
        optimizer = OPTIMIZERS[case.optimizer](weights)
        for each in weights:
            each.grad = torch.zeros_like(each)
        optimizer.step()
        optimizer.zero_grad()
        found = measured(case, model, optimizer)
    gc.collect()
    return found


def measured(case: Case, model: nn.Module, optimizer: torch.optim.Optimizer) -> Found:
    """Bytes of the step of a model that is ready for it."""
    vocab = architecture(case.model).vocab
    alive = Alive(vocab, case.seq_len * case.micro_batch * vocab // CHUNKS)
    held = [*model.parameters(), *model.buffers()]
    states = [each for state in optimizer.state.values() for each in state.values() if torch.is_tensor(each)]
    for each in (*held, *states):
        alive.count(each)
    forward = backward = saved = logits = 0
    autocast = torch.autocast("cpu", torch.bfloat16) if case.precision == "amp_bf16" else contextlib.nullcontext()
    with alive:
        for _ in range(case.micro_batches):
            before = alive.now
            ids = torch.randint(0, vocab, (case.micro_batch, case.seq_len))
            alive.phase()
            with autocast:
                loss = OF_LOSS[case.loss](model, ids)
            saved, logits, forward = alive.now - before - alive.logits, alive.logits, alive.phase()
            loss.backward()
            del loss
            backward = max(backward, alive.phase())
        optimizer.step()
    return Found(
        params=sum(each.numel() for each in model.parameters()),
        weights=stored(held),
        states=stored(states),
        gradients=stored([each.grad for each in model.parameters() if each.grad is not None]),
        saved=saved,
        logits=logits,
        forward=forward,
        backward=backward,
        step=alive.phase(),
    )


def stored(tensors: list[torch.Tensor]) -> int:
    """Bytes of tensors, those of tied ones once."""
    return sum({each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in tensors}.values())


# --- models ----------------------------------------------------------------------------------------------------------


def kind(case: Case) -> str:
    """Its kind in `transformers`."""
    return next(kind for start, kind in KINDS.items() if case.model.startswith(start))


def config(case: Case) -> transformers.PretrainedConfig:
    """A configuration of `transformers` from the catalogue's shape."""
    arch = shape(case)
    given: dict[str, Any] = {
        "hidden_size": arch.hidden,
        "intermediate_size": arch.ffn,
        "num_hidden_layers": arch.layers,
        "num_attention_heads": arch.heads,
        "num_key_value_heads": arch.kv_heads,
        "head_dim": arch.head_dim,
        "vocab_size": arch.vocab,
        "tie_word_embeddings": arch.tied_embeddings,
        "max_position_embeddings": 131_072,
        "use_cache": False,
    }
    if arch.experts:
        experts = arch.experts
        given |= {"num_experts": experts.experts, "num_local_experts": experts.experts}
        given |= {"num_experts_per_tok": experts.per_token, "moe_intermediate_size": experts.ffn}
    if kind(case) in ("mistral", "mixtral"):
        given["sliding_window"] = None
    return transformers.AutoConfig.for_model(kind(case), **given)


def built(case: Case) -> nn.Module:
    """The model, its trained weights marked, with adapters and recomputation."""
    dtype = torch.bfloat16 if case.precision == "bf16" else torch.float32
    with no_init_weights():
        model = transformers.AutoModelForCausalLM.from_config(
            config(case), dtype=dtype, attn_implementation=case.attention
        )
    model.tie_weights()
    base = model
    if case.lora_rank:
        model = adapted(case, model)
    if case.frozen_ends:
        for each in (base.get_input_embeddings(), base.get_output_embeddings()):
            each.requires_grad_(False)
    if case.recompute == "full":
        if case.lora_rank:
            base.enable_input_require_grads()  # as trainers do, or checkpointed blocks get no gradient
        base.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def adapted(case: Case, model: nn.Module) -> nn.Module:
    """The model with adapters beside its projections."""
    from peft import LoraConfig, get_peft_model

    names = [f"{name}_proj" for name in targeted_linears(case.lora_targets)]
    asked = LoraConfig(r=case.lora_rank, target_modules=names, lora_dropout=case.lora_dropout, init_lora_weights=False)
    return get_peft_model(model, asked, autocast_adapter_dtype=case.adapter_bytes == 4)


def whole(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """The loss as the model takes it."""
    return model(input_ids=ids, labels=ids).loss


def chunked_head(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """The loss in pieces, each projected again in the backward pass."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden, head = base.model(input_ids=ids).last_hidden_state.flatten(0, 1), base.get_output_embeddings().weight

    def piece(part: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(nn.functional.linear(part, weight).float(), target, reduction="sum")

    labels = nn.functional.pad(ids, (0, 1), value=-100)[..., 1:].flatten()
    parts = zip(hidden.chunk(CHUNKS), labels.chunk(CHUNKS), strict=True)
    losses = [checkpoint(piece, part, head, target, use_reentrant=False) for part, target in parts]
    return torch.stack(losses).sum() / ids.numel()


def adafactor(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    """As the Trainer of `transformers` sets it; PyTorch's own reads values, which fake tensors have not."""
    from transformers.optimization import Adafactor

    return Adafactor(weights, lr=1e-5, scale_parameter=False, relative_step=False)


OF_LOSS: dict[str, Callable[[nn.Module, torch.Tensor], torch.Tensor]] = {"whole": whole, "chunked head": chunked_head}
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adamw": lambda weights: torch.optim.AdamW(weights, foreach=False),
    "adamw foreach": lambda weights: torch.optim.AdamW(weights, foreach=True),
    "adamw fused": lambda weights: torch.optim.AdamW(weights, fused=True),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=1e-5, foreach=True),
    "sgd momentum": lambda weights: torch.optim.SGD(weights, lr=1e-5, momentum=0.9, foreach=True),
    "adafactor": adafactor,
}


@contextlib.contextmanager
def cuda_like() -> Iterator[None]:
    """On fake tensors and a CPU, what a GPU does: no mask for packed sequences, dropout's of a byte, weights moved."""

    def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, *_: Any, **__: Any) -> torch.Tensor:
        return torch.native_dropout(input, p, True)[0] if training and p > 0 else input

    def apply(self: nn.Module, change: Callable[[torch.Tensor], torch.Tensor], *_: Any, **__: Any) -> nn.Module:
        for child in self.children():
            child._apply(change)
        for name, weight in self._parameters.items():
            if weight is not None:
                self._parameters[name] = nn.Parameter(change(weight.detach()), weight.requires_grad)
        return self

    kept = masking_utils.find_packed_sequence_indices, nn.functional.dropout, nn.Module._apply
    masking_utils.find_packed_sequence_indices, nn.functional.dropout = (lambda *_, **__: None), dropout
    nn.Module._apply = apply  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices, nn.functional.dropout, nn.Module._apply = kept  # type: ignore[method-assign]


def cases() -> Iterator[Case]:
    """Configurations: each setting on its own for several LLMs, most with a few of their layers, and pairs of them."""
    for name in ("tinyllama-1.1b", "llama-3.2-1b", "qwen2.5-0.5b", "qwen3-0.6b", "gemma-2b"):
        yield from ordinary(Case(name, 6, micro_batch=2))
    for name in ("llama-3.1-8b", "llama-2-7b", "mistral-7b", "qwen2.5-7b", "qwen3-8b"):
        yield from ordinary(Case(name, 4), brief=True)
    for name in ("llama-3.2-1b", "llama-3.1-8b", "qwen3-0.6b", "gemma-2b"):
        yield from with_adapters(Case(name, 4, micro_batch=2, lora_rank=16))
    yield from (Case("mixtral-8x7b", 4, recompute=redone) for redone in ("none", "full"))
    for name in (
        "tinyllama-1.1b",
        "llama-3.2-3b",
        "qwen2.5-0.5b",
        "qwen3-0.6b",
        "gemma-2b",
        "llama-2-7b",
        "llama-3.1-8b",
    ):
        yield Case(name, recompute="full")
        yield Case(name, recompute="full", lora_rank=16, micro_batch=4)


def ordinary(base: Case, brief: bool = False) -> Iterator[Case]:
    """Everything trained: precision, recomputation, attention, loss, micro-batches, optimizers, ends."""
    for precision in PRECISIONS:
        yield from (replace(base, precision=precision, recompute=redone) for redone in ("none", "full"))
    yield replace(base, seq_len=8192, micro_batch=1, recompute="full")
    yield replace(base, micro_batches=2, recompute="full")
    yield replace(base, optimizer="adamw foreach", seq_len=512, micro_batch=1)
    if brief:
        return
    yield from (replace(base, attention="eager", recompute=redone) for redone in ("none", "full"))
    yield from (replace(base, loss="chunked head", recompute=redone) for redone in ("none", "full"))
    yield replace(base, frozen_ends=1, micro_batch=8)
    for name in ("adamw", "sgd", "sgd momentum", "adafactor"):
        yield replace(base, optimizer=name, seq_len=512, micro_batch=1)
    yield replace(base, precision="amp_bf16", optimizer="adamw foreach", seq_len=512, micro_batch=1)


def with_adapters(base: Case) -> Iterator[Case]:
    """Low-rank adapters: targets, ranks, dropout, width, precision, recomputation, attention, loss."""
    yield from (replace(base, lora_targets=targets) for targets in ("all", "q,v", "attention", "mlp"))
    yield from (replace(base, lora_rank=rank) for rank in (64, 256))
    yield from (replace(base, lora_dropout=0.05, adapter_bytes=value) for value in (2, 4))
    yield from (replace(base, adapter_bytes=2, lora_targets=targets) for targets in ("all", "q,v"))
    yield from (replace(base, precision=precision) for precision in ("amp_bf16", "fp32"))
    yield from (replace(base, recompute="full", loss=loss) for loss in OF_LOSS)
    yield replace(base, attention="eager")


def row(case: Case, found: Found, date: str) -> dict[str, Any]:
    """A line of the table of measurements."""
    versions = f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
    of_found = {BYTES.get(name, name): value for name, value in asdict(found).items()}
    told = {"source": f"benchmarks/memory_oracle.py, {versions}", "kind": "measured", "date": date}
    return {**asdict(case), **of_found, **told}


def main() -> None:
    """Measure if asked; write the table of the page from what was measured."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--measure", action="store_true", help="run all configurations anew")
    asked.add_argument("--only", help="run those whose description holds this text, and write nothing")
    options = asked.parse_args()
    if options.only is not None:
        print(table(list(measure(options.only))))
        return
    if options.measure:
        write(measure(known=dict(read(PART)) if PART.exists() else {}))
    of_page = PAGE.read_text(encoding="utf-8")
    (before, rest), end = of_page.split(MARKS[0]), MARKS[1]
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{table(read())}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


def measure(only: str = "", known: Mapping[Case, Found] | None = None) -> Iterator[tuple[Case, Found]]:
    """Configurations and what they hold; each that is not known yet is told with its error."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    for case in dict.fromkeys(cases()):
        if only in str(case):
            found = (known or {}).get(case) or run(case)
            print(f"{math.log(parts(case)['peak'] / found.peak):+.4f}", case, file=sys.stderr, flush=True)
            yield case, found


def write(runs: Iterable[tuple[Case, Found]]) -> None:
    """The measurements, a line as soon as it is known; a run that was stopped goes on where it was."""
    today = datetime.date.today().isoformat()
    with PART.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        for index, (case, found) in enumerate(runs):
            line = row(case, found, today)
            if not index:
                out.writerow(line)
            out.writerow(line.values())
            file.flush()
    PART.replace(MEASURED)


if __name__ == "__main__":
    main()
