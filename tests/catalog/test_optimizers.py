"""Optimizers by name: what is kept, words in any order, negations, and what nobody knows."""

import pytest

from estimator.catalog.optimizers import optimizer, optimizer_names
from estimator.errors import UnknownName


@pytest.mark.parametrize("name", optimizer_names())
def test_every_optimizer_keeps_no_more_than_adam(name):
    assert 0 <= optimizer(name).moment_bytes(8.0) <= 8


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("adamw", 8.0),
        ("AdamW fused", 8.0),
        ("adamw_torch_fused", 8.0),
        ("adamw (bf16 moments)", 4.0),
        ("adamw_8bit", 2.06),
        ("8-bit AdamW", 2.06),
        ("adamw_4bit", 1.06),
        ("paged_adamw_32", None),
        ("paged_adamw_8bit", 0.0),
        ("lion", 4.0),
        ("lion_8bit", 1.03),
        ("sgd", 0.0),
        ("sgd momentum", 4.0),
        ("muon+adamw", 4.0),
        ("adafactor", 0.0),
        ("apollo_mini", 0.0),
        ("sophia", 8.0),
        ("adamw with fp32 master weights", 8.0),
    ],
)
def test_words_beside_a_name_change_what_it_keeps(name, held):
    if held is None:
        with pytest.raises(UnknownName, match="32"):
            optimizer(name)
    else:
        assert optimizer(name).moment_bytes(8.0) == pytest.approx(held)


@pytest.mark.parametrize(
    ("name", "masters"),
    [
        ("adamw", None),
        ("adamw, fp32 masters", True),
        ("adamw without master weights", False),
        ("adamw (no fp32 master copies)", False),
    ],
)
def test_a_negation_is_not_what_it_negates(name, masters):
    assert optimizer(name).masters is masters


@pytest.mark.parametrize("name", ["lomo", "adalomo", "galore_adamw_layerwise", "adamw_8bit in backward"])
def test_some_free_gradients_as_they_come(name):
    assert optimizer(name).in_backward
    assert not optimizer("galore_adamw").in_backward


@pytest.mark.parametrize(("name", "nearest"), [("adanw", "adamw"), ("adafactr", "adafactor"), ("loin", "lion")])
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest):
    with pytest.raises(UnknownName) as raised:
        optimizer(name)

    assert nearest in raised.value.nearest


@pytest.mark.parametrize("name", ["", "8bit", "adamw quux"])
def test_words_alone_and_words_nobody_knows_are_refused(name):
    with pytest.raises(UnknownName):
        optimizer(name)
