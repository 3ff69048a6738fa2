"""LLMs that bring code of their own which does otherwise than the classes of `transformers`: presets/own_code.csv."""

from collections.abc import Sequence

from estimator.catalog.files import cached, number, preset_files, rows
from estimator.records import OwnCode

COLUMNS = ("llm", "framework", "release", "recomputes", "kept_bytes")


@cached
def _codes() -> dict[str, tuple[OwnCode, ...]]:
    found: dict[str, tuple[OwnCode, ...]] = {}
    for row in (row for path in preset_files("own_code.csv") for row in rows(path, COLUMNS)):
        done, kept = (number(row[name], f"own_code.csv, {row['llm']}: {name}") or 0.0 for name in COLUMNS[3:])
        one = OwnCode(row["framework"], row["release"], done, kept)
        found[row["llm"]] = (*found.get(row["llm"], ()), one)
    return found


def own_code(llm: str) -> tuple[OwnCode, ...]:
    """What the own code of a preset does otherwise, by who runs it; nothing for most LLMs.

    >>> [code.recomputes for code in own_code("chatglm3-6b")], own_code("llama-3.1-8b")
    ([0.0, 1.0, 0.14], ())
    """
    return _codes().get(llm, ())


def code_under(codes: Sequence[OwnCode], framework: str, release: str = "") -> OwnCode | None:
    """Of them what holds under a framework, in one of its releases; None where there is none.

    >>> [code_under(own_code("chatglm3-6b"), name).recomputes for name in ("trl", "llama-factory")]
    [0.0, 1.0]
    """
    known = {(code.framework, code.release): code for code in codes}
    tried = ((framework, release), (framework, ""), ("", ""))
    return next((known[each] for each in tried if each in known), None)
