"""Profiles are whole or refused in one line, and two runs do not get in each other's way."""

import json
import subprocess
import sys
import textwrap

import pytest

from estimator.catalog.accelerators import accelerator
from estimator.catalog.files import use_facts_again
from estimator.catalog.local import PROFILE_VERSION, checksum, profile, read_profile
from estimator.errors import InvalidInput
from estimator.measure.profile import alone, drop_partial, load_partial, readable, save_partial, write_profile


def test_what_is_written_is_read_back(local, synthetic_profile):
    found = read_profile(local)

    assert found["measurements"] == synthetic_profile["measurements"]
    assert found["profile_version"] == PROFILE_VERSION


def test_a_profile_can_be_read_by_people(local):
    lines = local.read_text().splitlines()

    assert all(len(line) < 1500 for line in lines)
    assert sum('"gemm nt fp32' in line for line in lines) > 10


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_truncated_profile_is_refused_in_one_line(local, keep):
    text = local.read_text()
    local.write_text(text[: int(len(text) * keep)])

    with pytest.raises(InvalidInput, match=r"local\.json is damaged.*estimator calibrate") as error:
        read_profile(local)
    assert "\n" not in str(error.value)


def test_an_edited_profile_is_refused(local):
    content = json.loads(local.read_text())
    content["constants"]["2"]["memory"]["bytes_per_s"] *= 2
    local.write_text(json.dumps(content))

    with pytest.raises(InvalidInput, match="was changed after it was measured"):
        read_profile(local)


@pytest.mark.parametrize("field", ["cache_bytes", "sms", "devices"])
@pytest.mark.parametrize("wrong", [[5], "5", {"a": 1}, True])
def test_a_signed_profile_of_wrong_kinds_is_refused(local, field, wrong):
    content = json.loads(local.read_text())
    content["machine"][field] = wrong
    local.write_text(json.dumps({**content, "checksum": checksum(content)}))

    with pytest.raises(InvalidInput, match=f"cannot be calculated with: machine.{field} is no number"):
        read_profile(local)


@pytest.mark.parametrize("table", ["gemm", "attention", "decode_attention"])
@pytest.mark.parametrize("constant", ["launch_s", "sharpness"])
def test_a_word_for_a_constant_is_refused_where_it_has_a_usual_value(local, table, constant):
    content = json.loads(local.read_text())
    constants = next(iter(content["constants"].values()))
    next(iter(constants[table].values()))[constant] = "x"
    local.write_text(json.dumps({**content, "checksum": checksum(content)}))

    with pytest.raises(InvalidInput, match=rf"{table}.*{constant} is no number"):
        read_profile(local)


@pytest.mark.parametrize("wrong", [7, "launch_s", None, []])
def test_an_entry_of_constants_that_is_no_table_is_refused(local, wrong):
    content = json.loads(local.read_text())
    entries = next(iter(content["constants"].values()))["gemm"]
    entries[next(iter(entries))] = wrong
    local.write_text(json.dumps({**content, "checksum": checksum(content)}))

    with pytest.raises(InvalidInput, match=r"gemm.* is no table"):
        read_profile(local)


def test_a_profile_of_the_future_says_to_update(local):
    content = json.loads(local.read_text()) | {"profile_version": PROFILE_VERSION + 1}
    local.write_text(json.dumps(content))

    with pytest.raises(
        InvalidInput,
        match=rf"version {PROFILE_VERSION + 1}, this package reads version {PROFILE_VERSION}\. Update this package",
    ):
        read_profile(local)


@pytest.mark.parametrize("text", ["[]", "{}", '"text"', "null", '{"profile_version": "1"}', "\x00", "[" * 100000])
def test_what_is_no_profile_is_refused(local, text):
    local.write_text(text)

    with pytest.raises(InvalidInput):
        read_profile(local)


@pytest.mark.usefixtures("data_folder")
def test_without_a_profile_the_way_to_one_is_named():
    with pytest.raises(InvalidInput, match=r"not been measured\. Run `estimator calibrate`"):
        profile("local")


def test_a_failed_write_leaves_the_old_profile(local, monkeypatch):
    before = local.read_text()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        write_profile({"new": 1}, local)

    assert local.read_text() == before
    assert [path.name for path in local.parent.iterdir()] == ["local.json"]


def test_a_new_profile_replaces_what_was_remembered(local, synthetic_profile):
    assert profile("local")["date"] == synthetic_profile["date"]

    write_profile(synthetic_profile | {"date": "later"}, local)

    assert profile("local")["date"] == "later"


HOLD = """
import sys
from estimator.measure.profile import alone
with alone():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.usefixtures("data_folder")
def test_two_runs_at_once_are_refused_and_a_killed_one_frees_the_machine():
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(InvalidInput, match="another run is measuring"), alone():
            pass
    finally:
        other.kill()
        other.communicate()

    with alone():
        pass


@pytest.mark.usefixtures("data_folder")
def test_what_an_interrupted_run_measured_is_found_by_the_next_of_its_kind():
    save_partial({"fingerprint": "this", "samples": {"case": [1.0]}})

    assert load_partial("this")["samples"] == {"case": [1.0]}
    assert load_partial("another machine") is None
    drop_partial()
    assert load_partial("this") is None


def test_a_damaged_partial_run_is_ignored(data_folder):
    save_partial({"fingerprint": "this", "samples": {}})
    path = next(data_folder.glob("*.partial.json"))
    path.write_text(path.read_text()[:-5])
    use_facts_again()

    assert load_partial("this") is None


def test_readable_is_json():
    content = {"a": {"b": [1, 2.5], "c": {}}, "d": None, "é": "x\ny"}

    assert json.loads(readable(content)) == content


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("name", ["../../etc/passwd", "local/../x", "", "a" * 500, "local-\x00"])
def test_names_do_not_leave_the_folders(name):
    with pytest.raises(InvalidInput):
        accelerator(name)


def test_a_shared_profile_answers_to_its_own_name(local, tmp_path, monkeypatch):
    shared = tmp_path / "calibration" / "measured" / "lab-machine.json"
    shared.parent.mkdir(parents=True)
    shared.write_text(local.read_text())
    monkeypatch.setattr("estimator.catalog.local.data_folder", lambda name: tmp_path / name)
    use_facts_again()

    found = accelerator("lab-machine")

    assert (found.name, found.basis) == ("lab-machine", "measured")
    assert found.peak_flop_per_s == accelerator("local").peak_flop_per_s


SLOW_WRITE = """
import os, sys, time
from pathlib import Path
from estimator.measure import profile
real = os.fsync
def stuck(handle):
    print("writing", flush=True)
    time.sleep(60)
os.fsync = stuck
profile.write_profile({"new": 1}, Path(sys.argv[1]))
"""


def test_a_kill_while_writing_leaves_the_old_profile(local):
    before = local.read_text()
    writer = subprocess.Popen([sys.executable, "-c", SLOW_WRITE, str(local)], stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline().strip() == b"writing"
    finally:
        writer.kill()
        writer.communicate()

    assert local.read_text() == before
    assert read_profile(local)


@pytest.mark.parametrize(
    "damage", [lambda text: text[:1000], lambda text: text.replace('"threads": 2', '"threads": 3')]
)
def test_the_command_says_in_one_line_what_is_wrong_with_a_profile(local, damage, capsys):
    from estimator.cli.main import main

    local.write_text(damage(local.read_text()))
    use_facts_again()

    assert main(["compare", "--model", "7b", "--gpu", "local"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "local.json" in error
    assert "estimator calibrate" in error


def test_an_older_profile_says_to_measure_again(local):
    content = json.loads(local.read_text()) | {"profile_version": PROFILE_VERSION - 1}
    local.write_text(json.dumps(content))

    with pytest.raises(InvalidInput, match="Run `estimator calibrate` to measure this machine"):
        read_profile(local)


def test_a_folder_that_cannot_be_written_to_is_one_line(local, synthetic_profile):
    blocked = local.parent / "file"
    blocked.write_text("not a folder")

    with pytest.raises(InvalidInput, match=r"cannot write .*Not a directory") as error:
        write_profile(synthetic_profile, blocked / "profile.json")
    assert "\n" not in str(error.value)
