"""From timings of a machine to constants: products and attention into the utilisation form, the rest as curves.

Every constant has a prior, so that a short run gives a usable machine; residuals stay beside the constants.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalog.files import Content
from estimator.catalog.local import LocalMachine
from estimator.fitting.robust import Prior, fit, shrunk_sd
from estimator.formulas import Floats, roofline
from estimator.formulas.roofline import AttentionEfficiency, DecodeAttentionEfficiency, GemmEfficiency
from estimator.measure.cases import Case, job_of
from estimator.predict.local import BYTES, LARGE_ELEMENTS, PARTS, of_job, parts_s
from estimator.quantities import Z80

Times = Mapping[Case, float]

ATTENTION_SHARPNESS = 4.0
PRIOR_SD, PRIOR_COUNT = 0.13, 4.0  # what errors of blocks are believed to be, and how many blocks that belief is worth
MOST_SPREADS = 3.0  # that a factor may stray, whatever a disturbed measurement says
FACTOR_SPREAD = {"products": 0.15, "attention": 0.2, "vectors": 0.3, "calls": 0.8, "touch": 0.7, "optimizer": 0.15}


def constants(times: Times) -> Content:
    """Constants by number of threads, each as `LocalMachine.constants`."""
    threads = sorted({case.threads for case in times}, reverse=True)
    return {str(t): _of_threads({c: s for c, s in times.items() if c.threads == t}) for t in threads}


def _of_threads(times: Times) -> Content:
    memory = memory_constants(times)
    call_s = min((s for case, s in times.items() if case.kind == "dispatch"), default=1e-5)
    found: Content = {
        "gemm": _groups(times, "gemm", partial(fit_gemm, bandwidth=memory["bytes_per_s"], call_s=call_s)),
        "attention": _groups(
            times, "attention", partial(fit_attention, call_s=call_s), lambda case: case.variant != "decode"
        ),
        "decode_attention": _groups(
            times, "attention", partial(fit_decode, call_s=call_s), lambda case: case.variant == "decode"
        ),
        "vectors": _curves(times),
        "calls": {f"{c.dtype} {c.variant}": s for c, s in times.items() if c.kind == "dispatch"},
        "optimizer": _optimizers(times),
        "memory": memory,
        "phases": {},
    }
    machine = LocalMachine("local", "cpu", found)
    found["phases"] = with_spreads(_groups(times, "block", partial(fit_phase, machine=machine)))
    return found


def _groups(
    times: Times,
    kind: str,
    fitted: Callable[[Sequence[Case], Floats], Content],
    wanted: Callable[[Case], bool] = lambda case: bool(case.kind),
) -> Content:
    groups: dict[str, list[Case]] = {}
    for case in times:
        if case.kind == kind and wanted(case):
            groups.setdefault(f"{case.dtype} {case.variant}", []).append(case)
    return {name: fitted(cases, np.array([times[case] for case in cases])) for name, cases in groups.items()}


def _column(cases: Sequence[Case], name: str) -> Floats:
    return np.array([case[name] for case in cases], float)


# --- products and attention ------------------------------------------------------------------------------------------


def fit_gemm(cases: Sequence[Case], seconds: Floats, bandwidth: float, call_s: float) -> Content:
    """Constants of `GemmEfficiency` for one format and order of operands, with the log errors they leave."""
    m, n, k = _operands(cases)
    size = BYTES[cases[0].dtype]
    rate = 2.0 * m * n * k / seconds
    priors = [
        Prior("flop_per_s", 1.1 * float(np.max(rate)), 0.3),
        Prior("bytes_per_s", bandwidth, 1.0),
        Prior("m_half", 8.0, 1.5),
        Prior("n_half", 16.0, 1.5),
        Prior("k_half", 16.0, 1.5),
        Prior("launch_s", call_s, 0.7),
        Prior("depth_s", 1e-9, 1.5),
        Prior("sharpness", 3.0, 0.5),
    ]

    crowded = roofline.set_crowding(k, n, size)
    if cases[0].variant == "nn":
        priors.append(Prior("crowding", 0.05, 1.5))

    def predicted(values: Mapping[str, Any]) -> Floats:
        sizes = {"weight_bytes": size, "input_bytes": size, "output_bytes": size}
        plain = {name: value for name, value in values.items() if name != "crowding"}
        seconds = roofline.gemm_s(m, n, k, GemmEfficiency(**plain), **sizes)
        return np.asarray(seconds * crowded ** values.get("crowding", 0.0))

    shapes = [[int(side) for side in shape] for shape in zip(m, n, k, strict=True)]
    return {"peak_flop_per_s": float(np.max(rate)), **_fitted(priors, predicted, seconds), "shapes": shapes}


def _operands(cases: Sequence[Case]) -> tuple[Floats, Floats, Floats]:
    """Rows, columns and depth of the results: `nn` sums over n, `tn` over m."""
    m, n, k = (_column(cases, name) for name in ("m", "n", "k"))
    return {"nn": (m, k, n), "tn": (n, k, m)}.get(cases[0].variant, (m, n, k))


def fit_attention(cases: Sequence[Case], seconds: Floats, call_s: float) -> Content:
    """Constants of `AttentionEfficiency`; `train` times hold forward and backward."""
    batch, heads, tokens, width = (_column(cases, name) for name in ("batch", "heads", "tokens", "width"))
    causal = cases[0].variant != "full"
    work = 4.0 * batch * heads * width * tokens * roofline.mean_span(tokens, causal=causal)
    priors = [
        Prior("flop_per_s", 1.1 * float(np.max(work / seconds)), 0.4),
        Prior("bytes_per_s", 5e9, 1.5),
        Prior("rows_half", 64.0, 1.5),
        Prior("span_half", 16.0, 1.5),
        Prior("head_dim_half", 16.0, 1.0),
        Prior("launch_s", (4.0 if cases[0].variant == "train" else 1.0) * call_s, 1.0),
    ]

    def predicted(values: Mapping[str, Any]) -> Floats:
        reached = AttentionEfficiency(**values, sharpness=ATTENTION_SHARPNESS)
        size = BYTES[cases[0].dtype]
        return roofline.attention_s(batch, tokens, heads, heads, width, reached, causal=causal, value_bytes=size)

    return {**_fitted(priors, predicted, seconds), "sharpness": ATTENTION_SHARPNESS}


def fit_decode(cases: Sequence[Case], seconds: Floats, call_s: float) -> Content:
    """Constants of `DecodeAttentionEfficiency`."""
    batch, heads, tokens, width = (_column(cases, name) for name in ("batch", "heads", "tokens", "width"))
    size = BYTES[cases[0].dtype]
    moved = 2.0 * batch * heads * tokens * width * size
    priors = [
        Prior("bytes_per_s", float(np.max(moved / seconds)), 0.7),
        Prior("flop_per_s", 4.0 / size * float(np.max(moved / seconds)), 1.0),
        Prior("bytes_half", 1e4, 1.5),
        Prior("sequence_s", 1e-7, 1.5),
        Prior("launch_s", call_s, 1.0),
        Prior("head_dim_half", 32.0, 1.0),
    ]

    def predicted(values: Mapping[str, Any]) -> Floats:
        plain = {name: value for name, value in values.items() if name != "head_dim_half"}
        reached = DecodeAttentionEfficiency(**plain, sharpness=ATTENTION_SHARPNESS)
        wide = width + values["head_dim_half"]
        return roofline.decode_attention_s(batch, tokens, heads, heads, wide, reached, value_bytes=size)

    return {**_fitted(priors, predicted, seconds), "sharpness": ATTENTION_SHARPNESS}


def _fitted(priors: Sequence[Prior], predicted: Callable[[Mapping[str, float]], Floats], seconds: Floats) -> Content:
    """Values of the constants, and the spread of the log errors they leave."""

    def errors(values: Mapping[str, float]) -> Floats:
        return np.log(predicted(values) / seconds)

    values = fit(errors, priors, np.ones(len(seconds)), noise=0.1)
    left = errors(values)
    rounded = {name: float(f"{value:.5g}") for name, value in values.items()}
    return {**rounded, "log_sd": _spread(left), "log_errors": [round(float(e), 3) for e in left]}


def _spread(errors: ArrayLike) -> float:
    """Root mean square, outliers held to three times the median."""
    if not len(size := np.abs(np.asarray(errors, float))):
        return 0.0
    held = np.minimum(size, 3.0 * np.median(size) + 1e-9)
    return round(float(np.sqrt(np.mean(held**2))), 3)


# --- curves, optimizer, memory ---------------------------------------------------------------------------------------


def _curves(times: Times) -> Content:
    curves: dict[str, dict[str, list[float]]] = {}
    for case in sorted((c for c in times if c.kind == "glue"), key=lambda c: c["rows"] * c["width"]):
        curve = curves.setdefault(f"{case.dtype} {case.variant}", {"elements": [], "seconds": []})
        curve["elements"].append(float(case["rows"] * case["width"]))
        curve["seconds"].append(times[case])
    return curves


def _optimizers(times: Times) -> Content:
    """Seconds per tensor and per parameter of each implementation of AdamW, least squares on relative errors.

    Temporaries of large tensors are memory that the system hands out anew, so their parameters cost more.
    """
    found = {}
    cases = [case for case in times if case.kind == "optimizer"]
    for variant in {case.variant: None for case in cases}:
        own = [case for case in cases if case.variant == variant]
        seconds = np.array([times[case] for case in own])
        tensors = _column(own, "tensors")
        each = _column(own, "params")
        large = each > LARGE_ELEMENTS
        per = np.stack([tensors, tensors * each * ~large, tensors * each * large], axis=1) / seconds[:, None]
        found[variant] = _positive(per, np.ones(len(own)))
    return found or {"loop": {"tensor_s": 2e-5, "param_s": 8e-9, "large_param_s": 1e-8}}


def _positive(columns: Floats, target: Floats) -> dict[str, float]:
    from scipy.optimize import nnls

    scale = np.maximum(columns.max(axis=0), 1e-300)
    values, _ = nnls(columns / scale, target)
    found = dict(
        zip(("tensor_s", "param_s", "large_param_s"), (float(f"{v:.4g}") for v in values / scale), strict=True)
    )
    return found | {"large_param_s": found["large_param_s"] or found["param_s"]}


def memory_constants(times: Times) -> dict[str, float]:
    """Rate of copying what no cache holds, cost of an empty pass, and of touching fresh memory."""
    memory = {(c.variant, c["bytes"]): s for c, s in times.items() if c.kind == "memory"}
    sizes = {size for _, size in memory}
    large = max((size for kind, size in memory if kind == "copy"), default=0)
    bytes_per_s = 2.0 * large / memory["copy", large] if large else 1e10
    launch = memory.get(("copy", min(sizes, default=0)), 5e-6)
    touched = [(size, s) for (kind, size), s in memory.items() if kind == "touch"]
    touch = median(max(s / size - 1.0 / bytes_per_s, 0.0) for size, s in touched) if touched else 0.0
    return {"bytes_per_s": bytes_per_s, "launch_s": launch, "touch_s_per_byte": touch}


# --- phases ----------------------------------------------------------------------------------------------------------


def fit_phase(cases: Sequence[Case], seconds: Floats, machine: LocalMachine) -> Content:
    """One factor for each kind of part, near 1 unless the blocks insist; and how far off small LLMs are then.

    left_out: ln(predicted / measured) of each block by factors learnt without it
    """
    rows = [parts_s(of_job(job_of(case)), machine) for case in cases]
    parts = {name: np.array([float(row[name]) for row in rows]) for name in PARTS}
    parts = {name: column for name, column in parts.items() if np.any(column > 0)}
    factors = _factors(parts, seconds)
    everyone = np.arange(len(seconds))
    without = [_factors({n: c[everyone != i] for n, c in parts.items()}, seconds[everyone != i]) for i in everyone]
    left_out = [_errors(parts, seconds, own)[i] for i, own in zip(everyone, without, strict=True)]
    return {
        "factors": {name: round(value, 4) for name, value in factors.items()},
        "log_errors": _rounded(_errors(parts, seconds, factors)),
        "left_out": _rounded(left_out),
        "without_factors": _rounded(_errors(parts, seconds, dict.fromkeys(factors, 1.0))),
    }


def _factors(parts: Mapping[str, Floats], seconds: Floats) -> dict[str, float]:
    priors = [Prior(name, 1.0, FACTOR_SPREAD[name]) for name in parts]
    free = fit(lambda values: _errors(parts, seconds, values), priors, np.ones(len(seconds)), noise=0.05)
    ends = {prior.name: np.exp(MOST_SPREADS * prior.sigma_ln) for prior in priors}
    return {name: float(np.clip(value, 1 / ends[name], ends[name])) for name, value in free.items()}


def _errors(parts: Mapping[str, Floats], seconds: Floats, factors: Mapping[str, float]) -> Floats:
    return np.asarray(np.log(sum(factors[name] * parts[name] for name in factors) / seconds), float)


def _rounded(errors: Iterable[float]) -> list[float]:
    return [round(float(e), 3) for e in errors]


def with_spreads(phases: Mapping[str, Mapping[str, Any]]) -> Content:
    """Phases with `log_sd`, the spread of the errors of blocks left out of their fit [1].

    A phase has few blocks, so its own spread is drawn to that of all phases; but its 80 % range holds 80 % of its own.

    >>> found = with_spreads({"fp32 train": {"left_out": [0.1, -0.1, 0.1, -0.1]}, "bf16 train": {"left_out": [0.4]}})
    >>> [entry["log_sd"] for entry in found.values()]
    [0.126, 0.312]
    """
    shared = _drawn([e for entry in phases.values() for e in entry["left_out"]], PRIOR_SD)
    return {
        name: {**entry, "log_sd": round(max(_drawn(entry["left_out"], shared), _holding(entry["left_out"])), 3)}
        for name, entry in phases.items()
    }


def _drawn(errors: Sequence[float], towards: float) -> float:
    """Root mean square of errors, outliers held, and of so many more believed to be `towards` [1]."""
    return shrunk_sd(_spread(errors), len(errors), towards, PRIOR_COUNT)


def _holding(errors: Sequence[float]) -> float:
    """Standard deviation whose 80 % range holds 80 % of the errors [1]."""
    return float(np.quantile(np.abs(errors), 0.8)) / Z80 if len(errors) else 0.0
