"""The report of a validation: metrics under other names, and why rows were not predicted."""

import pytest

from estimator import validate

HEADS = {
    "training": ("gpu,model,n_gpus,seq_len,micro_batch,method", "a100,llama-2-7b,8,2048,1,full"),
    "inference": ("gpu,model,task,input_len,output_len,batch_or_concurrency", "h100-sxm,llama-3.1-8b,,1000,200,1"),
    "retrieval": ("n_vectors,dim,index,recall,machine", "1000000,768,hnsw M=16 efc=128 ef=64,,8 vCPU"),
}


def cases(tmp_path, kind, *metrics):
    """A case file with one row for each metric."""
    head, row = HEADS[kind]
    lines = [f"id,source,metric,value,{head}", *(f"{metric},mine,{metric},1,{row}" for metric in metrics)]
    path = tmp_path / f"{kind}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("kind", "known", "other", "ratio", "unit"),
    [
        ("training", "peak_mem_gb", "memory_bytes", 1e9, "B"),
        ("training", "step_time_s", "step_time_ms", 1e3, "ms"),
        ("inference", "ttft_ms", "ttft_s", 1e-3, "s"),
        ("inference", "tpot_ms", "tpot_s", 1e-3, "s"),
        ("retrieval", "memory_gb", "memory_bytes", 1e9, "B"),
    ],
)
def test_the_same_metric_in_another_unit(kind, known, other, ratio, unit, tmp_path):
    first, second = validate([cases(tmp_path, kind, known, other)]).cases

    assert first.status == second.status == "ok", second.reason
    assert (second.metric, second.unit) == (other, unit)
    assert second.predicted == pytest.approx(first.predicted * ratio)
    assert second.low < second.predicted < second.high


def test_the_table_says_why_rows_were_not_predicted(tmp_path):
    report = validate([cases(tmp_path, "training", "mfu", "tokens_per_sec")])

    said = " ".join(str(report).split())

    assert "not predicted (1: tokens_per_sec)" in said
    assert "Did you mean 'tokens_per_s_per_gpu'" in said


def test_a_few_cases_are_listed_one_by_one_and_many_are_not(tmp_path):
    few = str(validate([cases(tmp_path, "training", "peak_mem_gb", "tokens_per_sec")])).splitlines()
    many = str(validate([cases(tmp_path, "training", *["peak_mem_gb"] * 31)]))

    assert next(line for line in few if line.startswith("peak_mem_gb")).split()[2:4] == ["GB", "1"]
    assert next(line for line in few if line.startswith("tokens_per_sec")).split()[-3:] == ["-", "-", "-"]
    assert "peak_mem_gb" not in many
    assert max(map(len, few)) <= 120
