"""Sweeps from file to file, a piece at a time: CSV, Parquet and .xlsx; the file written is whole or not there."""

import csv
import re
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from estimator.errors import InvalidInput, MissingExtra
from estimator.export.rows import harmless
from estimator.sweeping import Sweep, attached, columns_of

PLAIN = (str, int, float, bool)
PIECE = 65_536  # rows in memory at a time
CSV_BLOCK_BYTES = 8_000_000
MOST_SHEET_ROWS = 100_000
DECIMAL_COMMA = r"^([-+]?\d+),(\d+(?:[eE][-+]?\d+)?)$"
KINDS = (".csv", ".parquet", ".xlsx")
Progress = Callable[[int], None]  # called with the rows done so far


class Writer(Protocol):
    """Where answered pieces go."""

    def write(self, piece: Any) -> None:
        """Add a piece: an Arrow table or a list of dicts."""

    def close(self) -> None:
        """No more pieces."""


def sweep_file(source: str, target: str, run: Sweep, progress: Progress | None = None) -> tuple[int, int]:
    """Answer every row of a file into another; returns how many rows there were, and how many could not be answered.

    Raises InvalidInput in one line; then no file is written.
    """
    kind = _kind_of(source)
    return _answered(lambda: _pieces(source, kind), source, target, run, progress)


def sweep_rows(
    rows: list[dict[str, Any]], target: str, run: Sweep, progress: Progress | None = None
) -> tuple[int, int]:
    """The same for rows at hand."""
    pieces = (rows[start : start + PIECE] for start in range(0, len(rows), PIECE))
    return _answered(lambda: pieces, "", target, run, progress)


def _kind_of(name: str) -> str:
    kind = Path(name).suffix.lower()
    if kind not in KINDS:
        raise InvalidInput(f"{name!r}: a sweep reads and writes files that end in {', '.join(KINDS)}")
    return kind


def _answered(
    pieces: Callable[[], Iterator[Any]], source: str, target: str, run: Sweep, progress: Progress | None
) -> tuple[int, int]:
    kind = _kind_of(target)
    try:
        with tempfile.TemporaryDirectory(dir=Path(target).parent, prefix=f".{Path(target).name}.") as folder:
            beside = Path(folder) / f"new{kind}"
            counts = _run(pieces(), WRITERS[kind](beside), run, progress)
            beside.replace(target)
    except OSError as error:
        what = f"read {source!r} or write {target!r}" if source else f"write {target!r}"
        raise InvalidInput(f"cannot {what}: {error.strerror or error}") from None
    except Exception as error:
        if not type(error).__module__.startswith("pyarrow"):
            raise
        raise InvalidInput(f"cannot write {target!r}: {_line(error)}") from None
    return counts


def _run(pieces: Iterator[Any], writer: Writer, run: Sweep, progress: Progress | None) -> tuple[int, int]:
    done = bad = 0
    try:
        for piece in pieces:
            columns, count = columns_of(piece)
            found = run.answers(columns, count)
            writer.write(attached(piece, found))
            done += count
            bad += sum(error is not None for error in found["error"].tolist())
            if progress:
                progress(done)
    finally:
        writer.close()
    if not done:
        raise InvalidInput("the file has no rows: the first line names the columns, each further line is a scenario")
    return done, bad


def _pieces(source: str, kind: str) -> Iterator[Any]:
    if kind == ".parquet":
        return _parquet_pieces(source)
    if kind == ".xlsx":
        return _sheet_pieces(source)
    return _csv_pieces(source) if _has_arrow() else _plain_csv_pieces(source)


def _has_arrow() -> bool:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


def _parquet_pieces(source: str) -> Iterator[Any]:
    arrow = _arrow()
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source) as file:
            for batch in file.iter_batches(PIECE):
                yield arrow.Table.from_batches([batch])
    except arrow.ArrowInvalid as error:
        raise InvalidInput(f"{source!r} is no Parquet file: {_line(error)}") from None


def _csv_pieces(source: str) -> Iterator[Any]:
    """Through Arrow; all columns as text, so that one odd cell spoils its row only."""
    arrow = _arrow()
    from pyarrow import csv as arrow_csv

    names, sign = _header(source)
    convert = arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, arrow.string()), strings_can_be_null=False)
    try:
        with arrow_csv.open_csv(
            source,
            read_options=arrow_csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, delimiter=sign),
            convert_options=convert,
        ) as file:
            for batch in file:
                table = arrow.Table.from_batches([batch])
                yield table if sign == "," else _with_points(table)
    except arrow.ArrowInvalid as error:
        raise InvalidInput(f"{source!r} is no CSV file: {_line(error)}") from None


def _with_points(table: Any) -> Any:
    """Decimal commas as points, as a file with semicolons has them."""
    import pyarrow.compute as compute

    for place, name in enumerate(table.column_names):
        pointed = compute.replace_substring_regex(table.column(place), DECIMAL_COMMA, r"\1.\2")
        table = table.set_column(place, name, pointed)
    return table


def _header(source: str) -> tuple[list[str], str]:
    """The names in the first line, and what separates them: a comma, or a semicolon where there is no comma."""
    try:
        with Path(source).open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            sign = ";" if ";" in first and "," not in first else ","
            names = next(csv.reader(file, delimiter=sign), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{source!r} is no CSV file in UTF-8: {_line(error)}") from None
    if not names:
        raise InvalidInput(f"{source!r} is empty: its first line must name the columns")
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise InvalidInput(f"{source!r} has two columns {sorted(doubled)[0]!r}")
    return names, sign


def _plain_csv_pieces(source: str) -> Iterator[list[dict[str, Any]]]:
    names, sign = _header(source)
    with Path(source).open(encoding="utf-8-sig", newline="") as file:
        reader = islice(csv.reader(file, delimiter=sign), 1, None)
        while lines := list(islice(reader, PIECE)):
            if any(len(line) != len(names) for line in lines if line):
                raise InvalidInput(f"{source!r} has lines with more or fewer cells than its first line")
            yield [dict(zip(names, map(_pointed if sign == ";" else str, line), strict=True)) for line in lines if line]


def _pointed(cell: str) -> str:
    return re.sub(DECIMAL_COMMA, r"\1.\2", cell)


def _sheet_pieces(source: str) -> Iterator[list[dict[str, Any]]]:
    try:
        import openpyxl
    except ImportError:
        raise MissingExtra("openpyxl", "excel") from None
    try:
        book = openpyxl.load_workbook(source, read_only=True, data_only=True)
    except (KeyError, ValueError, EOFError) as error:
        raise InvalidInput(f"{source!r} is no .xlsx file: {_line(error)}") from None
    except Exception as error:  # zipfile.BadZipFile and openpyxl's own
        if isinstance(error, OSError):
            raise
        raise InvalidInput(f"{source!r} is no .xlsx file: {_line(error)}") from None
    try:
        lines = book.worksheets[0].iter_rows(values_only=True)
        heads = next(lines, ())
        places = {str(name).strip(): place for place, name in enumerate(heads) if name is not None}
        if len(places) < sum(name is not None for name in heads):
            raise InvalidInput(f"{source!r} has two columns of the same name")
        full = (line for line in lines if any(cell is not None for cell in line))
        rows = [
            {name: line[place] if place < len(line) else None for name, place in places.items()}
            for line in islice(full, MOST_SHEET_ROWS + 1)
        ]
    finally:
        book.close()
    if len(rows) > MOST_SHEET_ROWS:
        raise InvalidInput(_too_long())
    if rows:
        yield rows


def _too_long() -> str:
    return f"an .xlsx file holds at most {MOST_SHEET_ROWS:,} scenarios here: use CSV or Parquet for more"


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtra("pyarrow", "tables") from None
    return pyarrow


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]


def _as_arrow(piece: Any) -> Any:
    if not isinstance(piece, list):
        return piece
    names = dict.fromkeys(name for row in piece for name in row)
    return _arrow().table({name: _arrow_column([row.get(name) for row in piece]) for name in names})


def _arrow_column(values: list[Any]) -> Any:
    """Values of one kind as they are, of several as text."""
    arrow = _arrow()
    try:
        return arrow.array(values)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError):
        return arrow.array([None if value is None else str(value) for value in values], arrow.string())


def _as_rows(piece: Any) -> list[dict[str, Any]]:
    return piece if isinstance(piece, list) else list(piece.to_pylist())


def _safe(value: Any) -> Any:
    """Text that begins like a formula made harmless, unless it is a number."""
    guarded = harmless(value)
    if guarded is value:
        return value
    try:
        float(value)
    except ValueError:
        return guarded
    return value


def _safe_table(table: Any) -> Any:
    """Text harmless, and no answer an empty cell."""
    arrow = _arrow()
    import pyarrow.compute as compute

    for place, name in enumerate(table.column_names):
        column = table.column(place)
        if arrow.types.is_floating(column.type) and compute.any(compute.is_nan(column)).as_py():
            table = table.set_column(place, name, compute.if_else(compute.is_nan(column), None, column))
        if (
            column.type == arrow.string()
            and compute.any(compute.match_substring_regex(column, r"^[=+\-@\t\r]")).as_py()
        ):
            safe = arrow.array([_safe(value) for value in column.to_pylist()], arrow.string())
            table = table.set_column(place, name, safe)
    return table


class _Parquet:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: Any = None

    def write(self, piece: Any) -> None:
        table = _as_arrow(piece)
        if self.file is None:
            self.file = self._opened(table.schema)
        self.file.write_table(table.cast(self.file.schema))

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def _opened(self, schema: Any) -> Any:
        from pyarrow import parquet

        return parquet.ParquetWriter(self.path, schema)


class _ArrowCsv(_Parquet):
    def write(self, piece: Any) -> None:
        super().write(_safe_table(_as_arrow(piece)))

    def _opened(self, schema: Any) -> Any:
        from pyarrow import csv as arrow_csv

        writer = arrow_csv.CSVWriter(self.path, schema, write_options=arrow_csv.WriteOptions(quoting_style="needed"))
        return _WithSchema(writer, schema)


class _WithSchema:
    """A CSV writer that remembers its schema, as a Parquet writer does."""

    def __init__(self, writer: Any, schema: Any) -> None:
        self.schema, self.write_table, self.close = schema, writer.write_table, writer.close


class _PlainCsv:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8", newline="")
        self.writer: csv.DictWriter[str] | None = None

    def write(self, piece: Any) -> None:
        for row in _as_rows(piece):
            if self.writer is None:
                self.writer = csv.DictWriter(self.file, list(row), lineterminator="\n")
                self.writer.writeheader()
            self.writer.writerow({name: "" if value != value else _safe(value) for name, value in row.items()})

    def close(self) -> None:
        self.file.close()


class _Sheet:
    def __init__(self, path: Path) -> None:
        try:
            import xlsxwriter
        except ImportError:
            raise MissingExtra("XlsxWriter", "excel") from None
        self.book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "strings_to_formulas": False})
        self.sheet, self.row = self.book.add_worksheet("Scenarios"), 0

    def write(self, piece: Any) -> None:
        for row in _as_rows(piece):
            if self.row == 0:
                self.sheet.write_row(0, 0, [str(_safe(name)) for name in row])
            self.row += 1
            if self.row > MOST_SHEET_ROWS:
                raise InvalidInput(_too_long())
            for place, value in enumerate(row.values()):
                if value is not None and value == value:
                    self.sheet.write(self.row, place, _safe(value if isinstance(value, PLAIN) else str(value)))

    def close(self) -> None:
        self.book.close()


def _csv_writer(path: Path) -> Writer:
    return _ArrowCsv(path) if _has_arrow() else _PlainCsv(path)


WRITERS: dict[str, Callable[[Path], Writer]] = {".csv": _csv_writer, ".parquet": _Parquet, ".xlsx": _Sheet}
