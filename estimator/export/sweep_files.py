"""Sweeps from file to file, a piece at a time: CSV, Parquet and .xlsx; the file written is whole or not there."""

import csv
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from estimator.errors import InvalidInput, MissingExtra, clipped
from estimator.export.rows import FORMULA_STARTS, harmless
from estimator.export.sweep_workers import answered
from estimator.files import doubled, read_bytes, reason, regular, shown, unzipped, whole
from estimator.sweeping import Sweep, columns_of

if TYPE_CHECKING:
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet
    from pyarrow import Array, Schema, Table
    from pyarrow.csv import CSVWriter
    from pyarrow.parquet import ParquetWriter

PLAIN = (str, int, float, bool)
PIECE = 16_384  # rows in memory at a time
CSV_BLOCK_BYTES = 8_000_000
MOST_SHEET_ROWS = 100_000
MOST_COLUMNS = 16_384  # as many as a sheet has
LAST_ROW = 1_048_576  # of a sheet, empty ones counted
LONGEST_LINE = 4_000_000  # of names of columns [characters]
DECIMAL_COMMA = r"^([-+]?\d+),(\d+(?:[eE][-+]?\d+)?)$"
# Files with semicolons: points may group thousands there, and one group alone could be either.
GROUPED = r"^[-+]?[1-9]\d{0,2}(\.\d{3}){2,}(,\d+)?$|^[-+]?[1-9]\d{0,2}\.\d{3},\d+$"
EITHER, ASKED = r"^([-+]?[1-9]\d{0,2})\.(\d{3})$", r"\1.\2 (is that \1\2? write it without a point)"
KINDS = (".csv", ".parquet", ".xlsx")
Progress = Callable[[int], None]  # called with the rows done so far
Piece: TypeAlias = "list[dict[str, object]] | Table"


class Writer(Protocol):
    """Where answered pieces go."""

    def write(self, piece: Piece) -> None:
        """Add a piece: an Arrow table or a list of dicts."""

    def close(self) -> None:
        """No more pieces."""


def sweep_file(
    source: str, target: str, run: Sweep, progress: Progress | None = None, workers: int = 1
) -> tuple[int, int]:
    """Answer every row of a file into another; returns how many rows there were, and how many could not be answered.

    workers: processes that answer; the file is the same however many
    Raises InvalidInput in one line; then no file is written.
    """
    kind = _kind_of(source)
    return _answered(lambda: _pieces(source, kind), source, target, run, progress, workers)


def sweep_rows(
    rows: list[dict[str, object]], target: str, run: Sweep, progress: Progress | None = None
) -> tuple[int, int]:
    """The same for rows at hand."""
    pieces = (rows[start : start + PIECE] for start in range(0, len(rows), PIECE))
    return _answered(lambda: pieces, "", target, run, progress)


def _kind_of(name: str) -> str:
    kind = Path(name).suffix.lower()
    if kind not in KINDS:
        raise InvalidInput(f"{shown(name)}: a sweep reads and writes files that end in {', '.join(KINDS)}")
    return kind


def _answered(
    pieces: Callable[[], Iterator[Piece]],
    source: str,
    target: str,
    run: Sweep,
    progress: Progress | None,
    workers: int = 1,
) -> tuple[int, int]:
    kind = _kind_of(target)
    if source:
        _check_source(source)
    try:
        with whole(target) as beside:
            return _run(answered(_narrow(pieces()), run, workers), WRITERS[kind](beside), progress)
    except Exception as error:
        if not type(error).__module__.startswith("pyarrow"):
            raise
        raise InvalidInput(f"cannot write {shown(target)}: {_line(error)}") from None


def _check_source(source: str) -> None:
    try:
        regular(source)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {shown(source)}: {reason(error)}") from None


def _narrow(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces, if they have no more columns than a sheet can."""
    for piece in pieces:
        if (columns := len(columns_of(piece[:1])[0])) > MOST_COLUMNS:
            raise InvalidInput(f"there are {columns:,} columns: at most {MOST_COLUMNS:,} are read")
        yield piece


def _run(pieces: Iterator[tuple[Piece, int]], writer: Writer, progress: Progress | None) -> tuple[int, int]:
    done = bad = 0
    try:
        for piece, wrong in pieces:
            writer.write(piece)
            done += len(piece)
            bad += wrong
            if progress:
                progress(done)
    finally:
        writer.close()
    if not done:
        raise InvalidInput("the file has no rows: the first line names the columns, each further line is a scenario")
    return done, bad


def _pieces(source: str, kind: str) -> Iterator[Piece]:
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


def _parquet_pieces(source: str) -> Iterator[Piece]:
    arrow = _arrow()
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source) as file:
            _check_columns(source, file.schema_arrow.names)
            for batch in file.iter_batches(PIECE):
                yield arrow.Table.from_batches([batch])
    except (arrow.ArrowException, OSError) as error:  # what is damaged further in is an OSError too
        raise InvalidInput(f"{shown(source)} is no Parquet file: {_line(error)}") from None


def _check_columns(source: str, names: Sequence[str]) -> None:
    if (twice := doubled(names)) is not None:
        raise InvalidInput(f"{shown(source)} has two columns {clipped(twice)}")
    if len(names) > MOST_COLUMNS:
        raise InvalidInput(f"{shown(source)} has {len(names):,} columns: at most {MOST_COLUMNS:,} are read")


def _csv_pieces(source: str) -> Iterator[Piece]:
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
    except (arrow.ArrowException, OSError) as error:
        raise InvalidInput(f"{shown(source)} is no CSV file in UTF-8: {_line(error)}") from None


def _with_points(table: "Table") -> "Table":
    """Decimal commas as points, as a file with semicolons has them."""
    import pyarrow.compute as compute

    for place, name in enumerate(table.column_names):
        cells = table.column(place)
        cells = compute.replace_substring_regex(cells, EITHER, ASKED)
        grouped = compute.match_substring_regex(cells, GROUPED)
        cells = compute.if_else(grouped, compute.replace_substring(cells, ".", ""), cells)
        table = table.set_column(place, name, compute.replace_substring_regex(cells, DECIMAL_COMMA, r"\1.\2"))
    return table


def _header(source: str) -> tuple[list[str], str]:
    """The names in the first line, and what separates them: a comma, or a semicolon where there is no comma."""
    try:
        with Path(source).open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(LONGEST_LINE)
            if len(first) == LONGEST_LINE:
                raise InvalidInput(f"{shown(source)} has a first line of {LONGEST_LINE:,} characters: it is no table")
            file.seek(0)
            sign = ";" if ";" in first and "," not in first else ","
            names = next(csv.reader(file, delimiter=sign), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{shown(source)} is no CSV file in UTF-8: {_line(error)}") from None
    if not names:
        raise InvalidInput(f"{shown(source)} is empty: its first line must name the columns")
    _check_columns(source, names)
    return names, sign


def _plain_csv_pieces(source: str) -> Iterator[list[dict[str, object]]]:
    names, sign = _header(source)
    try:
        with Path(source).open(encoding="utf-8-sig", newline="") as file:
            reader = islice(csv.reader(file, delimiter=sign), 1, None)
            while lines := list(islice(reader, PIECE)):
                yield [_row(source, names, line, sign) for line in lines if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{shown(source)} is no CSV file in UTF-8: {_line(error)}") from None


def _row(source: str, names: list[str], line: list[str], sign: str) -> dict[str, object]:
    if len(line) != len(names):
        raise InvalidInput(f"{shown(source)} has lines with more or fewer cells than its first line")
    return dict(zip(names, map(_pointed if sign == ";" else str, line), strict=True))


def _pointed(cell: str) -> str:
    cell = re.sub(EITHER, ASKED, cell)
    return re.sub(DECIMAL_COMMA, r"\1.\2", cell.replace(".", "") if re.match(GROUPED, cell) else cell)


def _sheet_pieces(source: str) -> Iterator[list[dict[str, object]]]:
    try:
        import openpyxl
    except ImportError:
        raise MissingExtra("openpyxl", "excel") from None
    content = _checked_package(source)
    try:
        with warnings.catch_warnings(action="ignore"):  # what openpyxl leaves out is no part of a table
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            try:
                rows = _sheet_rows(source, book.worksheets[0] if book.worksheets else None)
            finally:
                book.close()
    except InvalidInput:
        raise
    except Exception as error:  # openpyxl raises whatever a damaged part makes it trip over
        raise InvalidInput(f"{shown(source)} is no .xlsx file, or a damaged one: {_line(error)}") from None
    if rows:
        yield rows


def _checked_package(source: str) -> bytes:
    """The file; refused when it unpacks into too much, or declares entities that grow when they are read."""
    content = read_bytes(source, "workbook")
    for info, part in unzipped(content, source, "workbook"):
        if info.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in part[:4096]:
            raise InvalidInput(
                f"{shown(source)} is no .xlsx file: its part {clipped(info.filename)} has a document type"
            )
    return content


def _sheet_rows(source: str, sheet: "ReadOnlyWorksheet | None") -> list[dict[str, object]]:
    """The rows of a sheet by the names in its first one."""
    if sheet is None:
        raise InvalidInput(f"{shown(source)} has no sheet with cells")
    lines = sheet.iter_rows(values_only=True)
    heads = next(lines, ())
    named = [(str(name).strip(), place) for place, name in enumerate(heads) if name is not None]
    _check_columns(source, [name for name, _ in named])
    rows = []
    for number, line in enumerate(lines, start=2):
        if number > LAST_ROW:
            raise InvalidInput(f"{shown(source)} has a row beyond {LAST_ROW:,}, the last one of a sheet")
        if any(cell is not None for cell in line):
            rows.append({name: line[place] if place < len(line) else None for name, place in named})
        if len(rows) > MOST_SHEET_ROWS:
            raise InvalidInput(_too_long())
    return rows


def _too_long() -> str:
    return f"an .xlsx file holds at most {MOST_SHEET_ROWS:,} scenarios here: use CSV or Parquet for more"


def _arrow() -> ModuleType:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtra("pyarrow", "tables") from None
    return pyarrow


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())[:120]
    return "".join(letter if letter.isprintable() else " " for letter in words)


def _as_arrow(piece: Piece) -> "Table":
    if not isinstance(piece, list):
        return piece
    names = dict.fromkeys(name for row in piece for name in row)
    return _arrow().table({name: _arrow_column([row.get(name) for row in piece]) for name in names})


def _arrow_column(values: list[object]) -> "Array":
    """Values of one kind as they are, of several as text."""
    arrow = _arrow()
    try:
        return arrow.array(values)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError):
        return arrow.array([None if value is None else str(value) for value in values], arrow.string())


def _as_rows(piece: Piece) -> list[dict[str, object]]:
    return piece if isinstance(piece, list) else list(piece.to_pylist())


A_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][-+]?[0-9]+)?")


def _safe(value: object) -> object:
    """Text that begins like a formula made harmless, unless it is a number to a spreadsheet too."""
    return value if isinstance(value, str) and A_NUMBER.fullmatch(value) else harmless(value)


def _safe_table(table: "Table") -> "Table":
    """Text harmless, and no answer an empty cell."""
    arrow = _arrow()
    import pyarrow.compute as compute

    for place, name in enumerate(table.column_names):
        column = table.column(place)
        if arrow.types.is_floating(column.type) and compute.any(compute.is_nan(column)).as_py():
            table = table.set_column(place, name, compute.if_else(compute.is_nan(column), None, column))
        if column.type == arrow.string() and compute.any(compute.match_substring_regex(column, FORMULA_STARTS)).as_py():
            safe = arrow.array([_safe(value) for value in column.to_pylist()], arrow.string())
            table = table.set_column(place, name, safe)
    return table


class _Parquet:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: ParquetWriter | _WithSchema | None = None

    def write(self, piece: Piece) -> None:
        table = _as_arrow(piece)
        if self.file is None:
            self.file = self._opened(table.schema)
        same = table.schema.equals(self.file.schema)  # a cast copies
        self.file.write_table(table if same else table.cast(self.file.schema))

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def _opened(self, schema: "Schema") -> "ParquetWriter | _WithSchema":
        from pyarrow import parquet

        several = [column.name for column in schema if not _arrow().types.is_floating(column.type)]
        return parquet.ParquetWriter(self.path, schema, use_dictionary=several)  # figures are hardly ever the same


class _ArrowCsv(_Parquet):
    def write(self, piece: Piece) -> None:
        super().write(_safe_table(_as_arrow(piece)))

    def _opened(self, schema: "Schema") -> "_WithSchema":
        from pyarrow import csv as arrow_csv

        writer = arrow_csv.CSVWriter(self.path, schema, write_options=arrow_csv.WriteOptions(quoting_style="needed"))
        return _WithSchema(writer, schema)


class _WithSchema:
    """A CSV writer that remembers its schema, as a Parquet writer does."""

    def __init__(self, writer: "CSVWriter", schema: "Schema") -> None:
        self.schema, self.write_table, self.close = schema, writer.write_table, writer.close


class _PlainCsv:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8", newline="")
        self.writer: csv.DictWriter[str] | None = None

    def write(self, piece: Piece) -> None:
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
        self.path, self.packed = path, io.BytesIO()
        self.book = xlsxwriter.Workbook(self.packed, {"constant_memory": True, "strings_to_formulas": False})
        self.sheet, self.row = self.book.add_worksheet("Scenarios"), 0

    def write(self, piece: Piece) -> None:
        for row in _as_rows(piece):
            if self.row == 0:
                self.sheet.write_row(0, 0, [str(_safe(name)) for name in row])
            self.row += 1
            if self.row > MOST_SHEET_ROWS:
                raise InvalidInput(_too_long())
            for place, value in enumerate(row.values()):
                if value is not None and value == value:
                    plain = isinstance(value, PLAIN) and value not in (math.inf, -math.inf)
                    self.sheet.write(self.row, place, _safe(value if plain else str(value)))

    def close(self) -> None:
        try:
            self.book.close()
            self.path.write_bytes(self.packed.getvalue())
        finally:  # a book that cannot be written leaves the rows it kept aside open
            self.sheet.row_data_fh.close()


def _csv_writer(path: Path) -> Writer:
    return _ArrowCsv(path) if _has_arrow() else _PlainCsv(path)


WRITERS: dict[str, Callable[[Path], Writer]] = {".csv": _csv_writer, ".parquet": _Parquet, ".xlsx": _Sheet}
