"""The user's own training samples: what is recognised, that lengths are right, and that a broken line is said."""

import json
import tracemalloc

import numpy as np
import pytest

from estimator import estimate
from estimator.catalog.samples import count_samples
from estimator.cli import main
from estimator.errors import InvalidInput

ASK = {"model": "7b", "gpu": "8xa100", "attempts": 1}
COMMAND = ["estimate", "finetune", "--model", "7b", "--gpu", "8xa100"]


def written(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "a" * 200}, {"role": "assistant", "content": "b" * 200}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a" * 399}, {"type": "image"}]}, {}]},
        {"conversations": [{"from": "human", "value": "a" * 200}, {"from": "gpt", "value": "b" * 200}]},
        {"instruction": "a" * 200, "input": "", "output": "b" * 199},
        {"input": "a" * 200, "output": "b" * 200},
        {
            "prompt": [{"role": "user", "content": "a" * 200}],
            "completion": [{"role": "assistant", "content": "b" * 200}],
        },
        {"text": "a" * 401},
    ],
    ids=lambda row: "+".join(row),
)
def test_columns_that_trainers_know_are_one_sample(row, tmp_path):
    """Four hundred bytes of text, and the marks of a template around each message."""
    found = count_samples(written(tmp_path / "one.jsonl", [row]), tokenizer="llama3")

    assert found.samples == 1
    assert 400 / 5.5 < found.tokens < 400 / 4 + 16


@pytest.mark.parametrize(
    "line", ['{"text": "half a pair \\ud83d"}', '{"text": "deep", "more": ' + "[" * 250 + "]" * 250 + "}"]
)
def test_lines_that_the_fast_reader_refuses_are_read_all_the_same(line, tmp_path):
    assert count_samples(written(tmp_path / "odd.jsonl", [line])).samples == 1


def test_tokens_that_were_counted_before_are_taken_as_they_are(tmp_path):
    found = count_samples(written(tmp_path / "ids.jsonl", [{"input_ids": [1] * size} for size in (10, 1000)]))

    assert (found.tokens, found.longest, found.above(500)) == (1010, 1000, 1)


def test_mean_and_spread_are_those_of_the_lengths(tmp_path):
    lengths = np.maximum(np.random.default_rng(0).lognormal(5.0, 0.6, 3000).astype(int), 1)
    found = count_samples(written(tmp_path / "many.jsonl", [{"input_ids": [0] * int(size)} for size in lengths]))

    assert found.mean == pytest.approx(lengths.mean())
    assert found.spread == pytest.approx(np.log(lengths).std())
    assert found.above(200) == pytest.approx((lengths > 200).sum(), rel=0.05)


def test_csv_parquet_and_folders_count_alike(tmp_path):
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    rows = [{"input": "a" * size, "output": "b, c\n" * 9} for size in (50, 500)]
    (tmp_path / "a").mkdir()
    lines = written(tmp_path / "a" / "rows.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    quoted = "".join('"{input}","{output}"\n'.format(**row) for row in rows)
    (tmp_path / "rows.csv").write_text("input,output\n" + quoted)
    counts = {count_samples(path)[:4] for path in (lines, tmp_path / "rows.parquet", tmp_path / "rows.csv")}

    assert len(counts) == 1
    assert count_samples(tmp_path).samples == 6


def test_a_broken_line_is_refused_with_its_number_or_skipped(tmp_path):
    path = written(tmp_path / "bad.jsonl", [{"text": "fine"}, "{not json\n", {"other": 1}, {"text": "fine"}])
    with pytest.raises(InvalidInput, match=r"line 2: it is not JSON.*broken_lines=skip"):
        count_samples(path)
    found = count_samples(path, skip_broken=True)

    assert (found.samples, found.broken) == (2, 2)
    assert "line 2" in found.first_broken
    assert any(
        "2 lines are no samples" in one
        for one in estimate("finetune", **ASK, data=str(path), broken_lines="skip").warnings
    )


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("w") as file:
        file.writelines('{"text": "' + "word " * 40 + '"}\n' for _ in range(20_000))
    done: list[int] = []
    tracemalloc.start()
    try:
        found = count_samples(path, progress=done.append)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.samples == 20_000
    assert (done[0], done[-1]) == (1_000, 20_000)
    assert peak < 2_000_000 < path.stat().st_size


def test_what_was_counted_is_asked_and_said(tmp_path, capsys):
    """Samples, lengths and what padding costs; what the user says himself counts more."""
    rows = [{"input_ids": [0] * size} for size in (40, 60, 300, 2_500)] * 50
    path = str(written(tmp_path / "mine.jsonl", rows))
    answer = estimate("finetune", **ASK, data=path)
    said = " ".join(answer.warnings)

    assert answer.data_samples.value == 200
    assert "Counted 200 samples, 145,000 tokens" in said
    assert "are no samples" not in said
    assert "25.0% of the samples are longer than finetune_seq_len = 2,048" in said
    assert "packing=on would save" in said
    assert estimate("finetune", **ASK, data=path, samples=7).data_samples.value == 7
    assert main([*COMMAND, "--data", path]) == 0
    assert "Counted 200 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("no.jsonl", None, "cannot read"),
        ("list.jsonl", '[{"text": "a"}]', "one JSON list"),
        ("empty.jsonl", "", "no training samples"),
        ("other.xlsx", "x", "samples are read from .jsonl"),
        ("cells.csv", "text,b\na\n", "line 2: it has other cells"),
        ("no.parquet", "PAR0", "cannot read"),
    ],
)
def test_what_cannot_be_counted_is_one_line(name, content, says, tmp_path, capsys):
    if content is not None:
        (tmp_path / name).write_text(content)
    assert main([*COMMAND, "--data", str(tmp_path / name)]) == 2
    lines = capsys.readouterr().err.splitlines()

    assert len(lines) == 1
    assert says in lines[0]
