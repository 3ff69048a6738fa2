"""Logs of tools into own runs: what is read, what is refused, and that the file of runs is always whole."""

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from estimator import estimate
from estimator.catalog.frameworks import framework
from estimator.catalog.own_runs import add_runs, own_runs, own_runs_path, use_own_runs
from estimator.cli import main
from estimator.errors import InvalidInput
from estimator.recording import read_log, record, record_run
from estimator.validation import inference_runs as inference
from estimator.validation import training
from estimator.validation.inference import predict_cases as predict_serving

TITAN = "\x1b[31mstep: {0:2}  loss: 7.1  memory: 42.50GiB(53.7%)  tps: {1:,}  tflops: 100.00  mfu: 10.00%\x1b[0m\n"
MEGATRON = (
    " iteration {0}/ 100 | consumed samples: 512 | elapsed time per iteration (ms): {1} | "
    "global batch size: 256 | lm loss: 2.1 |\n"
)
STATE = {"global_step": 50, "train_batch_size": 4, "log_history": [{"loss": 1.0}, {"train_steps_per_second": 0.5}]}
BENCH = {
    "backend": "vllm", "model_id": "meta-llama/Llama-3.1-8B", "completed": 100, "total_input_tokens": 102_400,
    "total_output_tokens": 12_800, "max_concurrency": 8, "request_rate": "inf", "mean_ttft_ms": 90.0,
    "mean_tpot_ms": 9.0, "output_throughput": 700.0,
}  # fmt: skip
GUIDE = {
    "benchmarks": [
        {
            "args": {"strategy": {"type_": "concurrent", "streams": 4}},
            "metrics": {
                "time_to_first_token_ms": {"successful": {"mean": 50.0}},
                "inter_token_latency_ms": {"successful": {"mean": 8.0}},
                "prompt_token_count": {"successful": {"mean": 512.0}},
                "output_token_count": {"successful": {"mean": 128.0}},
            },
        }
    ]
}
AIPERF = {
    "time_to_first_token": {"unit": "ms", "avg": 50.0},
    "inter_token_latency": {"unit": "ms", "avg": 8.0},
    "input_sequence_length": {"avg": 512.0},
    "input_config": {"loadgen": {"concurrency": 4}},
}
METRICS = """# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="0.1",model_name="m"} 3
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="m"} 4
vllm:time_to_first_token_seconds_count{model_name="m"} 4
vllm:time_to_first_token_seconds_sum{model_name="m"} 0.4
"""
# log -> what it is known as, columns it must give, metrics
LOGS = {
    "trainer state": (json.dumps(STATE), {"micro_batch": 4}, {"step_time_s": 2.0}),
    "results": (json.dumps({"train_steps_per_second": 4.0, "epoch": 3.0}), {}, {"step_time_s": 0.25}),
    "wandb summary": (json.dumps({"train/train_steps_per_second": 4.0, "_step": 3}), {}, {"step_time_s": 0.25}),
    "printed": ("{'train_runtime': 100.0, 'train_steps_per_second': 0.2}\n", {}, {"step_time_s": 5.0}),
    "LLaMA-Factory": (
        "".join(json.dumps({"current_steps": s, "elapsed_time": f"0:0{s}:00"}) + "\n" for s in (1, 2, 5)),
        {"framework": "llama-factory"},
        {"step_time_s": 60.0},
    ),
    "torchtitan": (
        "".join(TITAN.format(step, rate) for step, rate in ((1, 900), (10, 5000), (20, 5200), (30, 5100))),
        {"framework": "torchtitan", "memory_reading": "reserved"},
        {"tokens_per_s_per_gpu": 5100.0, "peak_mem_gb": 42.5 * 2**30 / 1e9},
    ),
    "Megatron": (
        "".join(MEGATRON.format(step, ms) for step, ms in ((1, 9000.0), (2, 1500.0), (3, 1500.0))),
        {"global_batch_seqs": 256},
        {"step_time_s": 1.5},
    ),
    "nvidia-smi": ("index, memory.used [MiB]\n0, 1000 MiB\n0, 70000 MiB\n", {}, {"peak_mem_gb": 70000 * 2**20 / 1e9}),
    "CodeCarbon": ("duration,energy_consumed,gpu_count\n7200,3.0,4\n", {}, {"gpu_hours": 8.0}),
    "vllm bench": (
        json.dumps(BENCH),
        {"input_len": 1024, "output_len": 128, "batch_or_concurrency": "8"},
        {"ttft_ms": 90.0, "tpot_ms": 9.0, "output_tokens_per_s_total": 700.0},
    ),
    "GuideLLM": (json.dumps(GUIDE), {"input_len": 512, "batch_or_concurrency": "4"}, {"ttft_ms": 50.0, "tpot_ms": 8.0}),
    "AIPerf": (json.dumps(AIPERF), {"input_len": 512, "batch_or_concurrency": "4"}, {"ttft_ms": 50.0, "tpot_ms": 8.0}),
    "llama-bench": (
        json.dumps([{"avg_ts": 5000.0, "n_prompt": 512, "n_gen": 0}]),
        {"task": "prefill", "input_len": 512},
        {"prefill_tokens_per_s": 5000.0},
    ),
    "llama-bench table": (
        "| model | size | test | t/s |\n| --- | --- | --- | --- |\n| llama 8B Q4 | 4.6 GiB | tg128 | 93.11 ± 0.3 |\n",
        {"task": "decode", "output_len": 128},
        {"decode_tokens_per_s_per_user": 93.11},
    ),
}  # fmt: skip
RUN = {"model": "llama-3.1-8b", "gpu": "1xh100", "seq_len": 1024, "method": "lora", "lora_rank": 16, "global_batch": 8}

SERVED = {"model": "llama-3.1-8b", "gpu": "1xh100", "engine": "vllm", "input_len": 512, "output_len": 128,
    "batch_or_concurrency": 8}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ESTIMATOR_RUNS", str(tmp_path / "runs"))
    yield
    use_own_runs()


@pytest.mark.parametrize("name", LOGS)
def test_logs_are_known_by_what_they_hold(name, tmp_path):
    text, columns, metrics = LOGS[name]
    (tmp_path / "log").write_text(text, encoding="utf-8")

    (found,) = read_log(tmp_path / "log")

    assert {key: found.columns.get(key) for key in columns} == columns
    assert framework(str(found.columns.get("framework", "trl"))).known
    assert dict(found.measured) == pytest.approx(metrics)


def test_a_scrape_of_a_servers_metrics(tmp_path):
    pytest.importorskip("prometheus_client")
    (tmp_path / "log").write_text(METRICS)

    (found,) = read_log(tmp_path / "log")

    assert dict(found.measured) == {"ttft_ms": pytest.approx(100.0)}
    assert found.columns["engine"] == "vllm"


DAMAGED = {
    "empty": b"",
    "text": b"nothing of a run\n",
    "half of JSON": b'{"global_step": 50, "log_history": [',
    "deep": b"[" * 100_000,
    "no end": json.dumps({"global_step": 50, "log_history": [{"loss": 1.0}]}).encode(),
    "history is a word": json.dumps({"global_step": 50, "log_history": "none"}).encode(),
    "steps are none": json.dumps({**STATE, "global_step": 0}).encode(),
    "rate is text": json.dumps({"train_steps_per_second": "fast"}).encode(),
    "rate is true": json.dumps({"train_steps_per_second": True}).encode(),
    "rate is negative": json.dumps({"train_steps_per_second": -1.0}).encode(),
    "rate is endless": b'{"train_steps_per_second": Infinity}',
    "not UTF-8": b"\xff\xfe\x00step: 1",
    "one point": json.dumps({"current_steps": 1, "elapsed_time": "0:01:00"}).encode(),
    "clock of words": (json.dumps({"current_steps": 1, "elapsed_time": "soon"}) + "\n").encode() * 3,
    "clock that stands": (json.dumps({"current_steps": 1, "elapsed_time": "0:01:00"}) + "\n").encode() * 3,
    "bench of nothing": json.dumps({**BENCH, "completed": 0}).encode(),
    "bench without latencies": json.dumps({"completed": 1, "total_input_tokens": 1, "total_output_tokens": 1}).encode(),
    "guide of nothing": json.dumps({"benchmarks": []}).encode(),
    "guide of words": json.dumps({"benchmarks": ["a", 1, None]}).encode(),
    "aiperf of words": json.dumps({"time_to_first_token": "quick"}).encode(),
    "llama-bench of both": json.dumps([{"avg_ts": 5.0, "n_prompt": 5, "n_gen": 5}]).encode(),
    "smi of nothing": b"index, memory.used [MiB]\n0, [N/A]\n",
    "smi without rows": b"index, memory.used [MiB]\n",
    "carbon of nothing": b"duration,energy_consumed,gpu_count\n,,\n",
    "numbers": b"1,2,3\n4,5,6\n",
    "a workbook": b"PK\x03\x04" + bytes(100),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "NULs": bytes(1000),
    "list of lists": b"[[[]]]",
    "a number": b"17",
    "a bill": b"BilledCost,ChargePeriodStart,ServiceName\n1,2026-01-01,EC2\n",
    "usage of an API": b"timestamp,n_context_tokens_total,n_generated_tokens_total\n1,2,3\n",
    "W&B's own.wandb": b":W&B\x00\x01" + bytes(100),
    "events.out.tfevents.1.host": bytes(100),
    "scrape cut short": b'vllm:time_to_first_token_seconds_sum{model_name="m',
    "scrape of nobody": b"vllm:time_to_first_token_seconds_count 0\nvllm:time_to_first_token_seconds_sum 0\n",
    "titan without rates": b"step:  1  loss: 7.1  memory: 42.50GiB(53.7%)  tps: -  mfu: -\n",
    "Megatron of nothing": b" elapsed time per iteration (ms): nan | global batch size: 256 |\n",
    "Megatron of dots": b" elapsed time per iteration (ms): ... | global batch size: 256 |\n",
    "printed dots": b"{'train_steps_per_second': ...}\n",
    "llama-bench of words": b"avg_ts,n_prompt,n_gen\nfast,512,0\n",
    "smi in other units": b"index, memory.used [GiB]\n0, 40 GiB\n",
    "quotes that never end": b'duration,energy_consumed,gpu_count\n"7200,3.0,4\n',
    "a cell without end": b"duration,energy_consumed,gpu_count\n" + b"7" * 200_000 + b",3.0,4\n",
    "titan of dots": TITAN.format(1, 900).replace("42.50", "4.2.50").encode(),
    "smi of dots": b"memory.used [MiB]\n1.2.3 MiB\n",
    "one endless cell": b"duration,energy_consumed,gpu_count\n1," + b"5" * 200_000 + b",1\n",
    "metrics of words": METRICS.replace("0.4", "soon").encode(),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_log_is_refused_in_one_line_and_the_runs_stay(name, tmp_path, capsys):
    before = kept(tmp_path)
    (tmp_path / name).write_bytes(DAMAGED[name])

    assert main(["record", str(tmp_path / name), "--model", "8b", "--gpu", "1xh100"]) == 2

    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert own_runs_path("training").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links are those of POSIX")
@pytest.mark.parametrize("kind", ["pipe", "link to nowhere", "folder"])
@pytest.mark.parametrize("name", ["training.csv", "training.lock"])
def test_what_is_no_file_where_own_runs_are_kept_is_said_and_hangs_nothing(kind, name, tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    odd = tmp_path / "runs" / name
    {"pipe": os.mkfifo, "link to nowhere": lambda path: path.symlink_to("no/where"), "folder": Path.mkdir}[kind](odd)
    (tmp_path / "log").write_text(json.dumps(STATE))

    words = ["--model", "8b", "--gpu", "1xh100"]
    assert main(["record", str(tmp_path / "log"), *words, "--accept"]) == 2
    assert main(["estimate", "finetune", *words]) == (2 if name.endswith(".csv") else 0)

    said = capsys.readouterr().err.splitlines()
    assert len(said) == (2 if name.endswith(".csv") else 1), said
    assert name in said[0]


def test_own_runs_of_an_older_version_take_the_columns_it_did_not_know(tmp_path):
    (tmp_path / "runs").mkdir()
    own_runs_path("training").write_text(
        "id,source,family,model,mine,metric,value\nown-0001,own,lora,8b,x,step_time_s,2"
    )
    (tmp_path / "log").write_text(json.dumps(STATE))

    record(tmp_path / "log", **RUN, accept=True)

    first, second = own_runs("training")
    assert (first["id"], first["model"], first["mine"], first["framework"]) == ("own-0001", "8b", "x", "")
    assert (second["id"], second["framework"], second["mine"]) == ("own-0002", "hf trainer", "")


WRONG = [
    ["--gpu", "h1000"], ["--model", "nobody"], ["--set", "family=banana"], ["--set", "precision=lots"],
    ["--set", "seq_len=-5"], ["--set", "seq_len=nan"], ["--set", "banana=1"], ["--set", "tp=x"],
    ["--set", "seq_len=2k", "--set", "seq_len=3k"], ["--share", "/nowhere/at/all.csv"], ["--set", "metric="],
    ["--share", "runs.json"],
]  # fmt: skip


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_words_are_refused_in_one_line_and_the_runs_stay(words, tmp_path, capsys):
    before = kept(tmp_path)
    (tmp_path / "log").write_text(json.dumps(STATE))
    given = {"--model": "8b", "--gpu": "1xh100"} | dict(zip(words[::2], words[1::2], strict=True))
    options = [word for pair in given.items() if pair[0] != "--set" for word in pair]
    sets = [word for at, word in enumerate(words) if word == "--set" or (at and words[at - 1] == "--set")]

    status = main(["record", str(tmp_path / "log"), *options, *sets])

    said = capsys.readouterr().err.strip()
    assert status == 2, said
    assert len(said.splitlines()) == 1
    if "/nowhere/at/all.csv" not in words:
        assert own_runs_path("training").read_bytes() == before


def kept(folder: Path) -> bytes:
    """One run recorded before, as its file holds it."""
    (folder / "good").write_text(json.dumps(STATE))
    record(folder / "good", **RUN, accept=True)
    return own_runs_path("training").read_bytes()


def test_a_wrong_unit_is_asked_back(tmp_path):
    (tmp_path / "log").write_text(json.dumps({"train_steps_per_second": 0.002}))

    with pytest.raises(InvalidInput, match="times off"):
        record(tmp_path / "log", **RUN)
    assert not own_runs("training")
    record(tmp_path / "log", **RUN, accept=True)
    assert len(own_runs("training")) == 1


KINDS = {"training": (training.UNITS, RUN | {"total_tokens_b": 1.0}), "inference": (inference.METRICS, SERVED)}


@pytest.mark.parametrize(("kind", "metric"), [(kind, one) for kind, (metrics, _) in KINDS.items() for one in metrics])
def test_ten_times_off_is_asked_back_in_every_unit_and_a_little_is_not(kind, metric):
    told = KINDS[kind][1] | ({"task": "embedding", "model": "bge-m3"} if metric == "embeddings_per_s" else {})
    told |= {"task": "rerank", "model": "bge-m3"} if metric == "pairs_per_s" else {}
    (found,) = record_run(kind, told, {metric: 1.0}, keep=False, accept=True).runs

    assert record_run(kind, told, {metric: found.predicted * 1.3}, keep=False)
    for factor in (0.1, 10.0):
        with pytest.raises(InvalidInput, match="is the unit right"):
            record_run(kind, told, {metric: found.predicted * factor})
    with pytest.raises(InvalidInput, match="milliseconds"):
        record_run(kind, told, {metric: found.predicted * 1000})
    assert not own_runs(kind)


def test_the_rate_of_all_accelerators_is_asked_back_as_that_of_one():
    told = RUN | {"gpu": "4xh100"}
    (found,) = record_run("training", told, {"tokens_per_s_per_gpu": 1.0}, keep=False, accept=True).runs

    with pytest.raises(InvalidInput, match="not of all 4"):
        record_run("training", told, {"tokens_per_s_per_gpu": found.predicted * 4})


def test_own_runs_move_a_prediction_little_by_little_and_narrow_it(tmp_path):
    ask = {"model": "llama-3.1-8b", "gpu": "1xh100", "method": "lora"}
    plain = estimate("finetune", **ask).details["training_tokens_per_s_per_accelerator"]
    state = {**STATE, "log_history": [{"train_steps_per_second": 1.0}]}
    (tmp_path / "log").write_text(json.dumps(state))
    found, ratio = [plain], 0.0
    for _ in range(3):
        recorded = record(tmp_path / "log", **RUN)
        ratio = recorded.runs[0].measured / recorded.runs[0].predicted
        found.append(estimate("finetune", **ask).details["training_tokens_per_s_per_accelerator"])
    assert ratio > 1.2  # slower than predicted
    moved = [math.log(plain.value / one.value) for one in found]
    assert moved == sorted(moved)
    assert 0 < moved[1] < math.log(ratio)
    assert moved[-1] < math.log(ratio)
    widths = [one.high / one.low for one in found]
    assert widths == sorted(widths, reverse=True)
    assert "3 of your runs" in found[-1].explain()
    use_own_runs(False)
    assert estimate("finetune", **ask).details["training_tokens_per_s_per_accelerator"].value == plain.value


def test_what_is_shared_tells_nothing_of_whose_it_is(tmp_path, capsys):
    (tmp_path / "secret-project").mkdir()
    log = tmp_path / "secret-project/log"
    log.write_text(json.dumps(STATE))
    shared = tmp_path / "shared.csv"

    words = ["record", str(log), "--model", "8b", "--gpu", "1xh100", "--set", "seq_len=1k", "--set", "global_batch=8"]
    assert main([*words, "--share", str(shared), "--accept", "--format", "json"]) == 0

    told = capsys.readouterr()
    assert json.loads(told.out)
    assert "nothing was sent" in told.err
    assert "secret" not in shared.read_text()
    assert ",8b," in shared.read_text()


def add(folder: str, count: int) -> None:
    """Record runs, as one of several does at once."""
    import os

    os.environ["ESTIMATOR_RUNS"] = folder
    for _ in range(count):
        add_runs("training", [{"model": "8b", "gpu": "h100", "metric": "step_time_s", "value": 1.0}])


def test_two_that_record_at_once_lose_nothing(tmp_path):
    folder = str(tmp_path / "runs")
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=add, args=(folder, 15)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)

    assert [row["id"] for row in own_runs("training")] == [f"own-{number:04d}" for number in range(1, 31)]


def test_killed_while_it_records_the_file_is_whole(tmp_path):
    script = "from tests.recording.test_recording import add; print('on', flush=True); add({!r}, 10000)"
    process = subprocess.Popen(
        [sys.executable, "-c", script.format(str(tmp_path / "runs"))],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()

    rows = own_runs("training")
    assert [row["id"] for row in rows] == [f"own-{number:04d}" for number in range(1, len(rows) + 1)]
    assert all(row["value"] == "1.0" for row in rows)


YAML = """base_model: NousResearch/Meta-Llama-3.1-8B
adapter: qlora
load_in_4bit: true
lora_r: 32
lora_target_linear: true
sequence_len: 4096
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
gradient_checkpointing: true
bf16: auto
optimizer: adamw_bnb_8bit
datasets: [{path: mine.jsonl, type: alpaca}]
"""


def test_the_configuration_beside_a_log_says_what_the_log_does_not(tmp_path, capsys):
    (tmp_path / "train.yaml").write_text(YAML)
    (tmp_path / "log").write_text(json.dumps({**STATE, "log_history": [{"train_steps_per_second": 0.1}]}))
    words = ["record", str(tmp_path / "log"), str(tmp_path / "train.yaml")]

    assert main([*words, "--gpu", "2xh100", "--set", "lora_rank=16", "--accept"]) == 0, capsys.readouterr().err

    (kept,) = own_runs("training")
    said = {"family": "qlora", "seq_len": "4096", "micro_batch": "2", "global_batch_seqs": "16", "n_gpus": "2"}
    said |= {"lora_rank": "16", "packing": "packed", "framework": "axolotl", "recompute": "full"}
    assert {name: kept[name] for name in said} == said
    assert main(["record", str(tmp_path / "train.yaml"), "--gpu", "h100"]) == 2  # no log
    assert main([*words]) == 2  # nobody says on what
    assert len(capsys.readouterr().err.strip().splitlines()) == 2


def test_a_server_and_its_command(tmp_path):
    (tmp_path / "serve.sh").write_text("vllm serve meta-llama/Llama-3.1-8B --tensor-parallel-size 2\n")
    (tmp_path / "log").write_text(json.dumps(BENCH))

    assert main(["record", str(tmp_path / "log"), str(tmp_path / "serve.sh"), "--gpu", "2xh100", "--accept"]) == 0

    assert {(row["tp"], row["n_gpus"], row["engine"]) for row in own_runs("inference")} == {("2", "2", "vllm")}


def test_predictions_are_calibrated_from_a_file_of_runs_once(tmp_path, capsys):
    (tmp_path / "log").write_text(json.dumps({**STATE, "log_history": [{"train_steps_per_second": 1.0}]}))
    words = [
        "record",
        str(tmp_path / "log"),
        "--model",
        "8b",
        "--gpu",
        "1xh100",
        "--set",
        "lora_rank=16",
        "--set",
        "global_batch=8",
    ]
    assert main([*words, "--compare-only", "--accept", "--share", str(tmp_path / "theirs.csv")]) == 0
    shared = (tmp_path / "theirs.csv").read_text().splitlines()
    runs = tmp_path / "runs.csv"
    runs.write_text("\n".join([shared[0], "theirs-1" + shared[1]]))

    assert main(["calibrate", "--from", str(runs)]) == 0, capsys.readouterr().err
    assert [row["value"] for row in own_runs("training")] == ["1"]
    before = own_runs_path("training").read_bytes()
    wrong = {
        "again": runs.read_text(),
        "far": runs.read_text().replace(",step_time_s,1,", ",step_time_s,1000,"),
        "no machine": runs.read_text().replace("h100", "h1000"),
        "columns": "id,source,metric,seq_len,banana\n1,me,step_time_s,8,9\n",
        "stores": "id,source,metric,n_vectors\n1,me,qps,8\n",
        "none": shared[0],
        "no cases": "a,b\n1,2\n",
    }
    capsys.readouterr()
    for text in wrong.values():
        runs.write_text(text)
        assert main(["calibrate", "--from", str(runs)]) == 2, text
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
        assert own_runs_path("training").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "arrival"),
    [
        ({}, "closed together"),
        ({"total_output_tokens": 12_801}, "closed"),
        ({"request_rate": 4.0}, "closed"),
        ({"max_concurrency": None}, "burst"),
        ({"max_concurrency": None, "request_rate": 4.0}, "rate"),
    ],
)
def test_a_bench_of_a_server_says_how_requests_came(change, arrival, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(BENCH | change), encoding="utf-8")

    (found,) = read_log(path)

    assert (found.columns["arrival"], found.columns["requests"], found.columns["server"]) == (arrival, 100, "http")


def test_clients_who_begin_together_wait_longer_and_are_disturbed_less():
    row = {"model": "llama-3.1-8b", "gpu": "h100", "engine": "vllm", "batch_or_concurrency": "32", "input_len": "1024"}
    rows = [
        row | {"output_len": "64", "metric": metric, "arrival": arrival}
        for metric in ("ttft_ms", "tpot_ms")
        for arrival in ("closed together", "closed")
    ]

    first, other_first, token, other_token = (case.predicted for case in predict_serving(rows))

    assert (first > other_first, token < other_token) == (True, True)
