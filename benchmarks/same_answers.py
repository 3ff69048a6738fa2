"""Whether every figure is what it was, to the last bit: python benchmarks/same_answers.py

`same_answers.json.gz` holds hundreds of questions and what was answered when it was saved: every number, layout and
choice, and which questions were refused. A change that should move no figure is checked against it; answers may gain
figures, and words may be put otherwise. Questions are read from the file, so that new inputs do not change them. It is
saved (--save, once the old file is removed) of a tree in which nothing else changes, DAY. A change that means to move
figures is named in KNOWN, with what it may move.

Constants fitted anew since are not what is asked about: the check runs on a copy of the tree with those of the day it
was saved, from the history (`--as-fitted` keeps today's, and shows what a fit moved).

Last bits hang on the processor and on NumPy too: where those differ from the file's, compare a commit with its parent.
"""

import argparse
import contextlib
import csv
import gzip
import io
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import estimator
from estimator.cli import main as command

SAVED = Path(__file__).with_suffix(".json.gz")
ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "calibration" / "published"
DAY = "88d880b"  # the commit whose answers are saved
FITTED = "calibration/fitted"

# Bugs that were put right since, by name: which figures of which questions that may have changed.
KNOWN: dict[str, Callable[[str, str], bool]] = {}

SHOWN = 20  # differences that are listed
FILE = "{file}"  # in a command's words: a file for its answer, made anew
NAMES = ("accelerator", "approach", "layout", "recommended", "stage", "status")  # words that are compared
SKIPPED = ("schema_version", "assumptions", "sources")

Question = dict[str, Any]  # {"words": of the command} | {"call": public function, "with": arguments} | {"cases": kind}
Figures = dict[str, Any]  # by path


# --- asking -----------------------------------------------------------------------------------------------------------


def title(question: Question) -> str:
    """A question in one line, which is its name."""
    if "words" in question:
        return " ".join(question["words"])
    if "call" in question:
        return f"{question['call']}({json.dumps(question['with'], sort_keys=True)})"
    return f"validate {question['cases']}"


def asked(question: Question) -> Figures:
    """The figures of the answer; `exit` alone where it is refused: 2, as the command's status."""
    try:
        if "words" in question:
            return _commanded(question["words"])
        return {"exit": 0, **figures(_called(question) if "call" in question else _cases(question))}
    except estimator.EstimatorError:
        return {"exit": 2}
    except Exception as error:  # a fault, which is a difference like any other
        return {"exit": type(error).__name__}


def _commanded(words: list[str]) -> Figures:
    out, place = io.StringIO(), tempfile.TemporaryDirectory()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()), place as folder:
        file = Path(folder) / "answer.csv"
        status = command([str(file) if word == FILE else word for word in words])
        found = _read_csv(file) if file.exists() else json.loads(out.getvalue() or "null")
    return {"exit": status, **(figures(found) if status == 0 else {})}


def _read_csv(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(lines)]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


ARRAYS = ("training_step", "serving")  # functions that take several values of an argument as an array


def _called(question: Question) -> Any:
    name, given = question["call"], dict(question["with"])
    if name == "sweep":
        return estimator.sweep(given.pop("table"), **given)
    several = np.array if name in ARRAYS else list if name == "layout" else tuple
    return getattr(estimator, name)(**{key: several(v) if isinstance(v, list) else v for key, v in given.items()})


def _cases(question: Question) -> dict[str, Any]:
    """Predictions of published runs by their ids, all at once, and how far off they are together."""
    with (PUBLISHED / f"{question['cases']}.csv").open(encoding="utf-8", newline="") as lines:
        rows = {row["id"]: row for row in csv.DictReader(lines)}
    chosen = [rows[one] for one in question["ids"]]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cases.csv"
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(chosen[0]))
            writer.writeheader()
            writer.writerows(chosen)
        found = estimator.validate(file).to_dict()
    return {case["id"]: case for case in found["cases"]} | {"overall": found["summary"]["overall"]}


# --- what is compared -------------------------------------------------------------------------------------------------


def figures(answer: Any) -> Figures:
    """Every number of an answer by its path, with names and layouts.

    >>> figures({"usd": {"value": 2.0, "unit": "USD"}, "lines": [1], "layout": {"offload": "all"}})
    {'usd/value': 2.0, 'lines/0': 1, 'layout/offload': 'all'}
    """
    return dict(_walked(answer, ()))


def _walked(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    value = _plain(value)
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in SKIPPED:
                yield from _walked(part, (*path, str(name)))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _walked(part, (*path, str(place)))
    elif path[-1:] == ("error",):  # of a row of a sweep
        yield "/".join(path), bool(value)
    elif not isinstance(value, str) or path[-1] in NAMES or "layout" in path:
        yield "/".join(path), value


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def differences(before: Figures, now: Figures) -> Iterator[tuple[str, str]]:
    """(path, what is different), of paths that were there before; numbers are the same when their bits are."""
    for path, value in before.items():
        if path not in now:
            yield path, f"{value!r} is gone"
        elif (type(value), repr(value)) != (type(now[path]), repr(now[path])):
            yield path, f"{value!r} is {now[path]!r} now"


# --- the file ---------------------------------------------------------------------------------------------------------


def here() -> dict[str, str]:
    """What last bits hang on, beside the code."""
    return {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}


def packed(answers: Iterable[tuple[Question, Figures]]) -> bytes:
    """The saved file: paths once for all answers of the same form, values once each."""
    forms: dict[tuple[str, ...], int] = {}
    places: dict[str, int] = {}
    values: list[Any] = []
    entries = []
    for question, found in answers:
        of = []
        for value in found.values():
            if (text := repr(value)) not in places:
                places[text] = len(values)
                values.append(value)
            of.append(places[text])
        entries.append({"question": question, "form": forms.setdefault(tuple(found), len(forms)), "values": of})
    content = {"made_with": here(), "forms": [list(form) for form in forms], "values": values, "answers": entries}
    return gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 9, mtime=0)


def unpacked(content: Mapping[str, Any]) -> list[tuple[Question, Figures]]:
    """The questions of the saved file with their answers."""
    values, forms = content["values"], content["forms"]
    return [
        (entry["question"], {path: values[i] for path, i in zip(forms[entry["form"]], entry["values"], strict=True)})
        for entry in content["answers"]
    ]


# --- the questions ----------------------------------------------------------------------------------------------------

SEED = 20261130
STAGES = ("prompt", "rag", "finetune", "pretrain")
COMBINATIONS = ("prompt+rag", "finetune+rag", "distil", "corpus-in-prompt")
SMALL = {"distil": " --set student=qwen2.5-0.5b", "corpus-in-prompt": " --set corpus_tokens=2500"}  # most can be done
MACHINES = """7b a100|8b 8xh100|13b l4|70b mi300x|mixtral-8x7b 8xa100|deepseek-v3 h200|deepseek-v2-lite 2xh100
gpt-oss-20b l40s|gemma-2-9b tpu-v5e|mistral-7b-v0.1 a10g|qwen2.5-0.5b t4|qwen3-30b-a3b 4xh100|llama-4-scout b200
phi-3-mini gaudi3|1.3b 64xa100|70b 256xtpu-v5p|llama-3.1-405b 512xh100|8b apple-m2-ultra
7b rtx-4090 --price-per-hour 0.4|13b 4xrtx-4090 --purchase-price 1800|8b rtx-3090 --purchase-price 900 --years 3
3b rtx-4090""".replace("\n", "|").split("|")
APIS = ["openai:gpt-4o-mini", "openai:gpt-4.1", "anthropic:claude-haiku-4-5", "google:gemini-2.5-flash"]
APIS += ["mistral:mistral-small-latest", "deepseek:deepseek-chat", "together:Qwen/Qwen2.5-7B-Instruct-Turbo"]
PAID = """--price-per-hour 2.5|--purchase-price 25000|--purchase-price 25k --years 5 --electricity 0.3|--provider aws
--commitment spot|--commitment reserved-1y|--commitment reserved-3y --provider aws|--provider gcp|--billing autoscaled
--billing per-use|--billing autoscaled --set least_replicas=0|--billing autoscaled --set requests_per_month=5m
--currency EUR=0.92@2026-11-01|--currency JPY=151.3@2026-10-15 --level 0.9|--level 95%|--level 0.5
--set contingency=0.15|--set growth_per_month=0.05|--set grid=france --set facility=gcp|--set batch_tier=true
--set weight_precision=fp8|--set weight_precision=awq|--set engine=sglang|--set engine=tensorrt-llm
--set prefix_cache=false|--set target_utilisation=0.4 --set retries=0.1""".replace("\n", "|").split("|")
TUNED = """method=full|method=qlora|method=lora lora_rank=64|objective=dpo|objective=grpo generations=16|objective=ppo
method=qlora objective=dpo|method=full objective=grpo completion_tokens=1k..2k..4k|method=full objective=ppo
method=lora objective=grpo|method=full optimizer=adamw_8bit|method=full optimizer=adafactor|optimizer=lion
method=full optimizer=muon|deployment=unmerged|deployment=dedicated|finetune_framework=unsloth method=qlora
finetune_framework=torchtune|finetune_framework=axolotl finetune_seq_len=8k|finetune_framework=megatron-core
finetune_precision=fp8 method=full|finetune_batch=512 epochs=1 samples=100k|finetune_seq_len=16384 tokens_per_sample=8k
retrainings_per_year=12 attempts=1|managed_usd_per_mtok=3""".replace("\n", "|").split("|")
RETRIEVED = """index=flat|index=ivf-flat|index=ivf-pq|index=hnsw-sq8|index=diskann|vector_dtype=float16
vector_dtype=int8 corpus_gb=20|corpus_gb=500|corpus_tokens=3e9|corpus_words=2e8 'text_kind=python code'
embedding_model=bge-m3|embedding_model=all-minilm-l6-v2 embedding_accelerator=t4|rerank_model=bge-base-en-v1.5
embedding_model=e5-mistral-7b|embedding_model=qwen3-embedding-0.6b vector_engine=qdrant|vector_engine=pgvector
vector_engine=milvus keyword_search=true|vector_engine=weaviate index_replicas=3|vector_store=pinecone
vector_engine=opensearch corpus_gb=50|chunk_tokens=1000 overlap_tokens=200 top_k=10|index_ef=256 index_cores=32
rerank_model=bge-m3 rerank_candidates=100|refresh_per_month=1 requests_per_month=10m
corpus_gb=2 'text_kind=chinese prose' tokenizer=qwen2.5|embedding_model=openai:text-embedding-3-small""".replace(
    "\n", "|"
).split("|")
PRETRAINED = """training_tokens=100b|training_tokens=1t deadline_days=90|continued=true|pretrain_framework=megatron-core
continued=true continued_tokens=1b|pretrain_precision=fp8|pretrain_framework=torchtitan pretrain_seq_len=8192
unique_tokens=20b training_tokens=200b|pretrain_optimizer=muon|batch_tokens=1m deadline_days=7
failures_per_1000_node_days=20 restart_minutes=30|pretrain_precision=fp32|experiment_share=0.5 kept_yield=0.05
'pretrain_framework=hf trainer'""".replace("\n", "|").split("|")
RECOMMENDED = """|failure_mode=knowledge citations=yes|failure_mode=behaviour labelled_examples=2000|failure_mode=both
knowledge_changes=daily|strict_style=yes skills=ml|budget_upfront_usd=20000|budget_monthly_usd=1000 data_stays=yes
time_limit_days=20|own_weights=yes|base_llm=none domain_tokens=50b skills=research|ttft_limit_s=0.2|combine=no
task=whole-documents corpus_tokens=50k|usd_per_1000_limit=0.5 requests_per_month=5m|skills=none""".replace(
    "\n", "|"
).split("|")
TURNED = """--model 8b --fit serve|--model 70b --fit finetune --set method=full|--model 13b --fit pretrain
--model 70b --gpu a100,l40s,mi300x --fit serve|--gpu 8xh100 --largest llm|--gpu a100 --largest llm --task finetune
--gpu 64xh100 --largest llm --task pretrain|--model 8b --gpu l4 --largest context|--model 8b --gpu h100 --largest batch
--model mixtral-8x7b --gpu 4xa100 --largest context --users 16|--model 7b --gpu a100 --largest context --task finetune
--model deepseek-v2-lite --gpu h100 --largest batch|--model 1.3b --gpu 8xa100 --largest batch --task pretrain
--model 8b --gpu h100 --largest users --ttft 1 --tpot 0.03|--model gemma-2-9b --gpu a100 --largest users
--model 1.3b --gpu a100 --deadline 14d|--model 7b --gpu h100 --deadline 60d|--model 7b --gpu a100 --budget 100000
--gpu h100 --budget 1m|--model 8b --gpu 8xh100 --budget 50k --careful|--api openai:gpt-4o-mini --budget 20000
--model 8b --gpu a100 --replicas --ttft 0.5|--model 70b --gpu h100 --replicas --tpot 0.04 --set requests_per_month=10m
--model 8b --gpu a100 --replicas --ttft 1e-6|--model 8b --gpu a100 --break-even volume|--model 8b --fit serve --gpu l4
--model 70b --gpu 8xh100 --break-even volume --currency EUR=0.9@2026-11-01|--model 70b --gpu l4 --largest context
--model 8b --gpu a100 --api openai:gpt-4o-mini --break-even api|--gpu a100 --purchase-price 9000 --break-even owning
--model 70b --gpu 4xh100 --api openai:gpt-4.1 --break-even api|--gpu h100 --purchase-price 200k --break-even owning
--gpu rtx-4090 --purchase-price 1800 --price-per-hour 0.4 --years 3 --break-even owning""".replace("\n", "|").split("|")
LAYOUTS = """--model 7b --gpu a100,h100 --tokens 100b --deadline 14d|--model 70b --gpu 512xh100 --tokens 1t
--model 13b --gpu 64xa100 --set seq_len=8k|--model mixtral-8x7b --gpu 128xh100 --tokens 200b
--model deepseek-v3 --gpu 2048xh800 --precisions bf16,fp8|--model 7b --gpu h100 --deadline 30d --careful
--model 1.3b --gpu 8xa100 --set recompute=full|--model 8b --gpu 256xtpu-v5p|--model 70b --gpu 256xmi300x --set tp=4,8
--model 7b --gpu 4xrtx-4090|--model 8b --gpu b200 --deadline 20d --precisions bf16,fp8,nvfp4 --most 256
--task finetune --model 8b --gpu a100|--task finetune --model 70b --gpu 8xh100 --set method=lora
--task finetune --model 70b --gpu l40s,a100 --set method=qlora --deadline 2d|--task finetune --model 13b --gpu 4xl4
--task finetune --model mixtral-8x7b --gpu 8xa100 --set method=full|--model 7b --gpu 64xh100 --set framework=nemo
--model 7b --gpu 64xa100 --set framework=torchtitan|--model 8b --gpu 128xh100 --set optimizer=muon --price-per-hour 2
--task serve --model 8b --gpu l4,a100,h100 --requests-per-s 20|--task serve --model 70b --gpu h100 --ttft 1 --tpot 0.04
--task serve --model 70b --gpu mi300x --prompt-tokens 4000 --output-tokens 500 --requests-per-s 5
--task serve --model deepseek-v3 --gpu h200 --precisions fp8|--task serve --model mixtral-8x7b --gpu a100 --most 4
--task serve --model gpt-oss-20b --gpu l40s --requests-per-s 100|--task serve --model gemma-2-9b --gpu tpu-v5e
--task serve --model 8b --gpu rtx-4090 --purchase-price 1800 --requests-per-s 2|--task serve --model 8b --gpu 2xh100
--task serve --model 13b --gpu a10g --precisions bf16,awq --careful --ttft 2|--task serve --model 405b --gpu l4
--task serve --model 8b --gpu h100 --ttft 0.001|--task serve --model 8b --gpu h100 --set engine=sglang""".replace(
    "\n", "|"
).split("|")
SWEPT = """--vary samples=1k,5k,20k --vary gpu=a100,h100|--vary requests_per_month=10k..10m:7 --stages prompt,rag
--vary method=full,lora,qlora --stages finetune --figures total_usd,training_s,peak_memory_bytes
--vary top_k=1..9:5 --vary chunk_tokens=200,400,800 --stages rag|--vary price_per_hour=1..4:4 --vary model=7b,13b,70b
--vary training_tokens=10b..1t:5 --stages pretrain --figures calendar_s,total_usd,co2e_g|--vary gpus=1,2,4,8
--vary horizon_months=6,12,36 --vary billing=replicas,per-use|--vary api=openai:gpt-4o-mini,openai:gpt-4.1
--vary rate_usd_per_hour=40..160:9 --figures one_off_usd,people_hours""".replace("\n", "|").split("|")
REFUSED = """estimate finetune --model 8b --gpu h1000|estimate pretrain --model 70b --gpu t4 --gpus 1
compare --model 7b|compare --model 7b --gpu a100 --set sampels=3|estimate rag --model 7b --gpu a100 --set top_k=0
estimate prompt --model llama-3.1-405b --gpu 1xl4|compare --model 7b --gpu 8xa100 --gpus 4|recommend --fit serve
estimate prompt --api openai:gpt-0|estimate finetune --model 8b --gpu a100 --set method=magic
layout pretrain --model 70b --gpu 1xt4|layout serve --model 8b --gpu a100 --tokens 1b|compare --model 0b --gpu a100
estimate prompt --model 8b --gpu a100 --level 2|estimate rag --model gpt2 --gpu a100 --set top_k=100""".replace(
    "\n", "|"
).split("|")
TRAINED = ["7b 8xa100", "8b 64xh100", "70b 256xh100", "mixtral-8x7b 64xa100", "deepseek-v2-lite 32xh800"]
TRAINED += ["gemma-2-9b 16xtpu-v5p", "gpt3-175b 512xa100", "1.3b rtx-4090", "13b 16xmi300x", "gpt2 l4"]
PLANS: tuple[dict[str, Any], ...] = (
    {"seq_len": 2048, "global_batch": 64},
    {"seq_len": 4096, "global_batch": 512, "zero": 3, "recompute": "full", "framework": "fsdp"},
    {"seq_len": 4096, "global_batch": 512, "tp": 4, "pp": 2, "micro_batch": 1, "framework": "megatron-core"},
    {"seq_len": 8192, "global_batch": 256, "micro_batch": [1, 2, 4], "tp": 2, "pp": 1, "zero": 1, "recompute": "none"},
    {"seq_len": 2048, "global_batch": 32, "method": "lora", "lora_rank": 64, "zero": 2, "micro_batch": 2},
    {"seq_len": 1024, "global_batch": 16, "method": "qlora", "cpu_offload": "optimizer"},
    {"seq_len": 4096, "global_batch": 1024, "precision": "fp8", "optimizer": "muon", "cp": 2, "zero": 1},
    {"seq_len": 32768, "global_batch": 64, "cp": 4, "tp": 4, "pp": 1, "recompute": "selective", "vpp": 1},
)
SERVED = ["8b h100", "70b 4xa100", "mixtral-8x7b 2xh100", "deepseek-v3 16xh200", "gpt-oss-20b l40s", "13b l4"]
SERVED += ["gemma-2-9b tpu-v5e", "7b rtx-4090", "qwen2.5-0.5b t4", "8b mi300x"]
LOADS: tuple[dict[str, Any], ...] = (
    {"prompt_tokens": 1000, "output_tokens": 200},
    {"prompt_tokens": [128, 1024, 4096], "output_tokens": 128, "batch": 8},
    {"prompt_tokens": 600, "output_tokens": 300, "concurrency": [1, 8, 32, 128], "engine": "sglang"},
    {"prompt_tokens": 1500, "output_tokens": 100, "requests_per_s": 1.5, "cached_tokens": 900},
    {"prompt_tokens": 512, "output_tokens": 512, "batch": [1, 16], "weight_precision": "awq", "engine": "lmdeploy"},
    {"prompt_tokens": 2000, "output_tokens": 400, "concurrency": 16, "weight_precision": "fp8", "kv_precision": "fp8"},
    {"prompt_tokens": 800, "output_tokens": 200, "requests_per_s": [0.1, 1.0, 10.0], "adapters": 4, "pp": 1, "tp": 1},
    {"prompt_tokens": 400, "output_tokens": 600, "batch": 1, "draft_accepted_tokens": 2.5},
)
SAMPLED = {"training": 60, "inference": 80, "retrieval": 40}


def questions() -> Iterator[Question]:
    """What is asked when the file is saved."""
    draw = np.random.default_rng(SEED)
    yield from map(_words, _commands(draw))
    for place, machine in enumerate(MACHINES[:12] * 3):
        yield _call("estimate", machine.split(), stage=STAGES[place % 4], **_inputs(draw, 5))
    for name, machines, plans in (("training_step", TRAINED, PLANS), ("serving", SERVED, LOADS)):
        for place in range(5 * len(plans)):
            yield _call(name, machines[place % len(machines)].split(), **plans[(place + place // 10) % len(plans)])
    yield from _tables(draw)
    for kind, count in SAMPLED.items():
        yield {"cases": kind, "ids": _sample(kind, count, draw)}


def _commands(draw: np.random.Generator) -> Iterator[str]:
    ask = [f"--model {machine.replace(' ', ' --gpu ', 1)}" for machine in MACHINES]
    for asks in ask:
        yield from (f"estimate {stage} {asks}" for stage in STAGES)
    for place in range(56):
        name = COMBINATIONS[place % 4]
        yield f"estimate {name} {ask[place * 5 % len(ask)]}{SMALL.get(name, '') * (place % 5 > 0)}"
    yield from (f"compare {asks}" for asks in ask[:12])
    for place, name in enumerate(APIS * 4):
        yield f"estimate {(*STAGES, *COMBINATIONS)[(place + place // 7) % 8]} --api {name}"
    yield from (f"compare --api {name} {asks}" for name, asks in zip(APIS, ask, strict=False))
    for place, how in enumerate(PAID):
        name = (*STAGES, *COMBINATIONS)[place % 8]
        yield f"estimate {name} {ask[place % 2 * 4 + place % 3]} {how}{SMALL.get(name, '')}"
        yield f"estimate {STAGES[place // 2 % 3]} --model 8b --gpu {('a100', 'h100')[place % 2]} {how}"
    for stage, choices in (("finetune", TUNED), ("rag", RETRIEVED), ("pretrain", PRETRAINED)):
        for place, choice in enumerate(choices):
            yield f"estimate {stage} --model {('8b', '13b', '7b')[place % 3]} --gpu 8xh100{_set(choice)}"
    for place in range(48):
        name = (*STAGES, *COMBINATIONS)[place % 8]
        inputs = " ".join(f"{name}={_ends(value)}" for name, value in _inputs(draw, 6).items())
        yield f"estimate {name} {ask[place * 7 % len(ask)]}{SMALL.get(name, '')}{_set(inputs)}"
    yield from (f"recommend {ask[place % 5]}{_set(choice)}" for place, choice in enumerate(RECOMMENDED))
    yield from ("recommend --api openai:gpt-4o-mini", "recommend --model 8b --gpu a100 --level 0.9")
    yield from (f"recommend {turned}" for turned in TURNED)
    yield from (f"layout {wanted}" for wanted in LAYOUTS)
    yield from (f"sweep {varied} --model 8b --gpu a100" for varied in SWEPT)
    for place, asks in enumerate(ask[:8]):
        yield f"estimate {STAGES[place % 4]} {asks} --sensitivity"
    yield from (f"estimate {stage} {ask[1]} --sensitivity --figure monthly_usd" for stage in STAGES[:3])
    yield from (f"export {FILE} {asks}" for asks in (ask[0], ask[4], "--api openai:gpt-4o-mini"))
    yield from REFUSED


def _words(line: str) -> Question:
    """The words of a command that answers in JSON, unless it writes a file."""
    return {"words": shlex.split(line) + ["--format", "json"] * (FILE not in line)}


def _call(name: str, machine: list[str], **given: Any) -> Question:
    return {"call": name, "with": {"model": machine[0], "gpu": machine[1], **given}}


def _set(choices: str) -> str:
    return "".join(f" --set {shlex.quote(choice)}" for choice in shlex.split(choices))


def _ends(value: Any) -> str:
    return "..".join(f"{end!r}" for end in value) if isinstance(value, list) else f"{value!r}"


def _inputs(draw: np.random.Generator, count: int) -> dict[str, Any]:
    """Some inputs of the scenario, each a number or [low, value, high] around the usual one."""
    from estimator.scenario import default_scenario

    amounts = {name: one for name, one in default_scenario().amounts.items() if one.value and not one.whole}
    names = draw.choice(sorted(amounts), count, replace=False)
    return {str(name): _drawn(amounts[name], draw) for name in names}


def _drawn(amount: Any, draw: np.random.Generator) -> Any:
    counted = amount.value >= 4 and amount.value % 1 == 0  # what may come in whole numbers does
    near = (float(f"{min(amount.value * draw.uniform(0.5, 1.8), amount.most):.3g}") for _ in range(3))
    low, value, high = sorted(round(one) if counted else one for one in near)
    ranged = low < value < high and low >= amount.least and draw.random() < 0.5
    return [low, value, high] if ranged else max(value, amount.least)


def _tables(draw: np.random.Generator) -> Iterator[Question]:
    """Sweeps of rows with several inputs at once, some of them impossible."""
    for stage in STAGES:
        rows = [
            {**_row(_inputs(draw, 3)), "model": model, "gpu": gpu}
            for model, gpu in (("8b", "a100"), ("70b", "8xh100"), ("13b", "l4"), ("8b", "h1000"))
        ]
        columns = sorted({name for row in rows for name in row} - {"model", "gpu"})
        usual = {name: next(row[name] for row in rows if name in row) for name in columns}
        yield {"call": "sweep", "with": {"table": [usual | row for row in rows], "stages": [stage]}}


def _row(inputs: Mapping[str, Any]) -> dict[str, float]:
    return {name: value[1] if isinstance(value, list) else value for name, value in inputs.items()}


def _sample(kind: str, count: int, draw: np.random.Generator) -> list[str]:
    with (PUBLISHED / f"{kind}.csv").open(encoding="utf-8", newline="") as lines:
        ids = [row["id"] for row in csv.DictReader(lines)]
    return [ids[place] for place in sorted(draw.choice(len(ids), count, replace=False))]


# --- the command ------------------------------------------------------------------------------------------------------


def save() -> int:
    """Ask everything and write the file, which must not be there."""
    if SAVED.exists():
        print(f"{SAVED.name} is there: it says what was answered before; remove it to save it anew", file=sys.stderr)
        return 2
    each = {title(question): question for question in questions()}
    answers = [(question, asked(question)) for question in each.values()]
    if faults := [title(question) for question, found in answers if found["exit"] not in (0, 2)]:
        print("not answered and not refused:", *faults, sep="\n", file=sys.stderr)
        return 1
    SAVED.write_bytes(packed(answers))
    print(f"{_counted(answers)}: {SAVED.stat().st_size:,} bytes")
    return 0


def check(only: str) -> int:
    """Ask again; 1 when a figure is not what it was."""
    content = json.loads(gzip.decompress(SAVED.read_bytes()))
    answers = [(q, found) for q, found in unpacked(content) if re.search(only, title(q))]
    known: Counter[str] = Counter()
    changed = []
    for question, before in answers:
        name = title(question)
        for path, what in differences(before, asked(question)):
            if bug := next((bug for bug, moves in KNOWN.items() if moves(name, path)), None):
                known[bug] += 1
            else:
                changed.append(f"{name}\n    {path}: {what}")
    print(f"{_counted(answers)}, {len(changed):,} of these figures changed unasked")
    for line in (*(f"{known[bug]:,} changed by a known bug: {bug}" for bug in KNOWN), *changed[:SHOWN]):
        print(line)
    if changed and content["made_with"] != here():
        print(f"saved with {content['made_with']}, asked with {here()}: last bits may differ for that")
    return 1 if changed else 0


def _counted(answers: list[tuple[Question, Figures]]) -> str:
    count = sum(len(question.get("ids", "1")) for question, _ in answers)
    refused = sum(found["exit"] != 0 for _, found in answers)
    return f"{count:,} answers ({refused} refusals) with {sum(len(found) for _, found in answers):,} figures"


def with_constants_of_the_day() -> int:
    """The same check in a copy of the tree that holds the constants as they were fitted when the answers were saved."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("estimator", "hardware", "calibration", "benchmarks"):
            shutil.copytree(ROOT / part, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.rmtree(Path(folder) / FITTED)
        of_the_day = subprocess.run(["git", "archive", DAY, FITTED], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(of_the_day)) as files:
            files.extractall(folder, filter="data")
        again = [sys.executable, str(Path(folder) / "benchmarks" / Path(__file__).name), *sys.argv[1:], "--as-fitted"]
        return subprocess.run(again, cwd=folder, env={**os.environ, "PYTHONPATH": folder}, check=False).returncode


def main() -> int:
    """Save or check."""
    options = argparse.ArgumentParser(description="Whether every figure is what it was, to the last bit.")
    options.add_argument("--save", action="store_true", help="write the file; refused where there is one")
    options.add_argument("--only", metavar="PATTERN", default="", help="questions that match this alone")
    options.add_argument("--as-fitted", action="store_true", help="with the constants that are fitted today")
    given = options.parse_args()
    if given.save:
        return save()
    return check(given.only) if given.as_fitted else with_constants_of_the_day()


if __name__ == "__main__":
    raise SystemExit(main())
