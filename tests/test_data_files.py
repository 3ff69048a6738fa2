"""Every data file: required keys, units in keys, a source on every figure, sane bounds, names that mean one thing."""

import csv
import datetime
import json
import re
import tomllib

import pytest

from estimator.catalog.accelerators import accelerator, accelerator_names, canonical
from estimator.catalog.facts import TABLES, fact
from estimator.catalog.models import _key, architecture, architecture_names
from estimator.formulas.transformer import params
from estimator.paths import data_folder, presets

HARDWARE = data_folder("hardware")
ACCELERATORS = sorted((HARDWARE / "accelerators").glob("*.toml"))
KINDS = {"read", "read+recalled", "read_secondary", "recalled", "derived", "measured"}
UNIT = re.compile(r"(_gib|_mib|_hz|_w|_bytes_per_s|_bits_per_s|_flop_per_s|_op_per_s)$")
COUNTS = {"year", "sms", "link_domain", "pcie_generation", "accelerators_per_node"}
BOUNDS = {
    "year": (2015, 2030), "memory_gib": (4, 2000), "usable_memory_gib": (4, 2000),
    "memory_bandwidth_bytes_per_s": (2e10, 3e13), "l2_mib": (1, 1000),
    "sms": (1, 1000), "clock_hz": (5e8, 5e9), "tdp_w": (10, 3000), "link_bidirectional_bytes_per_s": (1e10, 1e13),
    "link_domain": (2, 1000), "pcie_generation": (3, 7), "accelerators_per_node": (1, 72),
    "network_bits_per_s": (1e9, 4e12),
}  # fmt: skip


def cells(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def dated(text):
    return re.fullmatch(r"20\d\d(-\d\d(-\d\d)?)?", text)


@pytest.mark.parametrize("path", ACCELERATORS, ids=lambda path: path.stem)
def test_an_accelerator_file_is_complete_and_sourced(path):
    content = tomllib.loads(path.read_text())

    assert {"name", "aliases", "vendor", "generation", "kind", "source", "spec"} <= set(content)
    ids = [source["id"] for source in content["source"]]
    assert len(ids) == len(set(ids))
    for source in content["source"]:
        assert source["title"]
        assert source["kind"] in KINDS
        assert isinstance(source["read_on"], datetime.date)
    assert {figure["source"] for figure in content["spec"].values()} == set(ids)
    for key, figure in content["spec"].items():
        assert key in COUNTS or UNIT.search(key), key
        least, most = BOUNDS.get(key, (1e11, 2e16))
        assert least <= figure["value"] <= most, key


@pytest.mark.parametrize("name", accelerator_names())
def test_peaks_grow_as_formats_narrow(name):
    peaks = accelerator(name).peak_flop_per_s

    for wide, narrow in [("bf16", "fp8"), ("fp8", "fp4"), ("fp32", "bf16"), ("fp32", "fp16"), ("tf32", "bf16")]:
        if wide in peaks and narrow in peaks:
            assert peaks[wide] <= peaks[narrow], (wide, narrow)
    assert accelerator(name).peak("bf16") > 0


@pytest.mark.parametrize("name", accelerator_names())
def test_recalled_figures_are_marked_as_assumed(name):
    content = tomllib.loads((HARDWARE / "accelerators" / f"{name}.toml").read_text())
    recalled = {source["id"] for source in content["source"] if source["kind"] == "recalled"}

    assert set(accelerator(name).assumed) == {k for k, v in content["spec"].items() if v["source"] in recalled}


def test_every_name_of_an_accelerator_means_one_accelerator():
    owners = {path.stem: path.stem for path in ACCELERATORS}
    for path in ACCELERATORS:
        for alias in tomllib.loads(path.read_text())["aliases"]:
            assert alias == canonical(alias), alias
            assert owners.setdefault(alias, path.stem) == path.stem, alias
            assert alias not in accelerator_names(), f"{alias} shadows a file name"
            assert accelerator(alias).name == path.stem
    assert len(ACCELERATORS) >= 90


def test_rows_of_prices_are_complete_dated_and_possible():
    for row in cells(HARDWARE / "prices" / "cloud.csv"):
        assert row["accelerator"] in accelerator_names()
        assert row["count"] == "" or 1 <= int(row["count"]) <= 64
        assert 0.05 <= float(row["price_per_hour"]) <= 500
        assert row["commitment"] in ("on-demand", "spot")
        assert row["currency"] == "USD"
        assert dated(row["valid_from"])
        assert row["source"]
        assert row["kind"] in KINDS
    for row in cells(HARDWARE / "prices" / "hosts.csv"):
        assert 0.01 < float(row["price_per_hour"]) < 50
        assert int(row["vcpus"]) >= 1


def test_api_prices_are_unknown_or_possible():
    rows = cells(HARDWARE / "prices" / "llm_api.csv")
    names = [(row["provider"], row["model"], row["valid_from"]) for row in rows]
    assert len(names) == len(set(names))
    for row in rows:
        assert dated(row["valid_from"])
        assert row["source"]
        given = {column: float(row[column]) for column in row if column.endswith("_usd_per_mtok") and row[column]}
        assert all(0 <= price <= 200 for price in given.values()), row["model"]
        if "input_usd_per_mtok" in given:
            for cheaper in ("cache_read_usd_per_mtok", "batch_input_usd_per_mtok"):
                assert given.get(cheaper, 0) <= given["input_usd_per_mtok"], row["model"]
            assert given.get("output_usd_per_mtok", 1e9) >= given["input_usd_per_mtok"]
            assert given.get("long_input_usd_per_mtok", 1e9) >= given["input_usd_per_mtok"]


def test_grids_are_unknown_or_possible():
    rows = cells(HARDWARE / "grid" / "carbon_intensity.csv")
    keys = [(row["provider"], row["code"]) for row in rows]
    assert len(keys) == len(set(keys))
    for row in rows:
        assert row["g_co2e_per_kwh"] == "" or 1 <= float(row["g_co2e_per_kwh"]) <= 1500
        assert row["source"]
        assert dated(row["year"])


@pytest.mark.parametrize("path", [*(presets() / name for name in TABLES), HARDWARE / "power.csv"], ids=lambda p: p.stem)
def test_facts_have_a_unit_a_source_and_a_value_or_words(path):
    rows = cells(path)

    assert len({row["key"] for row in rows}) == len(rows)
    for row in rows:
        assert row["source"], row["key"]
        assert row["kind"] in KINDS, row["key"]
        assert dated(row["date"]), row["key"]
        assert row["value"] or row["text"], row["key"]
        assert row["unit"] or row["text"], row["key"]
        assert fact(row["key"]).key == row["key"]


def test_keys_of_facts_are_unique_across_tables():
    keys = [row["key"] for name in TABLES for row in cells(presets() / name)]
    keys += [row["key"] for row in cells(HARDWARE / "power.csv")]
    assert len(keys) == len(set(keys))


def test_fractions_lie_between_nothing_and_everything():
    for row in cells(HARDWARE / "power.csv"):
        if row["key"].startswith("power_fraction/"):
            assert 0 < fact(row["key"]).low <= fact(row["key"]).value <= fact(row["key"]).high <= 1
        if row["key"].startswith("pue/"):
            assert fact(row["key"]).low >= 1


def test_rows_of_llms_are_sourced_and_names_mean_one_llm():
    owners = {}
    for row in cells(presets() / "llms.csv"):
        assert row["source"]
        assert {row["source_kind"], row["max_context_source_kind"], row["params_published_source_kind"]} <= KINDS
        assert 128 <= int(row["max_context"]) <= 2e7
        spellings = [row["name"], row["hf_id"], *row["aliases"].split(";")]
        for text in filter(None, spellings):
            assert owners.setdefault(_key(text), row["name"]) == row["name"], text
            assert architecture(text).name == row["name"]


@pytest.mark.parametrize(
    "row", [r for r in cells(presets() / "llms.csv") if r["hf_meta_params"]], ids=lambda r: r["name"]
)
def test_parameters_agree_with_the_independent_count(row):
    assert params(architecture(row["name"])) == pytest.approx(float(row["hf_meta_params"]), rel=1e-3), row["source"]


@pytest.mark.parametrize("name", [name for name in architecture_names() if architecture(name).params_published])
def test_parameters_agree_with_what_the_makers_publish(name):
    arch = architecture(name)

    assert params(arch) == pytest.approx(arch.params_published, rel=1e-3)


def test_names_of_all_presets_mean_one_llm():
    owners = {}
    for table in ("llms.csv", "derived_llms.csv", "configs.csv"):
        for row in cells(presets() / table):
            for text in filter(None, [row["name"], row["hf_id"], *row["aliases"].split(";")]):
                assert owners.setdefault(_key(text), row["name"]) == row["name"], text
                assert row["source_kind"] in KINDS
                assert row["source"]


def test_every_shipped_config_is_listed_and_of_the_type_it_says():
    listed = {row["name"]: row["model_type"] for row in cells(presets() / "configs.csv")}
    found = {path.stem: json.loads(path.read_text()) for path in (presets() / "configs").glob("*.json")}

    assert {name: (c.get("text_config") or c).get("model_type") for name, c in found.items()} == listed


def test_derived_llms_have_the_shape_they_are_derived_from():
    for row in cells(presets() / "derived_llms.csv"):
        assert params(architecture(row["name"])) == params(architecture(row["of"]))


def test_recalled_shapes_are_assumed():
    for row in cells(presets() / "llms.csv"):
        assert (architecture(row["name"]).basis == "assumed") == (row["source_kind"] == "recalled")


def test_sizes_stand_for_presets():
    for row in cells(presets() / "sizes.csv"):
        assert row["llm"] in architecture_names()
        assert row["role"] in ("ladder", "stands for", "named for")
        assert row["before"] or row["role"] == "ladder"


def test_criteria_name_who_says_so():
    for row in cells(presets() / "decision_criteria.csv"):
        assert row["says"]
        assert row["source"]
        assert row["kind"] in KINDS
