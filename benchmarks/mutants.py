"""Do the tests notice? Small changes of the science, drawn from a seed, and which of them no test objects to.

    python benchmarks/mutants.py --mutants 200 --seed 1 --jobs 2 --log mutants.log

Each mutant is one change of formulas/, stages/ or decide/ in a copy of the tree: a comparison or an operator swapped, a
number nudged, a condition turned round, an answer scaled, an argument dropped, min for max. First come tests that call
the changed function, the quick and narrow ones before others, for --budget seconds; then all, until one fails. With
--near only the first, and who survives those is asked again by a run without. Which test calls what is found out once,
by all tests of the tree as it is, which must pass, and kept in --map, to which tests written since then are added. Some
slow ones never run, see --without. Mutants that change nothing count as survivors. A log can be continued; --again
judges its survivors anew. Survivors get a test.
"""

import argparse
import ast
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
LAST = ("tests/validation", "tests/export", "tests/search")  # slow ones
WITHOUT = ("tests/fuzz", "tests/measure", "tests/test_kills.py", "tests/catalog/test_architectures.py")
NEAR = "survived its own tests"
SURVIVED = ("survived", NEAR)
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
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(node, ast.Constant) and isinstance(value, int | float) and not isinstance(value, bool):
        yield node, "number nudged", repr(value + 1 if isinstance(value, int) else value * NUDGE or 1.0)


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

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header")


class Asked(argparse.Namespace):
    """The command line."""

    mutants: int
    seed: int
    jobs: int
    log: Path
    map: Path
    budget_s: float
    limit_s: float
    list: bool
    near: bool
    again: bool
    without: Sequence[str]


def copied(folder: Path) -> Path:
    """A copy of the tree."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, folder / name)
    return folder


class Known(NamedTuple):
    """Which functions [file:line] each test calls, and how long it takes [s]."""

    calls: dict[str, list[str]]
    took_s: dict[str, float]


def mapped(path: Path, without: Sequence[str]) -> Known:
    """What the map says, once it has all tests that are newer than it, all when there is none; these must pass."""
    known, asked = Known({}, {}), ["tests", "estimator"]
    if path.exists():
        known = Known(**json.loads(path.read_text(encoding="utf-8")))
        files = sorted((ROOT / "tests").rglob("test_*.py"))
        asked = [str(file.relative_to(ROOT)) for file in files if file.stat().st_mtime > path.stat().st_mtime]
    asked = [name for name in asked if not name.startswith(tuple(without))]
    if not asked:
        return known
    left = [test for test in known.calls if test.split("::")[0] not in asked]
    new = touched(asked, without)
    merged = Known(
        {test: known.calls[test] for test in left} | new.calls, {test: known.took_s[test] for test in left} | new.took_s
    )
    path.write_text(json.dumps(merged._asdict()), encoding="utf-8")
    return merged


def touched(asked: Sequence[str], without: Sequence[str]) -> Known:
    """What these tests call, as they run now."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "touched.json"
        words = [*PYTEST, "-p", "benchmarks.touched", *asked, *(f"--ignore={name}" for name in without)]
        if subprocess.run(words, cwd=ROOT, env=_environment(ROOT) | {"TOUCHED": str(path)}).returncode:
            sys.exit("the tests fail before anything is changed")
        return Known(**json.loads(path.read_text(encoding="utf-8")))


def near(mutant: Mutant, known: Known, budget_s: float) -> list[str]:
    """Tests that call the changed function, or anything of its module when none does or the change is outside any.

    Of a test with many cases first one, then the others; the quick and narrow before the slow and wide.
    """
    where = _function(mutant)
    callers = [test for test, calls in known.calls.items() if where in calls]
    callers = callers or [test for test, calls in known.calls.items() if any(_is_in(one, mutant.file) for one in calls)]
    cost = {test: (known.took_s[test] + 0.01) * len(known.calls[test]) for test in callers}
    seen: dict[str, int] = {}
    ranked: list[tuple[int, float, str]] = []
    for test in sorted(callers, key=cost.__getitem__):
        seen[test.split("[")[0]] = nth = seen.get(test.split("[")[0], -1) + 1
        ranked.append((nth, cost[test], test))
    ordered = [test for *_, test in sorted(ranked)]
    ends = itertools.accumulate(known.took_s[test] for test in ordered)
    return [test for test, end in zip(ordered, ends, strict=True) if end <= budget_s]


def _is_in(place: str, file: str) -> bool:
    return place.startswith(f"{file}:")


def _function(mutant: Mutant) -> str:
    """Where the innermost function around the change begins, as the map names it."""
    tree = ast.parse((ROOT / mutant.file).read_text(encoding="utf-8"))
    defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    around = [node for node in defined if node.lineno <= mutant.line <= (node.end_lineno or 0)]
    inner = max(around, key=lambda node: node.lineno, default=None)
    first = min([inner.lineno, *(one.lineno for one in inner.decorator_list)]) if inner else 0
    return f"{mutant.file}:{first}"


def others(tree: Path, without: Sequence[str]) -> list[str]:
    """All tests, the slow ones last."""
    names = sorted(str(path.relative_to(tree)) for path in (tree / "tests").rglob("test_*.py"))
    names = [name for name in names if not name.startswith(tuple(without))]
    return [*sorted(names, key=lambda name: name.startswith(LAST)), "estimator"]


def run(tree: Path, asked: list[str], limit_s: float) -> str:
    """killed, survived, or timed out, which is as good as killed."""
    try:
        done = subprocess.run(
            [*PYTEST, "-x", *asked], cwd=tree, env=_environment(tree), capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return "timed out"
    return "survived" if done.returncode == 0 else f"killed by {_failure(done.stdout)}"


def _environment(tree: Path) -> dict[str, str]:
    """Without plugins: to load those of installed packages takes longer than most tests."""
    return os.environ | {"PYTHONPATH": str(tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _failure(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return lines[0].split(" - ")[0].split(" ", 1)[1] if lines else (output.strip().splitlines() or ["nothing said"])[-1]


def judged(mutant: Mutant, tree: Path, known: Known, how: Asked) -> dict[str, object]:
    """What became of a mutant."""
    path, started = tree / mutant.file, time.monotonic()
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: mutant.start] + mutant.after.encode() + whole[mutant.end :])
        first = near(mutant, known, how.budget_s)
        fate = run(tree, first, how.limit_s) if first else "survived"
        if fate == "survived":
            fate = NEAR if how.near else run(tree, others(tree, how.without), how.limit_s)
    finally:
        path.write_bytes(whole)
    return {"key": mutant.key, **mutant._asdict(), "fate": fate, "took_s": round(time.monotonic() - started, 1)}


def all_judged(chosen: list[Mutant], known: Known, how: Asked) -> list[dict[str, object]]:
    """The fate of each, those in the log as it has them."""
    before = in_log(how)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(how.jobs) as pool:
        trees: Queue[Path] = Queue()
        for number in range(how.jobs):
            trees.put(copied(Path(folder) / str(number)))

        def judge(mutant: Mutant) -> dict[str, object]:
            if mutant.key in before:
                return before[mutant.key]
            tree = trees.get()
            try:
                found = judged(mutant, tree, known, how)
            finally:
                trees.put(tree)
            with how.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            print(f"{found['took_s']:6} s  {found['fate']}  {mutant.key}"[:200], flush=True)
            return found

        return list(pool.map(judge, chosen))


def in_log(how: Asked) -> dict[str, dict[str, object]]:
    """What the log says of each mutant last, but for those that this run judges anew."""
    lines = how.log.read_text(encoding="utf-8").splitlines() if how.log.exists() else []
    last = {one["key"]: one for one in map(json.loads, lines)}
    anew = SURVIVED if how.again else () if how.near else (NEAR,)
    return {key: one for key, one in last.items() if one["fate"] not in anew}


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
    read.add_argument("--map", type=Path, default=Path("touched.json"), help="which test calls what; made if not there")
    read.add_argument("--budget", dest="budget_s", type=float, default=60.0, help="of the tests that call it [s]")
    read.add_argument("--limit", dest="limit_s", type=float, default=1800.0, help="of one run of tests [s]")
    read.add_argument("--list", action="store_true", help="only say which")
    read.add_argument("--near", action="store_true", help="only tests that call the changed function")
    read.add_argument("--again", action="store_true", help="judge the log's survivors anew")
    read.add_argument("--without", nargs="*", default=WITHOUT, help=f"tests left out (default: {' '.join(WITHOUT)})")
    asked = read.parse_args(namespace=Asked())
    chosen = drawn(asked.mutants, asked.seed)
    if asked.list:
        print("\n".join(one.key for one in chosen))
        return
    known = mapped(asked.map, asked.without)
    print("\n".join(summary(all_judged(chosen, known, asked))))
    print(f"not run: docs, README.md, {', '.join(asked.without)}")


if __name__ == "__main__":
    main()
