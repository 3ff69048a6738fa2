"""Replicas timed together: each does what it does alone, to the last bit."""

import random

import numpy as np
import pytest

from estimator.catalog.accelerators import accelerator
from estimator.catalog.models import architecture
from estimator.predict.serving import ServingPlan, Traffic, serving
from estimator.predict.serving_replicas import closed_loops
from estimator.records import Cluster
from estimator.search.serving import cuts

DEVICES = ("h100", "l4", "mi300x", "rtx-4090", "apple-m2-ultra", "cpu-epyc-9554")
LLMS = ("llama-3.1-8b", "qwen3-30b-a3b", "gemma-2-9b", "deepseek-v2-lite")
CLIENTS = np.array([1.0, 2.0, 8.0, 64.0, 1000.0])


@pytest.mark.parametrize("seed", range(24))
def test_many_together_are_each_alone(seed):
    draw = random.Random(seed)
    llm, engine = architecture(LLMS[seed % 4]), draw.choice(("vllm", "sglang", "llama.cpp", "hf", "my-own"))
    replicas = []
    for name in draw.sample(DEVICES, 2):
        device = accelerator(name)
        for plan in (ServingPlan(precision, engine=engine) for precision in ("bf16", "fp8", "q4_k_m")):
            for cut in cuts(llm, Cluster(device, 8, 4), plan):
                replicas.append((Cluster(device, cut.tp * cut.pp, min(cut.tp * cut.pp, 4)), cut))
    prompt, output = draw.choice((20, 900, 6000)), draw.choice((1, 7.5, 400))
    traffic = Traffic(prompt, output, concurrency=CLIENTS, start=draw.choice((None, "spread", "together")))

    found = closed_loops(llm, replicas, traffic)

    alone = [serving(llm, *replica, traffic) for replica in replicas]
    fitting = [one for one in alone if one.fits]
    assert found.which.tolist() == [place for place, one in enumerate(alone) if one.fits]
    for name in ("ttft_s", "tpot_s", "requests_per_s"):
        assert np.array_equal(getattr(found, name), [getattr(one, name) for one in fitting]), name
    assert np.array_equal(found.places[:, 0], [one.max_concurrency for one in fitting])
    assert np.array_equal(found.cache_bytes[:, 0], [one.kv_bytes_available for one in fitting])
