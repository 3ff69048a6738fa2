"""Number formats: listed ones keep their block scales, unlisted ones are read from the name, nonsense is refused."""

import pytest

from estimator.catalog.precisions import head_precision, known_precisions, precision
from estimator.errors import UnknownName


@pytest.mark.formula
@pytest.mark.parametrize(
    ("name", "bits", "source"),
    [
        ("q4_0", 18 * 8 / 32, "ggml-common.h: block_q4_0 is a 16-bit scale and 16 bytes for 32 weights"),
        ("q5_0", 22 * 8 / 32, "ggml-common.h: block_q5_0 is 22 bytes for 32 weights"),
        ("q8_0", 34 * 8 / 32, "ggml-common.h: block_q8_0 is 34 bytes for 32 weights"),
        ("awq", 4 + (16 + 4) / 128, "arXiv:2306.00978: groups of 128, 16-bit scale, 4-bit zero point"),
        ("mxfp4", 4 + 8 / 32, "OCP Microscaling v1.0: blocks of 32 share an 8-bit scale"),
        ("nvfp4", 4 + 8 / 16, "NVFP4: blocks of 16 share an FP8 scale"),
        ("nf4", 4.127, "arXiv:2305.14314 section 3: 0.127 bit per parameter with double quantisation"),
    ],
)
def test_bits_count_the_scales(name, bits, source):
    assert precision(name).bits == pytest.approx(bits), source


@pytest.mark.parametrize(
    ("name", "bits", "compute"),
    [
        ("exl2-4.0", 4.0, "fp16"),
        ("exl2_5.5bpw", 5.5, "fp16"),
        ("q5_0", 5.5, "fp16"),
        ("int4-g32", 4 + 20 / 32, "fp16"),
        ("gptq-int4-g64", 4 + 20 / 64, "fp16"),
        ("w4a8", 4.0, "int8"),
        ("fp6", 6.0, "fp16"),
        ("FP8/BF16", 8.0, "fp8"),
    ],
)
def test_the_vocabulary_is_open(name, bits, compute):
    found = precision(name)

    assert (found.bits, found.compute) == (bits, compute)


def test_a_parsed_precision_says_it_is_assumed():
    assert precision("int4-g32").assumed
    assert not precision("awq").assumed


def test_quantisers_leave_the_output_projection_wide_except_ggufs():
    assert head_precision("awq").bits == 16
    assert head_precision("fp8").bits == 16
    assert head_precision("q4_k_m").bits == precision("q4_k_m").bits


def test_every_listed_name_resolves_and_has_a_source():
    for name in known_precisions():
        assert precision(name).sources, name


@pytest.mark.parametrize("name", ["", "fast", "quantised", "q"])
def test_a_name_without_bits_is_refused_with_advice(name):
    with pytest.raises(UnknownName, match="Bits are read from a name"):
        precision(name)
