"""The tables of tools: every field exists, every default is what its field may hold, what was not read says so."""

import re

import pytest

from estimator.catalog.files import table
from estimator.catalog.plan_fields import plan_fields
from estimator.catalog.tools import LAUNCH, harmless, meaning, tool_names, tools
from estimator.configs.readings import kinds
from estimator.paths import presets

KEYS = [(tool.id, key) for tool in tools().values() for key in tool.keys.values()]


@pytest.mark.parametrize("name", tool_names())
def test_a_table_says_where_it_was_read(name):
    content = table(presets() / "tools" / f"{name}.toml")

    assert {source["kind"] for source in content["source"]} <= {"read", "recalled"}
    assert all(source["title"] for source in content["source"])
    assert content["task"] in ("training", "serving", "launch")


@pytest.mark.parametrize("name", tool_names())
def test_a_default_that_nobody_read_is_marked(name):
    content = table(presets() / "tools" / f"{name}.toml")
    unread = {source["kind"] for source in content["source"]} == {"recalled"}
    bare = [key for key, told in content["keys"].items() if "default" in told and not told.get("assumed")]

    assert not (unread and bare)


def sets_of(key):
    """The fields that a key may set."""
    groups = [group.partition("__")[0] for text in key.patterns for group in re.compile(text).groupindex]
    return {*([key.field] if key.field else []), *groups, *(field for also in key.also.values() for field in also)}


def test_a_key_sets_a_field_or_says_why_not():
    strange = [(tool, key.name) for tool, key in KEYS if not sets_of(key) <= set(kinds())]
    mute = [
        (tool, key.name)
        for tool, key in KEYS
        if not (sets_of(key) or key.ignore or key.matters or key.file or key.targets or key.data)
    ]

    assert not strange
    assert not mute


def test_words_of_a_field_are_its_own():
    fields = {**plan_fields("training"), **plan_fields("serving")}
    worded = [(tool, key, fields[key.field]) for tool, key in KEYS if key.field in fields]
    wrong = [
        (tool, key.name, word)
        for tool, key, field in worded
        if field.kind == "word" and isinstance(field.choices, tuple)
        for word in key.values.values()
        if word not in (*field.choices, *field.words, "", None)
    ]

    assert not wrong


def test_tools_are_tried_in_order_and_launchers_never_claim_a_file():
    ranks = [tool.rank for tool in tools().values()]

    assert ranks == sorted(ranks)
    assert tools()[LAUNCH].task == "launch"


@pytest.mark.parametrize("tool", [tool for tool in tools().values() if tool.known], ids=lambda tool: tool.id)
def test_a_tool_knows_its_own_keys(tool):
    assert tool.listed(next(iter(tool.known)))
    assert tool.key("no_such_key_anywhere") is None


def test_what_a_name_means_is_found_in_any_tool():
    assert meaning("--micro-batch-size").field == "micro_batch"
    assert meaning("no_such_key_anywhere") is None
    assert harmless("wandb_project")
    assert not harmless("sequence_len")
