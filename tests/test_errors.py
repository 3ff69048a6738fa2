"""Errors travel: the same type, message and attributes in another process, and always one line."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

from estimator import compare, errors
from estimator.errors import DoesNotFit, EstimatorError, InvalidInput, MissingExtra, NotNamed, TooFew, UnknownName

EXAMPLES = [
    EstimatorError("something"),
    InvalidInput("a value"),
    UnknownName("stage", "rga", ["rag", "prompt"], "Stages are two."),
    NotNamed("which LLM?"),
    DoesNotFit("by 3 GB"),
    TooFew("by 3 GB: 2 of them would do"),
    MissingExtra("torch", "measure"),
]


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\x9b", "\u202e", "\ud800", "\u2028"])
def test_a_message_can_be_shown_whatever_it_quotes(letter):
    assert str(InvalidInput(f"no file {letter} here\nnor there")).isprintable()


def test_every_error_has_an_example():
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EstimatorError)}

    assert {type(one) for one in EXAMPLES} == kinds


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_is_pickled_and_copied_whole(error, protocol):
    error.note = {"row": 7}

    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert (type(again), str(again), again.args, vars(again)) == (type(error), str(error), error.args, vars(error))


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_worker_s_error_comes_back_as_itself(method):
    context = multiprocessing.get_context("spawn" if method == "forkserver" else method)
    with ProcessPoolExecutor(1, mp_context=context) as pool, pytest.raises(UnknownName) as caught:
        pool.submit(compare, model="7b", gpu="a1000").result(timeout=120)

    assert caught.value.nearest
    assert "unknown accelerator 'a1000'" in str(caught.value)


def test_a_cluster_s_error_comes_back_as_itself():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(UnknownName, match="a1000"),
    ):
        client.submit(compare, model="7b", gpu="a1000").result(timeout=120)


def test_a_message_is_one_line():
    assert str(InvalidInput("one\ntwo\r\n  three")) == "one two three"


def test_a_long_message_keeps_its_end():
    shown = str(InvalidInput(f"a list must be a name, not {list(range(900))}: say one of full, selective"))

    assert len(f"estimator: {shown}") <= 500
    assert shown.startswith("a list must be a name")
    assert shown.endswith("say one of full, selective")
