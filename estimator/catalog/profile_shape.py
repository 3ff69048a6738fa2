"""What a profile must hold to be calculated with: its parts, their kinds, numbers that are possible."""

from collections.abc import Iterator, Mapping
from typing import Any

from estimator.formulas.roofline import AttentionEfficiency, DecodeAttentionEfficiency, GemmEfficiency
from estimator.numerals import LEAST, MOST

Content = Mapping[str, Any]


def _needed(kind: Any) -> tuple[str, ...]:
    """Fields of a record of constants that have no usual value, and how far it was off."""
    return (*(name for name in kind._fields if name not in kind._field_defaults and name != "evidence"), "log_sd")


RECORDS = {"gemm": GemmEfficiency, "attention": AttentionEfficiency, "decode_attention": DecodeAttentionEfficiency}
# Tables of constants, and the numbers that each entry needs; those of `calls` are numbers themselves.
TABLES: dict[str, tuple[str, ...]] = {
    **{table: _needed(record) for table, record in RECORDS.items()},
    "gemm": ("peak_flop_per_s", *_needed(GemmEfficiency)),
    "vectors": (),
    "calls": (),
    "optimizer": ("tensor_s", "param_s"),
    "phases": ("log_sd",),
}
MEMORY = ("bytes_per_s", "launch_s", "touch_s_per_byte")
OPTIONAL = ("cache_bytes", "sms", "devices")  # of a machine
LOGARITHMS = ("log", "down", "up", "log_sd", "log_errors", "left_out", "without_factors", "noise")
LARGEST_LOGARITHM = 50.0  # more than a factor of 1e21
ABOVE_ZERO = ("_per_s", "elements", "seconds", "memory_bytes")
OF_MACHINES = ("constants", "drift", "machine", "collectives", "network", "transfers", "index")


def fault(content: Content) -> str:
    """What is wrong with a profile, in a few words; nothing for a good one."""
    return next(_faults(content), "")


def _faults(content: Content) -> Iterator[str]:
    for name in ("machine", "drift", "constants"):
        if not isinstance(content.get(name), dict):
            yield f"{name} is no table"
            return
    for name in OF_MACHINES:
        if not isinstance(content.get(name, {}), dict):
            yield f"{name} is no table"
    for name in ("title", "kind", "vendor", "threads_note"):
        if not isinstance(content["machine"].get(name, "" if name in ("vendor", "threads_note") else None), str):
            yield f"machine.{name} is no text"
    if not isinstance(content.get("date"), str):
        yield "date is no text"
    known = [name for name in OPTIONAL if content["machine"].get(name) is not None]
    yield from _missing("machine", content["machine"], ("memory_bytes", *known))
    yield from _missing("drift", content["drift"], ("log", "down", "up"))
    if type(content.get("threads")) is not int or content["threads"] < 1:
        yield "threads is no whole number"
    for threads, constants in content["constants"].items():
        yield from _of_constants(f"constants.{threads}", constants)
    for name in OF_MACHINES:
        yield from _numbers(name, content.get(name, {}))


def _of_constants(where: str, constants: object) -> Iterator[str]:
    if not isinstance(constants, dict):
        yield f"{where} is no table"
        return
    yield from _missing(f"{where}.memory", constants.get("memory"), MEMORY)
    for table, names in TABLES.items():
        entries = constants.get(table)
        if not isinstance(entries, dict):
            yield f"{where}.{table} is no table"
            return
        for key, entry in entries.items():
            there = f"{where}.{table}.{key}"
            if table == "calls":
                yield from _missing(f"{where}.{table}", entries, (key,))
            else:
                yield from _missing(there, entry, (*names, *_usual(table, entry)))
                yield from OF_ENTRY.get(table, _nothing)(there, entry)
    if not constants["gemm"]:
        yield f"{where}.gemm is empty"


def _usual(table: str, entry: object) -> list[str]:
    """Constants that have a usual value, as far as an entry brings its own."""
    usual, brought = getattr(RECORDS.get(table), "_field_defaults", ()), entry if isinstance(entry, dict) else ()
    return [name for name in usual if name != "evidence" and name in brought]


def _missing(where: str, table: object, names: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(table, dict):
        yield f"{where} is no table"
        return
    for name in names:
        if isinstance(table.get(name), bool) or not isinstance(table.get(name), int | float):
            yield f"{where}.{name} is no number"


def _nothing(_: str, __: Content) -> Iterator[str]:
    yield from ()


def _curve(where: str, entry: Content) -> Iterator[str]:
    sizes, times = entry.get("elements"), entry.get("seconds")
    if not isinstance(sizes, list) or not isinstance(times, list) or not sizes or len(sizes) != len(times):
        yield f"{where} is no curve of elements and seconds"


def _products(where: str, entry: Content) -> Iterator[str]:
    errors, shapes = entry.get("log_errors"), entry.get("shapes", [])
    if not isinstance(errors, list) or not isinstance(shapes, list):
        yield f"{where} lacks log_errors"
    elif shapes and (len(shapes) != len(errors) or any(not isinstance(one, list) or len(one) != 3 for one in shapes)):
        yield f"{where}: shapes and log_errors do not belong together"


def _phase(where: str, entry: Content) -> Iterator[str]:
    factors = entry.get("factors")
    yield from _missing(f"{where}.factors", factors, tuple(factors) if isinstance(factors, dict) else ())


OF_ENTRY = {"vectors": _curve, "gemm": _products, "phases": _phase}


def _numbers(where: str, value: object, name: str = "") -> Iterator[str]:
    """Every number that cannot be."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(f"{where}.{key}", inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(where, inner, name)
    elif isinstance(value, int | float) and not isinstance(value, bool) and not _possible(name, value):
        yield f"{where} is {value:.3g}" if isinstance(value, float) else f"{where} is too large or below 0"
    elif (name in (*LOGARITHMS, "shapes") or name.endswith(ABOVE_ZERO)) and not isinstance(value, int | float | None):
        yield f"{where} holds something that is no number"


def _possible(name: str, value: float) -> bool:
    if name in LOGARITHMS:
        return abs(value) <= LARGEST_LOGARITHM
    if name.endswith(ABOVE_ZERO):
        return LEAST < value < MOST
    return value == 0 or LEAST < value < MOST
