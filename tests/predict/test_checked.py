"""One list of plan fields: it agrees with the records, bounds hold in command and Python, names lead somewhere."""

from dataclasses import MISSING, fields

import numpy as np
import pytest

from estimator import layout, serving, training_step
from estimator.catalog import plan_fields as data
from estimator.catalog.files import use_facts_again
from estimator.catalog.plan_fields import TITLES, field_named, hints, plan_fields
from estimator.cli import main
from estimator.errors import EstimatorError, InvalidInput, UnknownName
from estimator.predict.checked import KNOWN, READERS, SECTIONS, checked, checked_plan, checked_value, choices
from estimator.predict.training_plan import TrainingPlan
from estimator.scenario import default_scenario, known_input
from estimator.search.asking import FIELDS, searched
from estimator.validation import inference, training

EVERY = [(section, name) for section in TITLES for name in plan_fields(section)]
NUMBERS = [(s, n) for s, n in EVERY if plan_fields(s)[n].kind in ("whole", "number")]
ASKED = {
    "train": ["layout", "pretrain", "--gpu", "8xa100", "--model", "1b"],
    "serve": ["layout", "serve", "--model", "8b", "--gpu", "2xh100"],
    "load": ["serving", "--model", "8b", "--gpu", "h100"],
}


def kind_of(section):
    return "load" if section == "traffic" else "train" if section.startswith("training") else "serve"


def in_python(section, name, value):
    """What a value of a field leads to, as a program asks it."""
    if section == "training":
        return training_step(model="1b", gpu="8xa100", **{"seq_len": 2048, "global_batch": 64} | {name: value})
    if section in ("serving", "traffic"):
        return serving(model="8b", gpu="h100", **{"prompt_tokens": 100, "output_tokens": 10} | {name: value})
    task = "serve" if section == "serving_goal" else "pretrain"
    return layout(model="8b", gpu="2xh100", task=task, **{name: value})


@pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.__name__)
def test_the_list_is_the_record(kind):
    """Each field of the record stands in the data, in no other order and with its default, and the other way round."""
    listed = plan_fields(SECTIONS[kind])

    assert list(listed) == [one.name for one in fields(kind)]
    for one in fields(kind):
        assert listed[one.name].required == (one.default is MISSING)
        if one.default is not MISSING:
            assert listed[one.name].value == one.default
            assert type(listed[one.name].value) is type(one.default)


@pytest.mark.parametrize(("section", "name"), EVERY, ids=".".join)
def test_each_field_says_what_it_is(section, name):
    one = plan_fields(section)[name]

    assert one.kind in READERS
    assert one.why == one.why.strip()
    assert len(one.why.split()) >= 4
    assert one.why[0].islower() or one.why.startswith("LoRA")
    if one.kind in ("whole", "number"):
        assert one.unit
        assert one.least < one.most
        assert not one.choices
    else:
        assert not one.unit
        assert one.kind == "switch" or choices(one)
    assert all(data.plain(alias) == alias for alias in one.aliases)
    assert set(one.inputs) <= set(default_scenario().names())
    if one.value is not None:
        assert checked_value(one, one.value) == one.value


@pytest.mark.parametrize("kind", FIELDS)
def test_no_name_stands_for_two_fields(kind):
    """Nor for a field and a hint: a name leads to one thing."""
    owner = {}
    for section in FIELDS[kind] + (("traffic",) if kind == "serve" else ()):
        for name, one in plan_fields(section).items():
            for called in {name, *one.aliases, *one.inputs}:
                assert owner.setdefault(called, name) == name, called
    assert not set(owner) & set(hints())


def test_aliases_of_inputs_are_names_of_no_other_input():
    found = default_scenario()
    entries = {**found.amounts, **found.choices}
    spelled = [alias for entry in entries.values() for alias in entry.aliases]

    assert spelled
    assert len({*spelled, *entries}) == len(spelled) + len(entries)
    for name, entry in entries.items():
        assert {known_input(alias) for alias in entry.aliases} <= {name}


# --- bounds, in command and Python ------------------------------------------------------------------------------------


def beyond(section, name):
    """Values on the wrong side of what a number may be."""
    one = plan_fields(section)[name]
    wrong = [one.least - 1, float("nan"), "x", True]
    return wrong + ([one.most * 2] if one.most < float("inf") else []) + ([1.5] if one.whole else [])


@pytest.mark.parametrize(("section", "name"), NUMBERS, ids=".".join)
def test_bounds_hold_in_python(section, name):
    for value in beyond(section, name):
        with pytest.raises(InvalidInput, match=rf"^{name} must be ") as caught:
            in_python(section, name, value)
        assert "\n" not in str(caught.value)
    one = plan_fields(section)[name]
    if one.several:
        with pytest.raises(InvalidInput, match=rf"^{name} must be "):
            in_python(section, name, np.array([max(one.least, 1.0), one.least - 1]))


@pytest.mark.parametrize(("section", "name"), [(s, n) for s, n in NUMBERS if s != "traffic"], ids=".".join)
def test_bounds_hold_in_the_command(section, name, capsys):
    argv = ASKED[kind_of(section)]
    for value in beyond(section, name):
        status = main([*argv, "--set", f"{name}={value}"])
        shown = capsys.readouterr()

        assert (status, shown.out) == (2, "")
        assert shown.err.startswith(f"estimator: {name} must be ")
        assert len(shown.err.splitlines()) == 1


WORDS = {
    "training.optimizer": ("banana", "adamw"),
    "training.cpu_offload": ("disk", "optimizer"),
    "training.recompute": ("some", "selective"),
    "training.method": ("qlorra", "'qlora'"),
    "training.precision": ("bf61", "bf16"),
    "training.weight_precision": ("nf", "nf4"),
    "training.framework": ("megatrn", "'megatron'"),
    "training.lora_targets": ("q,banana", "gate, up, down"),
    "training.fused_attention": ("perhaps", "true or false"),
    "training.reward_model": ("perhaps", "true or false"),
    "serving.engine": ("vlm", "'vllm'"),
    "serving.weight_precision": ("aqw", "'awq'"),
    "serving.kv_precision": ("banana", "precision 'banana'"),
    "serving.activation_precision": ("banana", "precision 'banana'"),
    "serving.chunked_prefill": ("perhaps", "true or false"),
    "serving.draft": ("oracle", "eagle"),
    "serving.server": ("grpc", "in process"),
    "serving.measured": ("nosuch", "no profile of a server"),
    "traffic.start": ("later", "together"),
}


@pytest.mark.parametrize(("where", "word", "says"), [(w, *t) for w, t in WORDS.items()], ids=WORDS)
def test_words_that_mean_nothing_are_refused(where, word, says, capsys):
    section, name = where.split(".")
    with pytest.raises(InvalidInput, match=says):
        in_python(section, name, word)

    assert main([*ASKED[kind_of(section)], "--set", f"{name}={word}"]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert len(shown.err.splitlines()) == 1


def test_every_word_has_its_test():
    assert set(WORDS) == {f"{s}.{n}" for s, n in EVERY if plan_fields(s)[n].kind in ("word", "list", "switch")}


@pytest.mark.parametrize(("section", "name"), EVERY, ids=".".join)
def test_every_word_that_is_listed_is_taken(section, name):
    one = plan_fields(section)[name]

    for word in choices(one) if one.kind in ("word", "list") else ():
        assert isinstance(checked_value(one, word), str)
    for spelled, word in one.words.items():
        assert checked_value(one, spelled.upper()) == checked_value(one, word)


def test_each_place_where_words_are_known_is_used():
    assert {plan_fields(s)[n].choices for s, n in EVERY if isinstance(plan_fields(s)[n].choices, str)} == {
        *KNOWN,
        "scenario",
    }


# --- names ------------------------------------------------------------------------------------------------------------


def test_aliases_are_taken_and_said(capsys):
    argv = [*ASKED["train"], "--set", "global_batch=64", "--format", "json"]
    assert main([*argv, "--set", "micro_batch=4", "--set", "recompute=full"]) == 0
    named = capsys.readouterr()
    assert main([*argv, "--set", "per_device_train_batch_size=4", "--set", "gradient-checkpointing=true"]) == 0
    called = capsys.readouterr()

    assert named.err == ""
    assert called.out == named.out
    assert called.err.splitlines() == [
        "estimator: per_device_train_batch_size is micro_batch here",
        "estimator: gradient-checkpointing is recompute here",
    ]


def test_aliases_in_python():
    named = training_step(model="1b", gpu="8xa100", seq_len=2048, micro_batch=2, tp=2, pp=1, global_batch=64, zero=1)
    called = training_step(
        model="1b",
        gpu="8xa100",
        cutoff_len=2048,
        per_device_train_batch_size=2,
        tensor_model_parallel_size=2,
        pp=1,
        global_batch_size="64",
        zero_stage=1,
    )
    asked = {"model": "8b", "gpu": "h100", "prompt_tokens": 1000, "output_tokens": 100}

    assert called.step_s == named.step_s
    assert serving(**asked, gpu_memory_utilization=0.5, max_concurrency=4).max_concurrency == (
        serving(**asked, memory_fraction=0.5, concurrency=4).max_concurrency
    )


def test_a_field_given_twice_is_refused(capsys):
    with pytest.raises(InvalidInput, match="micro_batch is given twice, once as micro_batch_size"):
        checked(plan_fields("training"), {"micro_batch": 1, "micro_batch_size": 2})

    assert main([*ASKED["train"], "--set", "micro_batch=1", "--set", "micro_batch_size=2"]) == 2
    assert "micro_batch is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(hints()))
def test_what_no_field_is_gets_a_hint_and_no_guess(name, capsys):
    for argv in (ASKED["train"], ASKED["serve"]):
        assert main([*argv, "--set", f"{name}=1"]) == 2
        said = capsys.readouterr().err
        assert "Did you mean" not in said
        assert hints()[name][1:] in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tp", "a field of a training plan (estimator layout), which estimate chooses"),
        ("expert_parallel_size", "ep of a training plan"),
        ("max_seq_length", "finetune_seq_len or pretrain_seq_len in estimate"),
        ("max_num_seqs", "max_sequences of a serving plan"),
        ("samplse", "'samples'"),
    ],
)
def test_estimate_says_what_a_name_is(name, says, capsys):
    """Also where it is met: the command, a scenario file, a sweep, Python."""
    assert main(["estimate", "finetune", "--model", "8b", "--gpu", "h100", "--set", f"{name}=4"]) == 2
    assert says in capsys.readouterr().err
    with pytest.raises(UnknownName) as caught:
        known_input(name)
    assert says in str(caught.value)
    assert main(["sweep", "--vary", f"{name}=1,2", "--model", "8b", "--gpu", "h100"]) == 2
    assert says.partition(" of a")[0] in capsys.readouterr().err


def test_an_input_of_the_scenario_by_what_trainers_call_it(tmp_path, capsys):
    file = tmp_path / "mine.toml"
    file.write_text("num_train_epochs = 2\n[finetune]\nsamples = 1000\n", encoding="utf-8")
    argv = ["estimate", "finetune", "--model", "8b", "--gpu", "h100", "--format", "json"]
    assert main([*argv, "--set", "epochs=2", "--set", "lora_rank=8", "--set", "samples=1000"]) == 0
    named = capsys.readouterr()
    assert main([*argv, "--scenario", str(file), "--set", "lora_r=8"]) == 0
    called = capsys.readouterr()

    assert called.out == named.out
    assert called.err.splitlines() == [
        "estimator: lora_r is lora_rank here",
        "estimator: num_train_epochs is epochs here",
    ]


def test_what_was_taken_for_what_is_not_said_with_a_refusal(capsys):
    argv = [*ASKED["train"], "--set", "per_device_train_batch_size=4", "--set", "recompute=nonsense"]

    assert main(argv) == 2
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1
    assert "recompute" in refused

    assert main(ASKED["train"]) == 0  # nor with the next answer
    assert capsys.readouterr().err == ""


# --- values -----------------------------------------------------------------------------------------------------------


def test_arrays_stay_as_they_are():
    tp = np.array([1, 2, 4])
    one = plan_fields("training")

    assert checked_value(one["tp"], tp) is tp
    assert checked_value(one["recompute"], ["none", "full"]).tolist() == ["none", "full"]
    assert checked_value(one["tp"], ["1", "2"]).tolist() == [1, 2]
    assert checked_value(one["lora_targets"], ["q_proj", "v_proj"]) == "q_proj,v_proj"
    assert checked_value(one["tp"], np.int64(2)) == 2
    assert checked_value(one["seq_len"], "2k") == 2000


@pytest.mark.parametrize("value", [[], [[1], [1, 2]], {"a": 1}, [None], [{}], 10**400, "-1", "١x", b"2", [1, "x"]])
def test_odd_values_are_refused_in_a_line(value):
    with pytest.raises(EstimatorError) as caught:
        checked_value(plan_fields("training")["tp"], value)

    assert "\n" not in str(caught.value)


def test_one_value_where_there_are_no_several():
    with pytest.raises(InvalidInput, match="tp is one value"):
        serving(model="8b", gpu="h100", prompt_tokens=1, output_tokens=1, tp=[1, 2])
    with pytest.raises(InvalidInput, match="seq_len is one value"):
        layout(model="8b", gpu="8xh100", seq_len=[1024, 2048])
    with pytest.raises(InvalidInput, match="seq_len must be given"):
        training_step(model="8b", gpu="8xh100", seq_len=None)


# --- a new field is data ----------------------------------------------------------------------------------------------


@pytest.fixture
def one_more(tmp_path, monkeypatch):
    """A field more in the data, and nowhere else."""
    text = (data.presets() / "plan.toml").read_text(encoding="utf-8")
    entry = """[training.sparks]
kind = "whole"
value = 3
unit = "spark"
least = 2
most = 9
aliases = ["num_sparks"]
why = "sparks that fly from every step"

[serving.weight_precision]"""
    (tmp_path / "plan.toml").write_text(text.replace("[serving.weight_precision]", entry, 1), encoding="utf-8")
    monkeypatch.setattr(data, "presets", lambda: tmp_path)
    use_facts_again()
    yield
    monkeypatch.undo()
    use_facts_again()


@pytest.mark.usefixtures("one_more")
def test_a_field_in_data_alone_is_everywhere(capsys):
    assert main(["catalog", "inputs", "sparks", "--format", "csv"]) == 0
    assert "sparks,training,3,,,spark,num_sparks,training plan: sparks that fly" in capsys.readouterr().out
    assert main([*ASKED["train"], "--set", "num_sparks=10"]) == 2
    refused = capsys.readouterr().err
    assert "sparks must be between 2 and 9 spark, not 10" in refused
    with pytest.raises(InvalidInput, match="sparks must be between 2 and 9"):
        training_step(model="1b", gpu="8xa100", num_sparks=1)
    assert checked(plan_fields("training"), {"num_sparks": "4"}) == {"sparks": 4}
    assert field_named("--num-sparks", searched("train")) == "sparks"


def test_a_checked_plan_is_the_record():
    assert checked_plan(TrainingPlan, {"tp": "2", "fused_attention": "false"}) == TrainingPlan(
        tp=2, fused_attention=False
    )


def test_the_catalogue_lists_every_field(capsys):
    main(["catalog", "inputs", "--format", "csv"])
    lines = capsys.readouterr().out

    for section, name in EVERY:
        assert f"\n{name},{section}," in lines


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"tp": "1.5"}, "tp must be a whole number, not 1.5"),
        ({"global_batch_seqs": "1e12"}, "global_batch must be between 1 and 1e+09"),
        ({"engine": "vllm", "tp": "1.5"}, "tp must be a whole number, not 1.5"),
        ({"engine": "vllm", "ep": "-2"}, "ep must be between 1 and 100000, not -2"),
    ],
)
def test_case_files_keep_the_bounds(row, says):
    lengths = {"input_len": "100", "output_len": "10", "metric": "tpot_ms", "task": "decode"}
    known = {"id": "a", "source": "me", "metric": "mfu", "model": "llama-2-7b", "gpu": "a100", "n_gpus": "8"}
    predict = inference.predict_cases if "engine" in row else training.predict_cases
    found = predict([known | {"seq_len": "2048"} | (lengths if "engine" in row else {}) | row])[0]

    assert found.status == "unsupported"
    assert says in found.reason


@pytest.mark.parametrize(
    ("name", "says"),
    [("precision", "weight_precision (awq"), ("cpu_offload", "cpu_moe_layers"), ("seq_len", "max_context")],
)
def test_a_training_plans_word_is_told_what_serving_calls_it(name, says, capsys):
    assert main(["serving", "--model", "8b", "--gpu", "h100", "--set", f"{name}=1"]) == 2
    assert says in capsys.readouterr().err
    assert main(["estimate", "finetune", "--model", "8b", "--gpu", "h100", "--set", f"{name}=1"]) == 2
    assert says not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "needs"),
    [
        ("draft=eagle", "draft_accepted_tokens"),
        ("drafted_tokens=8", "draft_accepted_tokens"),
        ("adapter_rank=64", "adapters"),
    ],
)
def test_what_says_nothing_alone_is_refused(said, needs, capsys):
    for argv in (["serving"], ["layout", "serve"]):
        asked = [*argv, "--model", "8b", "--gpu", "1xh100"]
        assert main([*asked, "--set", said]) == 2
        assert f"says nothing without {needs}" in capsys.readouterr().err
        assert main([*asked, "--set", said, "--set", f"{needs}=2"]) == 0


def test_an_objective_is_supervised_or_a_reward_in_a_layout(capsys):
    asked = ["layout", "finetune", "--model", "qwen3-0.6b", "--gpu", "1xh100", "--set", "method=lora"]
    peak = {}
    for said in ("objective=sft", "objective=reward", "reward_model=true"):
        assert main([*asked, "--set", said, "--format", "csv"]) == 0
        peak[said] = capsys.readouterr().out
    assert peak["objective=reward"] == peak["reward_model=true"] != peak["objective=sft"]
    assert main([*asked, "--set", "objective=grpo"]) == 2
    assert "estimate finetune plans the others" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a" * 5000, "text-embeddings-inferenc", "x"])
def test_an_unknown_engine_is_said_in_one_short_line(name):
    with pytest.raises(UnknownName) as caught:
        serving(model="8b", gpu="h100", prompt_tokens=100, output_tokens=10, engine=name)

    assert len(str(caught.value)) < 500
    assert "vllm" in str(caught.value) or "text-embeddings-inference" in str(caught.value)
