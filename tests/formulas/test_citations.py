"""What is cited: physics says its source and validity, arithmetic is listed, and every paper has author and title."""

import ast
import re
from pathlib import Path

import pytest

import estimator
from estimator.paths import PACKAGE, data_folder

ROOT = Path(estimator.__file__).parent
MODULES = sorted((ROOT / "formulas").glob("*.py"))
REFERENCES = ROOT.parent / "docs" / "references.md"
NUMBER = re.compile(r"(?:arXiv:|arxiv\.org/(?:abs|pdf)/)(\d{4}\.\d{4,5})")
# Functions that cite nothing: arithmetic a reader can check. Those of whole modules, by the module's name.
WHOLE = {"arithmetic", "break_even", "effort", "money", "units", "stores", "__init__"}
ARITHMETIC = {
    "corpus": {
        *("tokens_from_words", "tokens_from_bytes", "chunks", "embedded_tokens"),
        *("curation_s", "keyword_index_s", "both_searched_s", "tokens_of_chunks"),
    },
    "alignment": {"contrastive_flop"},
    "energy": {"emissions_g", "facility_energy_j"},
    "learning": {"shares"},
    "parallelism": {"data_parallel", "micro_batches", "stage_layers", "group_bytes_per_s"},
    "prompting": {"fixed_prefix_tokens", "cached_tokens", "written_tokens", "input_usd_per_request"},
    "queueing": {"servers_for"},
    "reliability": {"checkpoint_bytes", "stored_bytes", "lent_failures"},
    "retrieval": {"floats", "found_share"},
    "roofline": {"soft_max", "mean_span"},
    "run_time": {
        *("optimizer_steps", "packed_rows", "evaluation_s", "saving_s"),
        *("between_checkpoints_s", "waiting_s"),
    },
    "sample_lengths": {"share_above", "padded", "waited_for"},
    "serving": {"stacked"},
    "weight_classes": {"weight_counts"},
    "training": {"targeted_linears", "unknown_targets", "family", "adapted", "adapter_width"},
    "layers": {
        *("pair_flop", "kept_width", "is_feed_forward", "windowed_pairs", "chunked_pairs", "mutual_pairs"),
        *("expert_weights", "expert_params", "block_params", "state_bytes", "usual_attention", "usual_blocks"),
    },
    "step_memory": {
        *("layer_bytes", "eager_bytes", "adapter_inputs", "adapters_bytes", "logit_bytes", "moments"),
        *("held_bytes", "kept_bytes", "passing_bytes", "step_moments", "feed_forward"),
    },
    "transformer": {
        *("q_width", "blocks", "matrices", "attentions", "scans", "tensor_parts", "context_parts", "unwindowed"),
        *("embedding_params", "head_params", "routed_params", "end_params", "params", "active_params", "dense_weights"),
        *("expert_weights", "matmul_params", "mixing", "dense_width", "shared_experts", "attended_pairs", "scores"),
        *("scan_flop", "state_bytes", "read_bytes"),
    },
}


def _functions(path):
    """Docstrings of a module and of its public functions, by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    return ast.get_docstring(tree) or "", {node.name: ast.get_docstring(node) or "" for node in public}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_physics_is_cited_and_arithmetic_is_listed(path):
    module, functions = _functions(path)
    uncited = {name for name, text in functions.items() if "Source:" not in text}

    if path.stem in WHOLE:
        assert uncited == set(functions)
        assert not functions or "rithmetic" in module
    else:
        assert uncited == ARITHMETIC.get(path.stem, set())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_what_is_cited_says_where_it_is_valid(path):
    module, functions = _functions(path)

    if path.stem not in WHOLE and "Validity:" not in module:
        assert {name for name, text in functions.items() if "Source:" in text and "Validity:" not in text} == set()


def _cited():
    data = [data_folder("calibration"), data_folder("hardware"), PACKAGE]
    files = [path for folder in data for path in folder.rglob("*") if path.suffix in (".py", ".toml", ".csv")]
    return {number for path in files for number in NUMBER.findall(path.read_text(encoding="utf-8"))}


def test_every_cited_number_has_author_and_title():
    listed = [line.strip("| \n").split(" | ") for line in REFERENCES.read_text().splitlines() if line.startswith("| ")]
    papers = {row[0]: row[1:] for row in listed[1:]}

    assert len(papers) == len(listed) - 1, "a number is listed twice"
    assert list(papers) == sorted(papers)
    assert all(len(row) == 3 and all(row) and row[2] in ("read", "recalled") for row in papers.values())
    assert set(papers) == _cited()
