"""Estimates beside a running loop, and beside the Hugging Face Trainer."""

from types import SimpleNamespace

import pytest

from estimator.callbacks import EstimateCallback, Watched, fields_of, shape_of, watching
from estimator.catalog.frameworks import framework
from estimator.catalog.own_runs import own_runs

RUN = {"model": "llama-3.1-8b", "gpu": "1xh100", "seq_len": 1024, "method": "lora", "lora_rank": 16, "global_batch": 8}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ESTIMATOR_RUNS", str(tmp_path / "runs"))


def test_a_loop_is_estimated_measured_and_recorded(monkeypatch, capsys):
    clock = iter([0.7 * step for step in range(100)])
    monkeypatch.setattr("estimator.callbacks.time.perf_counter", lambda: next(clock))

    with watching(30, report_after=5, **RUN) as run:
        for _ in range(10):
            run.step()

    said = capsys.readouterr().err
    assert "is predicted" in said
    assert "times the prediction" in said
    (kept,) = own_runs("training")
    assert kept["metric"] == "step_time_s"


def test_a_run_nobody_can_predict_goes_on(capsys):
    with watching(3, model="nobody", gpu="1xh100") as run:
        run.step()

    assert "no estimate" in capsys.readouterr().err
    assert not own_runs("training")


def test_a_loop_that_fails_records_nothing():
    with pytest.raises(ZeroDivisionError):
        fails()
    assert not own_runs("training")


def fails():
    with watching(30, **RUN) as run:
        for _ in range(10):
            run.step()
        raise ZeroDivisionError


def test_what_a_trainers_arguments_say():
    told = SimpleNamespace(
        per_device_train_batch_size=2, gradient_accumulation_steps=4, world_size=8, bf16=True, fp16=False,
        gradient_checkpointing=True, max_length=2048, optim="adamw_torch_fused", use_cpu=False,
    )  # fmt: skip

    found = fields_of(told)

    assert (found["micro_batch"], found["global_batch"], found["gpus"]) == (2, 64, 8)
    assert (found["precision"], found["recompute"], found["seq_len"]) == ("amp_bf16", "full", 2048)
    assert (framework(found["framework"]).known, found["optimizer"], "gpu" in found) == (True, told.optim, False)
    other = fields_of(SimpleNamespace(**{**vars(told), "optim": "nobody_knows", "use_cpu": True}))
    assert (other["gpu"], "optimizer" in other) == ("local", False)


def test_a_models_shape_and_adapters():
    config = SimpleNamespace(
        num_hidden_layers=2, hidden_size=64, num_attention_heads=4, intermediate_size=128, vocab_size=99
    )
    model = SimpleNamespace(config=config, peft_config={"default": SimpleNamespace(r=8)})

    found = shape_of(model)

    assert (found["layers"], found["heads"], found["lora_rank"], found["method"]) == (2, 4, 8, "lora")
    assert shape_of(None) == {}


def test_the_callback_is_one_of_transformers():
    transformers = pytest.importorskip("transformers")

    assert issubclass(EstimateCallback, transformers.TrainerCallback)
    other = EstimateCallback(keep=False)
    other.on_train_begin(SimpleNamespace(), SimpleNamespace(is_world_process_zero=False), None)
    assert other.watched is None


def test_neither_the_warm_up_nor_evaluations_are_counted(monkeypatch):
    clock = iter([0.0, 5.0, 6.0, 7.0, 60.0, 61.0])
    monkeypatch.setattr("estimator.callbacks.time.perf_counter", lambda: next(clock))
    run = Watched(RUN)
    run.step()
    run.step()
    assert run.step_s == 0
    run.step()
    run.step()
    run.resume()  # after an evaluation
    run.step()

    assert run.step_s == 1
