"""A sweep says for each row what compare says, in whatever table the rows come."""

import csv
import subprocess
import sys
import time

import numpy as np
import pytest

from estimator import EstimatorError, compare, sweep
from estimator.cli import main
from estimator.errors import UnknownName
from estimator.scenario import default_scenario
from estimator.stages import STAGES
from estimator.sweeping import FIGURES, Sweep, columns_of

QUESTION = {"model": "7b", "gpu": "a100"}
pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def scenarios(count, seed=0):
    """Rows with live inputs, some that predictions rest on, prices, ranges and gaps."""
    draw = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        row = {
            "model": ("7b", "llama-3.1-8b")[index % 2],
            "gpu": ("a100", "8xh100")[index % 3 // 2],
            "requests_per_month": float(10 ** draw.uniform(3, 7)),
            "growth_per_month": float(draw.uniform(-0.05, 0.2)),
            "samples": int(draw.integers(100, 50_000)),
            "epochs": int(draw.integers(1, 6)),
            "horizon_months": int(draw.integers(1, 36)),
            "contingency": float(draw.choice([0.0, 0.2])),
        }
        if index % 3 == 0:
            row["price_per_hour"] = float(draw.uniform(1, 5))
        if index % 4 == 0:
            row |= {"samples_low": row["samples"] * 0.5, "samples_high": row["samples"] * 3.0}
        if index % 5 == 0:
            row["prompt_tokens"] = 600
        if index % 7 == 0:
            row["method"] = "qlora"
        rows.append(row)
    return rows


def asked(row):
    """The same question to compare."""
    found = {name: value for name, value in row.items() if not name.endswith(("_low", "_high"))}
    if "samples_low" in row:
        found["samples"] = row["samples_low"], row["samples"], row["samples_high"]
    if "price_per_hour" in found:
        found["price"] = found.pop("price_per_hour")
    return found


def test_every_answer_is_compares():
    rows = scenarios(24)

    for row, answer in zip(rows, sweep(rows), strict=True):
        comparison = compare(**asked(row))
        for stage in STAGES:
            for name in FIGURES:
                figure = getattr(comparison[stage], name)
                found = [answer[f"{stage}_{name}{end}"] for end in ("", "_low", "_high")]
                assert found == pytest.approx([figure.value, figure.low, figure.high], rel=1e-9, abs=1e-15)


def test_inputs_of_every_name_change_what_compare_changes():
    """Each row changes one input, live or not, of those the default scenario has."""
    rows, draw = [], np.random.default_rng(1)
    for name, entry in default_scenario().amounts.items():
        value = min(max((entry.value or 1.0) * float(draw.uniform(0.7, 1.4)), entry.least), entry.most)
        rows.append({name: float(round(value)) if value > 20 or entry.whole else value})

    for row, answer in zip(rows, sweep(rows, **QUESTION, figures=("total_usd", "calendar_s")), strict=True):
        comparison = compare(**QUESTION, **row)
        for stage in STAGES:
            for name in ("total_usd", "calendar_s"):
                figure = getattr(comparison[stage], name, None)
                found = [answer[f"{stage}_{name}{end}"] for end in ("", "_low", "_high")]
                expected = [figure.value, figure.low, figure.high] if figure else [np.nan] * 3
                assert found == pytest.approx(expected, rel=1e-9, nan_ok=True), f"{row} {stage} {name}"


def test_inputs_that_other_approaches_use_cost_nothing():
    """A column that the chosen approach ignores does not split the rows into estimates of their own."""
    run = Sweep(("prompt",), ("people_hours",), QUESTION)
    run.answers(*columns_of([{"samples": 1000 + index, "rag_setup_hours": 10 + index} for index in range(300)]))

    assert len(run._groups) == 1


def test_an_api_is_a_row_too():
    (answer,) = sweep([{"api": "openai:gpt-4o-mini", "requests_per_month": 5e6}], stages=("prompt",))

    expected = compare(api="openai:gpt-4o-mini", requests_per_month=5e6, stages=("prompt",))["prompt"].total_usd
    assert answer["prompt_total_usd_high"] == pytest.approx(expected.high, rel=1e-9)


def test_bad_rows_say_why_and_the_others_stand():
    rows = [
        {"gpu": "a100", "samples": "abc"},
        {"gpu": "h1000"},
        {"gpu": "a100", "samples": -1},
        {"gpu": "a100", "samples": 5000, "samples_low": 9000, "samples_high": 10_000},
        {"gpu": "a100", "samples": 5000},
    ]

    found = sweep(rows, stages=("finetune",), model="7b")

    assert [bool(row["error"]) for row in found] == [True, True, True, True, False]
    assert "did you mean" in found[1]["error"].lower()
    assert all(np.isnan(row["finetune_total_usd"]) for row in found[:4])
    assert found[4]["finetune_total_usd"] > 0


def test_a_cell_may_say_what_an_option_says():
    """Thousands and millions by their letter, separators, and whole months alone."""
    said = sweep([{"samples": "2k"}, {"samples": "2,000"}, {"samples": 2000}], **QUESTION, stages=("finetune",))
    half = sweep([{"horizon_months": 1.5}], **QUESTION, stages=("prompt",))[0]

    assert said[0]["finetune_total_usd"] == said[1]["finetune_total_usd"] == said[2]["finetune_total_usd"] > 0
    assert half["error"] == "horizon_months must be a whole number, not 1.5"


def test_an_approach_that_cannot_run_leaves_the_others():
    (found,) = sweep([{"gpu": "1xt4"}], model="70b", stages=("prompt", "finetune"))

    assert "needs" in found["error"]
    assert np.isnan(found["prompt_total_usd"])


def test_a_wrong_column_is_refused_and_a_users_own_passes():
    with pytest.raises(UnknownName, match="samples"):
        sweep([{"sampels": 3}], model="7b", gpu="a100")
    (row,) = sweep([{"x_team": "search", "id": 7}], model="7b", gpu="a100", stages=("prompt",))
    assert row["x_team"] == "search"


def test_every_kind_of_table_comes_back_as_it_was():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    rows = [{"gpu": "a100", "samples": 1000.0}, {"gpu": "h100", "samples": 2000.0}]
    expected = [row["finetune_total_usd"] for row in sweep(rows, model="7b", stages=("finetune",))]
    tables = [pandas.DataFrame(rows, index=[5, 9]), polars.DataFrame(rows), pyarrow.Table.from_pylist(rows)]

    for table in tables:
        found = sweep(table, model="7b", stages=("finetune",))
        assert type(found) is type(table)
        assert list(np.asarray(found["finetune_total_usd"])) == pytest.approx(expected)
    assert list(sweep(tables[0], model="7b", stages=("prompt",)).index) == [5, 9]


def test_pieces_give_what_the_whole_gives():
    rows = scenarios(9)
    whole = sweep(rows, stages=("rag",))
    run = Sweep(("rag",))

    first = run.answers(*columns_of(rows[:4]))["rag_total_usd"].tolist()
    second = run.answers(*columns_of(rows[4:]))["rag_total_usd"].tolist()

    assert first + second == [row["rag_total_usd"] for row in whole]


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
def test_files_in_and_out(tmp_path, ending, capsys):
    rows = [{**row, "note": "=cmd()"} for row in scenarios(6)]
    write_rows(tmp_path / "in.csv", rows)
    expected = [row["prompt_total_usd"] for row in sweep(rows, stages=("prompt",))]
    middle, last = tmp_path / f"middle.{ending}", tmp_path / "out.csv"

    assert main(["sweep", str(tmp_path / "in.csv"), "-o", str(middle), "--stages", "prompt"]) == 0
    answered = [f"prompt_{name}{end}" for name in FIGURES for end in ("", "_low", "_high")]
    if ending == "parquet":
        import pyarrow.parquet as parquet

        found = parquet.read_table(middle).to_pylist()
        parquet.write_table(parquet.read_table(middle).drop_columns(answered), tmp_path / "again.parquet")
        assert main(["sweep", str(tmp_path / "again.parquet"), "-o", str(last), "--stages", "prompt"]) == 0
    elif ending == "xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        sheet = openpyxl.load_workbook(middle).active
        names, *lines = sheet.iter_rows(values_only=True)
        found = [dict(zip(names, line, strict=True)) for line in lines]
    else:
        found = list(csv.DictReader(middle.read_text().splitlines()))
        assert found[0]["note"] == "'=cmd()"
    assert [float(row["prompt_total_usd"]) for row in found] == pytest.approx(expected, rel=1e-9)
    assert "6 scenarios" in capsys.readouterr().out


def test_without_arrow_csv_still_works(tmp_path, monkeypatch):
    from estimator.export import sweep_files

    monkeypatch.setattr(sweep_files, "_has_arrow", lambda: False)
    write_rows(tmp_path / "in.csv", [{"gpu": "a100", "samples": 1000}, {"gpu": "nope", "samples": ""}])
    run = Sweep(("prompt",), FIGURES, {"model": "7b"})

    assert sweep_files.sweep_file(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), run) == (2, 1)
    first, second = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert float(first["prompt_total_usd"]) > 0
    assert second["prompt_total_usd"] == ""
    assert "nope" in second["error"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "a.csv"),
        (b"gpu\n", "a.csv"),
        (b"gpu,gpu\na,b\n", "a.csv"),
        (b"\xff\xfe", "a.csv"),
        (b"no", "a.parquet"),
        ("gpu\n\u202eabc,a\n".encode(), "a.csv"),
    ],
)
def test_files_that_are_no_tables_are_refused_in_one_line(tmp_path, content, name, capsys):
    (tmp_path / name).write_bytes(content)

    assert main(["sweep", str(tmp_path / name), "-o", str(tmp_path / "out.csv"), "--model", "7b"]) == 2

    said = capsys.readouterr().err.strip()
    assert said.isprintable()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("arguments", [["missing.csv", "-o", "out.csv"], ["a.txt", "-o", "out.csv"], ["a.csv"]])
def test_wrong_names_are_refused_in_one_line(arguments, capsys):
    assert main(["sweep", *arguments, "--model", "7b", "--gpu", "a100"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_more_rows_than_a_sheet_takes_are_refused(monkeypatch, tmp_path):
    from estimator.export import sweep_files

    monkeypatch.setattr(sweep_files, "MOST_SHEET_ROWS", 3)
    write_rows(tmp_path / "in.csv", [{"samples": index + 1} for index in range(5)])
    run = Sweep(("prompt",), FIGURES, {"model": "7b", "gpu": "a100"})

    with pytest.raises(EstimatorError, match="use CSV or Parquet"):
        sweep_files.sweep_file(str(tmp_path / "in.csv"), str(tmp_path / "out.xlsx"), run)
    assert not (tmp_path / "out.xlsx").exists()


def test_killed_half_way_no_file_is_left_half_written(tmp_path):
    write_rows(tmp_path / "in.csv", [{"gpu": "a100", "requests_per_month": 1000 + index} for index in range(200_000)])
    start = "import sys; from estimator.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "sweep", "in.csv", "-o", "out.csv", "--model", "7b"]
    process = subprocess.Popen(command, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.csv.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()

    assert process.wait() < 0, "it had ended before it was killed"
    assert not (tmp_path / "out.csv").exists()


def test_the_same_call_runs_on_a_cluster():
    """dask hands out partitions of a table to two processes, as a cluster would."""
    pandas = pytest.importorskip("pandas")
    dask_frame = pytest.importorskip("dask.dataframe", reason="dask is not installed")
    distributed = pytest.importorskip("distributed")
    rows = [{"gpu": ("a100", "h100")[index % 2], "requests_per_month": 1e5 * (index + 1)} for index in range(8)]
    table = pandas.DataFrame(rows)
    expected = sweep(table, model="7b", stages=("prompt",))

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        parts = dask_frame.from_pandas(table, npartitions=4)
        found = parts.map_partitions(sweep, model="7b", stages=("prompt",)).compute()

    assert list(found["prompt_total_usd_high"]) == pytest.approx(list(expected["prompt_total_usd_high"]))


def answered(folder, name, *words):
    """What the command writes as CSV for a file."""
    out = folder / "out.csv"
    asked = ["--model", "7b", "--gpu", "a100", "--stages", "finetune", "--figures", "total_usd", *words]
    assert main(["sweep", str(folder / name), "-o", str(out), *asked]) == 0
    return list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize("arrow", [True, False])
def test_semicolons_decimal_commas_and_a_byte_order_mark_are_read(tmp_path, monkeypatch, arrow):
    from estimator.export import sweep_files

    monkeypatch.setattr(sweep_files, "_has_arrow", lambda: arrow)
    text = "gpu;samples;growth_per_month;note\na100;1000;0,05;1,5 hours\nh10;2000;0,1;\n"
    (tmp_path / "in.csv").write_text(text, encoding="utf-8-sig")

    good, bad = answered(tmp_path, "in.csv")

    expected = compare(**QUESTION, samples=1000, growth_per_month=0.05)["finetune"].total_usd.value
    assert float(good["finetune_total_usd"]) == pytest.approx(expected, rel=1e-9)
    assert good["note"] == "1,5 hours"
    assert bad["finetune_total_usd"] == ""
    assert "h100" in bad["error"]


def test_sheets_with_gaps_and_mixed_cells_are_read_by_their_headings(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    rows = [
        ["gpu", None, "samples", "note"],
        ["a100", "aside", 1000, "=1+1"],
        [None] * 4,
        ["a100", 7, "many", None],
        ["a100", None, 3000, "-x"],
    ]
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "in.xlsx")

    found = answered(tmp_path, "in.xlsx")

    assert [bool(row["error"]) for row in found] == [False, True, False]
    assert [row["samples"] for row in found] == ["1000", "many", "3000"]
    assert [row["note"] for row in found][1:] == ["", "'-x"]
    assert answered(tmp_path, "out.csv")[2]["finetune_total_usd"] == found[2]["finetune_total_usd"]  # and again


def test_parquet_of_many_types_is_read_and_odd_ones_pass_or_are_refused_in_one_line(tmp_path, capsys):
    from decimal import Decimal

    import pyarrow.parquet as parquet

    table = pyarrow.table(
        {
            "gpu": pyarrow.array(["a100", "h100"]).dictionary_encode(),
            "samples": pyarrow.array([1000, None], pyarrow.int32()),
            "growth_per_month": [Decimal("0.05"), None],
            "prefix_cache": [True, None],
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    parquet.write_table(table.append_column("x_list", [[[1], [2, 3]]]), tmp_path / "odd.parquet")

    first, second = answered(tmp_path, "in.parquet")
    assert not first["error"]
    assert not second["error"]
    for ending, status in (("parquet", 0), ("xlsx", 0), ("csv", 2)):
        words = ["sweep", str(tmp_path / "odd.parquet"), "-o", str(tmp_path / f"odd.{ending}"), "--stages", "finetune"]
        assert main([*words, "--model", "7b"]) == status, ending
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "odd.csv").exists()


def test_text_that_is_a_number_to_us_and_a_formula_to_a_sheet_is_made_harmless(tmp_path):
    sweep_files = pytest.importorskip("estimator.export.sweep_files")
    (tmp_path / "in.csv").write_text("id,samples\n-7b,1000\n-7.5e3,1000\n")
    run = Sweep(("prompt",), FIGURES, {"model": "7b", "gpu": "a100"})

    sweep_files.sweep_file(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), run)

    rows = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert [row["id"] for row in rows] == ["'-7b", "-7.5e3"]


def test_several_processes_write_the_same_file_in_the_same_order(tmp_path, monkeypatch):
    from pyarrow import parquet

    from estimator.export import sweep_files

    monkeypatch.setattr(sweep_files, "PIECE", 4)
    source = tmp_path / "in.parquet"
    rows = [{"id": str(row), "gpu": "a100" if row % 5 else "h1000", "samples": 1000.0 + row} for row in range(18)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), source)
    found = []
    for workers in (1, 2):
        target = tmp_path / f"out{workers}.parquet"
        run = Sweep(stages=("finetune",), inputs={"model": "7b"})
        assert sweep_files.sweep_file(str(source), str(target), run, workers=workers) == (18, 4)
        found.append(target.read_bytes())
    assert found[0] == found[1]
    assert parquet.read_table(target)["id"].to_pylist() == [row["id"] for row in rows]


def test_another_process_answers_once_it_has_begun(monkeypatch):
    from estimator.export import sweep_workers

    own, asked = [], []
    answer = sweep_workers.answer
    monkeypatch.setattr(sweep_workers, "answer", lambda run, piece: own.append(piece[0]["id"]) or answer(run, piece))

    def pieces():
        while len(own) == len(asked):  # until one is answered elsewhere
            asked.append(str(len(asked)))
            yield [{"id": asked[-1], "samples": 1000.0 + len(asked)}]

    run = Sweep(stages=("finetune",), inputs={"model": "7b", "gpu": "a100"})
    found = list(sweep_workers.answered(pieces(), run, 2))

    assert [piece[0]["id"] for piece, bad in found if not bad] == asked
    expected = sweep([{"samples": 1000.0 + len(asked)}], **run.inputs, stages=run.stages)[0]
    assert found[-1][0][0]["finetune_total_usd_high"] == expected["finetune_total_usd_high"]
    assert len(own) == len(asked) - 1


def test_workers_are_a_number_or_all(capsys, tmp_path):
    (tmp_path / "in.csv").write_text("samples\n1000\n")
    asked = ["sweep", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"), "--model", "7b", "--gpu", "a100"]
    assert main([*asked, "--workers", "0"]) == 2
    assert "--workers must be from 1" in capsys.readouterr().err
    assert main(["sweep", "--vary", "samples=1k,2k", "--model", "7b", "--gpu", "a100", "--workers", "2"]) == 2
    assert "--workers belongs to a file of scenarios" in capsys.readouterr().err
