"""Files of scenarios: CSV, Parquet and workbooks with bad cells, doubled columns, bombs, rows without end."""

import random
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import files, values
from tests.fuzz.answers import command
from tests.fuzz.trial import Trial

SHARE = 70
NAMES = (
    "samples",
    "model",
    "gpu",
    "gpus",
    "price_per_hour",
    "requests_per_month",
    "method",
    "x_tag",
    "id",
    "samples_low",
)


def cell(reference: str, value: str, kind: str = "n") -> str:
    """A cell of a sheet."""
    return f'<c r="{reference}" t="{kind}"><v>{value}</v></c>'


HEADER = f'<row r="1">{cell("A1", "0", "s")}</row>'


def _sheet(rows: str, **parts: str) -> Callable[[], None]:
    return lambda: files.zipped("in.xlsx", files.book(HEADER + rows, **parts))


def _row(inner: str, number: str = "2") -> str:
    return f'<row r="{number}">{inner}</row>'


def _chart_only() -> None:
    """As a spreadsheet program saves a chart that was moved to a sheet of its own, the data deleted."""
    import xlsxwriter

    book = xlsxwriter.Workbook("in.xlsx")
    chart = book.add_chart({"type": "line"})
    chart.add_series({"values": "=Gone!$A$1:$A$3"})
    book.add_chartsheet().set_chart(chart)
    book.close()


def _broken(spoil: Callable[[str, str], None], part: str = "xl/worksheets/sheet1.xml") -> Callable[[], None]:
    def make() -> None:
        files.zipped("in.xlsx", files.book(HEADER + _row(cell("A2", "5"))))
        spoil("in.xlsx", part)

    return make


def _bomb(part: str) -> Callable[[], None]:
    return lambda: files.bomb("in.xlsx", files.book(HEADER + _row(cell("A2", "5"))), part)


def _parquet(kind: str) -> Callable[[], None]:
    def make() -> None:
        import pyarrow
        from pyarrow import parquet

        columns = {
            "doubled": (["samples", "samples"], [pyarrow.array([5]), pyarrow.array([6])]),
            "nested": (["samples"], [pyarrow.array([[5]])]),
            "binary": (["samples"], [pyarrow.array([b"\xff\xfe"])]),
            "times": (["samples"], [pyarrow.array([5], pyarrow.timestamp("ns"))]),
            "nan": (["samples"], [pyarrow.array([float("nan"), float("inf"), 1e308])]),
            "decimal": (["samples"], [pyarrow.array([5]).cast(pyarrow.decimal128(38, 10))]),
            "dictionary": (["gpu"], [pyarrow.array(["a100", None, "a100"]).dictionary_encode()]),
            "none": (["samples"], [pyarrow.nulls(3)]),
            "no name": ([""], [pyarrow.array([5])]),
            "halves": (["samples"], [pyarrow.array([5.0], pyarrow.float32())]),
        }
        names, arrays = columns[kind]
        parquet.write_table(pyarrow.Table.from_arrays(arrays, names=names), "in.parquet")

    return make


def _text(content: str | bytes, name: str = "in.csv") -> Callable[[], None]:
    return lambda: _put(name, content)


def _put(name: str, content: str | bytes) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))


HEADS = ",".join(f"x_{number}" for number in range(100_000))
# name -> what lays the file out, and the one right exit where there is one
CASES: dict[str, tuple[Callable[[], None], int | None]] = {
    "a plain workbook": (_sheet(_row(cell("A2", "5"))), 0),
    "a plain file": (_text("samples\n5\n"), 0),
    "bad number in a cell": (_sheet(_row(cell("A2", "abc"))), None),
    "bad boolean in a cell": (_sheet(_row(cell("A2", "x", "b"))), None),
    "bad date in a cell": (_sheet(_row(cell("A2", "x", "d"))), None),
    "bad reference of a cell": (_sheet(_row(cell("2A", "5"))), None),
    "bad style of a cell": (_sheet(_row('<c r="A2" s="99"><v>5</v></c>')), None),
    "unknown kind of a cell": (_sheet(_row(cell("A2", "5", "zz"))), None),
    "cell without end": (_sheet("<row r='2'><c r='A2'><v>5"), 2),
    "shared string that is not there": (_sheet(_row(cell("A2", "99", "s"))), None),
    "shared string that is no number": (_sheet(_row(cell("A2", "x", "s"))), None),
    "shared strings missing": (lambda: _without("xl/sharedStrings.xml"), None),
    "shared strings damaged": (_sheet(_row(cell("A2", "5")), **{"xl/sharedStrings.xml": "<sst><si>"}), 2),
    "styles damaged": (_sheet(_row(cell("A2", "5")), **{"xl/styles.xml": "<styleSheet"}), None),
    "workbook damaged": (_sheet(_row(cell("A2", "5")), **{"xl/workbook.xml": "<workbook"}), 2),
    "relationships damaged": (_sheet(_row(cell("A2", "5")), **{"xl/_rels/workbook.xml.rels": "<Rel"}), 2),
    "relationships missing": (lambda: _without("xl/_rels/workbook.xml.rels"), 2),
    "sheet missing": (lambda: _without("xl/worksheets/sheet1.xml"), 2),
    "chart-only workbook": (_chart_only, 2),
    "checksum of a part": (_broken(files.broken_crc), 2),
    "checksum of the workbook": (_broken(files.broken_crc, "xl/workbook.xml"), 2),
    "packed content": (_broken(files.broken_data), 2),
    "packed shared strings": (_broken(files.broken_data, "xl/sharedStrings.xml"), 2),
    "no default style": (
        _sheet(_row(cell("A2", "5")), **{"xl/styles.xml": f'<styleSheet xmlns="{files.MAIN}"/>'}),
        None,
    ),
    "zip bomb, sheet": (_bomb("xl/worksheets/sheet1.xml"), 2),
    "zip bomb, shared strings": (_bomb("xl/sharedStrings.xml"), 2),
    "row 1e9": (_sheet(_row(cell("A1000000000", "5"), "1000000000")), 2),
    "row that is no number": (_sheet(_row(cell("A2", "5"), "x")), None),
    "column ZZZZZ": (_sheet(_row(cell("ZZZZZ2", "5"))), None),
    "error value in a cell": (_sheet(_row(cell("A2", "#DIV/0!", "e"))), None),
    "entities": (_sheet("<!DOCTYPE x [<!ENTITY a 'aaaa'>]><row r='2'/>"), 2),
    "Parquet with two columns of one name": (_parquet("doubled"), 2),
    "Parquet, nested": (_parquet("nested"), None),
    "Parquet, binary": (_parquet("binary"), None),
    "Parquet, times": (_parquet("times"), None),
    "Parquet, nan": (_parquet("nan"), None),
    "Parquet, decimal": (_parquet("decimal"), None),
    "Parquet, dictionary": (_parquet("dictionary"), None),
    "Parquet, nulls": (_parquet("none"), None),
    "Parquet, no name": (_parquet("no name"), 2),
    "Parquet, halves": (_parquet("halves"), None),
    "Parquet, cut": (_text(b"PAR1" + b"\0" * 50 + b"PAR1", "in.parquet"), 2),
    "100,000 headers": (_text(f"samples,{HEADS}\n5{',1' * 100_000}\n"), None),
    "100,000 unknown headers": (_text(f"samples,{HEADS.replace('x_', 'y_')}\n5{',1' * 100_000}\n"), 2),
    "two columns of one name": (_text("samples,samples\n5,6\n"), 2),
    "two columns of one name but for spaces": (_text("samples, samples\n5,6\n"), 2),
    "a name left empty": (_text("samples,,x_a\n5,6,7\n"), None),
    "NUL": (_text("samples\n5\0\n"), None),
    "lone surrogate": (_text("samples,x_a\n5,\ud800\n"), 2),
    "not UTF-8": (_text(b"samples,x_a\n5,\xff\xfe\n"), 2),
    "UTF-16": (_text("samples\n5\n".encode("utf-16")), 2),
    "more cells than names": (_text("samples\n5,6\n"), None),
    "fewer cells than names": (_text("samples,gpu\n5\n"), None),
    "quote without end": (_text('samples,x_a\n5,"a\n'), None),
    "a cell of 5 MB": (_text(f"samples,x_a\n5,{'a' * 5_000_000}\n"), None),
    "only a header": (_text("samples\n"), 2),
    "empty": (_text(""), 2),
    "blank lines": (_text("\n\n\n"), 2),
    "a workbook called .csv": (
        lambda: (files.zipped("in.xlsx", files.book(HEADER)), Path("in.xlsx").rename("in.csv")),
        2,
    ),
    "a Parquet file called .csv": (lambda: (_parquet("nan")(), Path("in.parquet").rename("in.csv")), 2),
    "a CSV file called .xlsx": (_text("samples\n5\n", "in.xlsx"), 2),
    "a CSV file called .parquet": (_text("samples\n5\n", "in.parquet"), 2),
    "JSON called .csv": (_text('{"samples": 5}\n', "in.csv"), 2),
}


def _without(part: str) -> None:
    parts = files.book(HEADER + _row(cell("A2", "5")))
    del parts[part]
    files.zipped("in.xlsx", parts)


def draw(rng: random.Random, index: int) -> Trial:
    """Each case in turn; every third a table of hostile cells."""
    if index % 3 == 2:
        return _random(rng)
    name = [*CASES][(index // 3 * 2 + index % 3) % len(CASES)]
    make, wants = CASES[name]
    make()
    source = next(path.name for path in Path().iterdir() if path.name.startswith("in."))
    return _swept(rng, name, source, wants)


def _swept(rng: random.Random, kind: str, source: str, wants: int | None) -> Trial:
    target = f"out{rng.choice(('.csv', '.csv', '.parquet', '.xlsx') if '100,000' not in kind else ('.csv',))}"
    words = ("sweep", source, "-o", target, "--model", "7b", "--gpu", "a100", "--stages", "finetune")
    return command(kind, words, files=f"{source}: {kind}", wants=wants, writes=(target,))


def _random(rng: random.Random) -> Trial:
    """A table of a few columns with hostile cells, well quoted or not."""
    names = rng.sample(NAMES, rng.randint(1, 4))
    rows = [[values.text(rng)[:200] if rng.random() < 0.5 else values.number(rng) for _ in names] for _ in range(3)]
    sign = rng.choice(",,;\t")
    if rng.random() < 0.7:
        rows = [['"' + value.replace('"', '""') + '"' for value in row] for row in rows]
    text = "\n".join(sign.join(row) for row in [names, *rows]) + rng.choice(("\n", "", "\r\n", "\n\n\n"))
    _put("in.csv", text)
    return _swept(rng, "random table", "in.csv", None)._replace(
        shown=f"in.csv: {text[:700]!r}; estimator sweep in.csv -o out.csv --model 7b --gpu a100 --stages finetune"
    )
