"""Do the tests notice? Small changes of the science, drawn from a seed, and which of them no test objects to.

    python benchmarks/mutants.py --mutants 200 --seed 1 --jobs 2 --log mutants.log

Each mutant is one change of formulas/, stages/ or decide/ in a copy of the tree: a comparison or an operator swapped, a
number nudged, a condition turned round, an answer scaled, an argument dropped, min for max. Its own tests run first,
then all others, until one fails; with --near only its own, and who survives those is asked again by a run without.
Mutants that change nothing count as survivors. A log can be continued, and what the tests say of the tree as it is
comes first. Survivors get a test.
"""

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("formulas", "stages", "decide")
COPIED = (
    "estimator",
    "hardware",
    "calibration",
    "tests",
    "docs",
    "benchmarks",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
)
LAST = ("tests/measure", "tests/validation", "tests/export", "tests/search")  # slow ones
NEAR = "survived its own tests"
SURVIVED = ("survived", NEAR)
NEVER = ("tests/fuzz",)  # looks for tracebacks, not for wrong figures
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult},
    **{ast.FloorDiv: ast.Div, ast.Mod: ast.Mult},
}
NAMES = {"min": "max", "minimum": "maximum", "floor": "ceil", "any": "all"}
NAMES |= {other: name for name, other in NAMES.items()}
SCALED = ("float", "Real", "Floats")  # what an answer must be for 1.1 times it to be one
NUDGE = 1.1


class Mutant(NamedTuple):
    """One change: the text between two offsets of a file [byte] becomes another."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str

    @property
    def key(self) -> str:
        """What tells it from others, as long as the file stays."""
        return f"{self.file}:{self.line}:{self.start} {self.kind}: {self.before} -> {self.after}"


# --- drawing ----------------------------------------------------------------------------------------------------------


def drawn(count: int, seed: int) -> list[Mutant]:
    """Mutants of all kinds alike, no place twice."""
    rng, found = random.Random(seed), sorted(mutants())
    kinds = {kind: [one for one in found if one.kind == kind] for kind in sorted({one.kind for one in found})}
    for listed in kinds.values():
        rng.shuffle(listed)
    chosen: list[Mutant] = []
    while len(chosen) < count and any(kinds.values()):
        chosen.append(kinds[rng.choice([kind for kind, left in kinds.items() if left])].pop())
    return chosen


def mutants() -> Iterator[Mutant]:
    """Every change there is."""
    for package in PACKAGES:
        for path in sorted((ROOT / "estimator" / package).glob("*.py")):
            yield from _of_file(path)


def _of_file(path: Path) -> Iterator[Mutant]:
    text = path.read_text(encoding="utf-8")
    lines = [0]
    for line in text.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for node, kind, new in _changes(ast.parse(text)):
        start = lines[node.lineno - 1] + node.col_offset
        end = lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = text.encode()[start:end].decode()
        yield Mutant(str(path.relative_to(ROOT)), node.lineno, kind, start, end, before, new)


Change = tuple[ast.expr, str, str]


def _changes(tree: ast.AST, returns: str = "") -> Iterator[Change]:
    """Changes of a tree's expressions; annotations, decorators and what is only for type checkers stay."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.FunctionDef):
        returns = ast.unparse(tree.returns) if tree.returns else ""
    if isinstance(tree, ast.Return) and tree.value and returns in SCALED:
        yield tree.value, "answer scaled", f"({NUDGE} * ({ast.unparse(tree.value)}))"
    for change in CHANGES:
        yield from change(tree)
    for name, field in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield from _changes(child, returns)


def _comparison(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            ops = [*node.ops[:place], COMPARISONS[type(operator)](), *node.ops[place + 1 :]]
            yield node, "comparison swapped", f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})"


def _operator(node: ast.AST) -> Iterator[Change]:
    if (
        isinstance(node, ast.BinOp)
        and type(node.op) in OPERATORS
        and not _is_text(node.left)
        and not _is_text(node.right)
    ):
        other = ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
        yield node, "operator swapped", f"({ast.unparse(other)})"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr | ast.List | ast.Tuple) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _constant(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
        yield node, "number nudged", repr(value + 1 if type(value) is int else value * NUDGE or 1.0)


def _condition(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield node, "condition turned round", repr(not node.value)
    if isinstance(node, ast.BoolOp):
        other = ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield node, "condition turned round", f"({ast.unparse(other)})"
    if isinstance(node, ast.If | ast.IfExp):
        yield node.test, "condition turned round", f"(not ({ast.unparse(node.test)}))"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        kind = "condition turned round" if isinstance(node.op, ast.Not) else "operator swapped"
        yield node, kind, f"({ast.unparse(node.operand)})"


def _argument(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Call):
        for place, word in enumerate(node.keywords):
            if word.arg is not None:
                keywords = [*node.keywords[:place], *node.keywords[place + 1 :]]
                yield node, "argument dropped", ast.unparse(ast.Call(node.func, node.args, keywords))


def _name(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in NAMES:
            whole = ast.unparse(node.func)
            yield node.func, "min for max", whole.removesuffix(name) + NAMES[name]


CHANGES: tuple[Callable[[ast.AST], Iterator[Change]], ...] = (
    *(_comparison, _operator, _constant, _condition, _argument, _name),
)


# --- judging ----------------------------------------------------------------------------------------------------------


def copied(folder: Path) -> Path:
    """A copy of the tree."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, folder / name)
    return folder


def order(tree: Path, mutant: Mutant | None) -> tuple[list[str], list[str]]:
    """The tests of the mutant's own package and whatever names its module; then all others, the slow ones last."""
    files = sorted(str(path.relative_to(tree)) for path in (tree / "tests").rglob("test_*.py"))
    files = [name for name in files if not name.startswith(NEVER)]
    if mutant is None:
        return [], [*files, "estimator", "docs", "README.md"]
    package, module = Path(mutant.file).parts[1], Path(mutant.file).stem
    near = [name for name in files if f"tests/{package}/" in name]
    near += [name for name in files if name not in near and _names(tree / name, package, module)]
    rest = sorted((name for name in files if name not in near), key=lambda name: (name.startswith(LAST), name))
    return [mutant.file, *near], [*rest, "docs", "README.md", "estimator"]


def _names(path: Path, package: str, module: str) -> bool:
    text = path.read_text(encoding="utf-8")
    return f"estimator.{package}.{module}" in text or f"from estimator.{package} import {module}" in text


def run(tree: Path, tests: list[str], limit_s: float) -> str:
    """killed, survived, or timed out, which is as good as killed."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return "timed out"
    return "survived" if done.returncode == 0 else f"killed by {_failure(done.stdout)}"


def _failure(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return lines[0].split(" - ")[0].split(" ", 1)[1] if lines else (output.strip().splitlines() or ["nothing said"])[-1]


def judged(mutant: Mutant, tree: Path, limit_s: float, near: bool) -> dict[str, object]:
    """What became of a mutant."""
    path, started = tree / mutant.file, time.monotonic()
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: mutant.start] + mutant.after.encode() + whole[mutant.end :])
        first, rest = order(tree, mutant)
        fate = run(tree, first, limit_s)
        if fate == "survived":
            fate = NEAR if near else run(tree, rest, limit_s)
    finally:
        path.write_bytes(whole)
    return {"key": mutant.key, **mutant._asdict(), "fate": fate, "took_s": round(time.monotonic() - started, 1)}


def all_judged(chosen: list[Mutant], jobs: int, log: Path, limit_s: float, near: bool) -> list[dict[str, object]]:
    """The fate of each, those in the log as it has them."""
    before = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    known = {one["key"]: one for one in before if near or one["fate"] != NEAR}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        trees: Queue[Path] = Queue()
        for number in range(jobs):
            trees.put(copied(Path(folder) / str(number)))

        def judge(mutant: Mutant) -> dict[str, object]:
            if mutant.key in known:
                return dict(known[mutant.key])
            tree = trees.get()
            try:
                found = judged(mutant, tree, limit_s, near)
            finally:
                trees.put(tree)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            print(f"{found['took_s']:6} s  {found['fate']}  {mutant.key}"[:200], flush=True)
            return found

        return list(pool.map(judge, chosen))


def sound(log: Path, limit_s: float, near: bool) -> str:
    """What the tests say of the tree as it is, unless the log shows that they were asked before; they must pass."""
    own = [f"tests/{package}" for package in PACKAGES]
    if log.exists():
        return "survived"
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copied(Path(folder))
        return run(tree, own if near else order(tree, None)[1], limit_s)


def summary(found: list[dict[str, object]]) -> Iterator[str]:
    """The score, and who survived."""
    alive = [one for one in found if one["fate"] in SURVIVED]
    yield f"\n{len(found)} mutants, {len(found) - len(alive)} noticed: {1 - len(alive) / max(len(found), 1):.1%}"
    for kind in sorted({str(one["kind"]) for one in found}):
        own = [one for one in found if one["kind"] == kind]
        yield f"  {kind}: {sum(one['fate'] not in SURVIVED for one in own)} of {len(own)}"
    yield from (f"{one['fate']}  {one['key']}" for one in alive)


def main() -> None:
    """Draw, judge, sum up."""
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("--mutants", type=int, default=200)
    read.add_argument("--seed", type=int, default=1)
    read.add_argument("--jobs", type=int, default=1)
    read.add_argument("--log", type=Path, default=Path("mutants.log"))
    read.add_argument("--limit", type=float, default=1800.0, help="of one run of tests [s]")
    read.add_argument("--list", action="store_true", help="only say which")
    read.add_argument("--near", action="store_true", help="only the tests of its own package and module")
    asked = read.parse_args()
    chosen = drawn(asked.mutants, asked.seed)
    if asked.list:
        print("\n".join(one.key for one in chosen))
        return
    if (whole := sound(asked.log, asked.limit, asked.near)) != "survived":
        sys.exit(f"the tests fail before anything is changed: {whole}")
    print("\n".join(summary(all_judged(chosen, asked.jobs, asked.log, asked.limit, asked.near))))


if __name__ == "__main__":
    main()
