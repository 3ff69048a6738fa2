"""Names of accelerators and clusters, and what the reader makes of a file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.catalog import accelerators
from estimator.catalog.accelerators import accelerator, accelerator_names, cluster, cluster_of
from estimator.catalog.files import rows, use_facts
from estimator.errors import EstimatorError, InvalidInput, UnknownName
from estimator.paths import data_folder
from estimator.records import Accelerator, Cluster

OWN = """
name = "Own card"
aliases = ["own", "a100"]
vendor = "Own"
generation = "First"
kind = "gpu"

[[source]]
id = "sheet"
title = "Our sheet"
read_on = 2026-01-01
kind = "read"

[spec]
memory_gib = { value = 48, source = "sheet" }
memory_bandwidth_bytes_per_s = { value = 1e12, source = "sheet" }
bf16_flop_per_s = { value = 2e14, source = "sheet" }
"""


def refusal(text):
    """Why a name is refused; nothing when it means something."""
    try:
        cluster(text)
    except EstimatorError as error:
        return str(error)
    return ""


@pytest.fixture
def own_facts(tmp_path):
    (tmp_path / "accelerators").mkdir()
    yield tmp_path
    use_facts(None)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a100", "a100-sxm-80gb"),
        ("A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("h100", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("Tesla T4", "t4"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("rtx4090", "rtx-4090"),
        ("NVIDIA L40S", "l40s"),
        ("AMD Instinct MI300X", "mi300x"),
        ("tpu_v5e", "tpu-v5e"),
        ("m2 max", "apple-m2-max"),
        ("epyc-9654", "cpu-epyc-9654"),
        ("graviton4", "cpu-graviton4"),
    ],
)
def test_names_people_type(text, name):
    assert accelerator(text).name == name


@pytest.mark.parametrize(
    ("text", "name", "count", "nodes"),
    [
        ("8xh100", "h100-sxm", 8, 1),
        ("8 x H100", "h100-sxm", 8, 1),
        ("h100:8", "h100-sxm", 8, 1),
        ("16*a100", "a100-sxm-80gb", 16, 2),
        ("1xl4", "l4", 1, 1),
        ("8x4090", "rtx-4090", 8, 1),
        ("72xgb200", "gb200", 72, 18),
        ("1,024xh100", "h100-sxm", 1024, 128),
        ("2xmi300x", "mi300x", 2, 1),
    ],
)
def test_a_count_makes_a_cluster(text, name, count, nodes):
    found = cluster(text)

    assert isinstance(found, Cluster)
    assert (found.accelerator.name, found.count, found.nodes) == (name, count, nodes)


def test_a_bare_name_leaves_the_count_open():
    assert isinstance(cluster("a100"), Accelerator)
    assert isinstance(cluster("rtx4090"), Accelerator)


@pytest.mark.parametrize(
    ("text", "name"), [("DGX Spark", "gb10"), ("RTX 3060 12GB", "rtx-3060"), ("rtx 4060 ti", "rtx-4060-ti-16gb")]
)
def test_what_people_have_at_home_is_found_as_they_write_it(text, name):
    assert cluster(text).name == name


def test_a_cluster_of_unknown_node_size_is_not_empty():
    assert cluster_of(accelerator("rtx-3070"), 3).nodes == 1


def test_conversions_are_the_readers():
    a100 = accelerator("a100")

    assert a100.memory_bytes == 80 * 2**30
    assert a100.link_bytes_per_s == 300e9
    assert a100.network_bytes_per_s == 25e9
    assert a100.pcie_bytes_per_s == pytest.approx(31.5e9, rel=0.01)
    assert a100.l2_bytes == 40 * 2**20


def test_cards_without_a_link_reach_their_neighbours_over_pcie():
    l4 = accelerator("l4")

    assert l4.link == "PCIe"
    assert l4.link_bytes_per_s == l4.pcie_bytes_per_s


def test_racks_are_one_link_domain():
    assert accelerator("gb200").domain == 72
    assert accelerator("gb200").per_node == 4
    assert accelerator("h100").domain == 8


BAD = [
    "", " ", "a10x", "h1000", "8x", "x8", "0xh100", "-1xh100", "1.5xh100", "1e3xh100", "99999999999xh100", "h100:0",
    "h100:-8", "h100:", "nanxh100", "8xx", "cpu", "gpu", "../a100", "a100.toml", "/etc/passwd", "a" * 5000, "\0",
    "8xh100xh100", "日本", "a100;t4",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_bad_names_get_one_line(text):
    with pytest.raises(InvalidInput) as caught:
        cluster(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_nearest_names_are_offered():
    with pytest.raises(UnknownName, match="Did you mean 'a10'"):
        accelerator("a10x")
    with pytest.raises(UnknownName, match="cpu-epyc"):
        accelerator("cpu")


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text("0123456789xh:*.-a ", max_size=12)))
def test_no_text_breaks_the_reader(text):
    assert "\n" not in refusal(text)


def test_only_the_file_that_answers_is_parsed(monkeypatch):
    use_facts(None)
    parsed = []
    real = accelerators.table
    monkeypatch.setattr(accelerators, "table", lambda path: parsed.append(path.stem) or real(path))

    accelerator("a100")

    assert parsed == ["a100-sxm-80gb"]


def test_own_facts_come_first(own_facts):
    (own_facts / "accelerators" / "own-card.toml").write_text(OWN)
    use_facts(own_facts)

    assert accelerator("own").memory_bytes == 48 * 2**30
    assert accelerator("a100").name == "own-card"
    assert "own-card" in accelerator_names()

    use_facts(None)

    assert accelerator("a100").name == "a100-sxm-80gb"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name =", "title =", "lacks 'name'"),
        ("[[source]]", "[[sources]]", "lacks 'source'"),
        ('kind = "gpu"', 'kind = "toaster"', "kind must be"),
        ("value = 48", "value = -48", "positive number"),
        ("value = 48", "value = nan", "positive number"),
        ("value = 48", "value = 1e-320", "positive number"),
        ("value = 48", 'value = "48"', "positive number"),
        ("value = 48", "value = true", "positive number"),
        ("memory_gib", "memory_gb", "lacks 'memory_gib'"),
        ("bf16_flop_per_s", "bf16_tflops", "lacks a peak"),
        ('source = "sheet"', 'source = "shed"', "an id of a"),
        ("read_on = 2026-01-01", "", "needs id, title, kind and read_on"),
        ("[spec]", "[spec", "cannot read"),
        ("vendor =", "vendor", "cannot read"),
    ],
)
def test_a_broken_file_says_what_is_wrong(own_facts, old, new, message):
    (own_facts / "accelerators" / "own-card.toml").write_text(OWN.replace(old, new))
    use_facts(own_facts)

    with pytest.raises(InvalidInput, match=message) as caught:
        accelerator("own-card")
    assert "own-card.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no folder of facts"):
        use_facts(tmp_path / "nowhere")


@pytest.mark.parametrize(("path", "says"), [("prices/ours.csv", "name it cloud.csv"), ("notes.txt", "no facts in")])
def test_facts_nobody_would_read_are_refused(tmp_path, path, says):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("provider,price_per_hour\nours,1\n")

    with pytest.raises(InvalidInput, match=says):
        use_facts(tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "count", "per_node"),
    [
        ("g5.12xlarge", "a10g", 4, 4),
        ("p5.48xlarge", "h100-sxm", 8, 8),
        ("2xp5.48xlarge", "h100-sxm", 16, 8),
        ("P4D.24xlarge", "a100-sxm-40gb", 8, 8),
        ("ND96asr_v4", "a100-sxm-40gb", 8, 8),
        ("Standard_ND96isr_H100_v5", "h100-sxm", 8, 8),
        ("a3-highgpu-8g", "h100-sxm", 8, 8),
        ("g2-standard-48", "l4", 4, 4),
        ("trn1.32xlarge", "trainium1", 16, 16),
        ("BM.GPU.MI300X.8", "mi300x", 8, 8),
        ("v4-8", "tpu-v4", 4, 4),
        ("v5p-64", "tpu-v5p", 32, 4),
        ("tpu-v6e-8", "tpu-v6e", 8, 8),
        ("v5litepod-16", "tpu-v5e", 16, 8),
    ],
)
def test_instances_and_slices_are_clusters(text, name, count, per_node):
    found = cluster(text)

    assert (found.accelerator.name, found.count) == (name, count)
    assert found.per_node <= max(per_node, found.accelerator.per_node or 8)


def test_a_slice_is_of_whole_chips():
    with pytest.raises(InvalidInput, match="count 2 cores to a chip"):
        cluster("v4-7")
    with pytest.raises(UnknownName):
        cluster("v9-8")


def test_instances_agree_with_the_price_list():
    listed = {
        row["name"]: (row["accelerator"], row["count"]) for row in rows(data_folder("hardware") / "instances.csv")
    }
    offers = rows(data_folder("hardware") / "prices" / "cloud.csv")

    assert all(accelerator(name).name == name for name, _ in listed.values())
    assert len(listed) == len({name.lower() for name in listed}) >= 80
    for offer in offers:
        if offer["instance"] in listed:
            assert listed[offer["instance"]] == (offer["accelerator"], offer["count"]), offer["instance"]


def test_several_where_one_is_asked_for_are_told_who_compares_them():
    with pytest.raises(UnknownName, match="`estimator layout` and `estimator check` compare several"):
        accelerator("h100,a100")
