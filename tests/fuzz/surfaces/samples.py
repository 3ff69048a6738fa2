"""Training samples, documents of a corpus and tokenizers: files, and folders of them with whatever may lie there."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz import files, values
from tests.fuzz.answers import command
from tests.fuzz.surfaces.run_configs import PIECES, spoilt
from tests.fuzz.trial import Trial

SHARE = 70
MACHINE = ("--model", "7b", "--gpu", "a100")
SAMPLE: tuple[dict[str, Any], ...] = (
    {
        "messages": [
            {"role": "user", "content": "Why is the sky blue?"},
            {"role": "assistant", "content": "It scatters."},
        ]
    },
    {"conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Good day"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image"}]}]},
    {"instruction": "Add", "input": "1 and 2", "output": "3"},
    {"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assistant", "content": "b"}], "rejected": "c"},
    {"text": "Once upon a time"},
    {"input_ids": [1, 2, 3], "labels": [1, 2, 3]},
)
ODD: tuple[Any, ...] = (None, True, 0, -1, 1.5, "", "\ud800", [], {}, [[]], [None], [5], ["x"], {"text": 5}, {"a": {}})
TOKENIZER = {
    "version": "1.0",
    "model": {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"},
    "pre_tokenizer": {"type": "Whitespace"},
}
DOCUMENTS = {
    "a.txt": "Words of a document.\n",
    "b.html": "<html><script>x</script><p>Seen &amp; read</p></html>",
    "c.md": "# Title\n\nWords\n",
    "d.pdf": "%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
    "2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"
    "xref\n0 3\n0000000000 65535 f \n0000000009 00000 n \n0000000058 00000 n \n"
    "trailer\n<< /Size 3 /Root 1 0 R >>\nstartxref\n110\n%%EOF\n",
    "e.docx": "PK\x03\x04 no archive",
}


def draw(rng: random.Random, index: int) -> Trial:
    """In turn samples in a file, a folder with something strange in it, a corpus, and a tokenizer."""
    return (_file, _folder, _corpus, _tokenizer)[index % 4](rng, index // 4)


def _file(rng: random.Random, turn: int) -> Trial:
    """A few samples, all well, or one with a value of a wrong kind, or a damaged text."""
    name, whole = rng.choice(("in.jsonl", "in.jsonl", "in.csv", "in.parquet")), turn % 8 == 0
    rows = [dict(rng.choice(SAMPLE)) for _ in range(3)] if name == "in.jsonl" else [{"text": "Once"}, {"text": "upon"}]
    if not whole and rng.random() < 0.6:
        place = rng.randrange(len(rows))
        rows[place] = {key: _odd(rng, value) for key, value in rows[place].items()}
    shown = _written(rng, name, rows, whole)
    wants = 0 if whole else None
    return command("samples" if not whole else "plain samples", _asked(rng, name, whole), f"{name}: {shown}", wants)


def _odd(rng: random.Random, value: Any) -> Any:
    """A value with something of a wrong kind in it, at any depth."""
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], _odd(rng, value[place]), *value[place + 1 :]]
    if isinstance(value, dict) and value and rng.random() < 0.7:
        key = rng.choice([*value])
        return {**value, key: _odd(rng, value[key])}
    return rng.choice(ODD)


def _written(rng: random.Random, name: str, rows: list[dict[str, Any]], whole: bool) -> str:
    if name == "in.parquet":
        return _parquet(rng, name, rows, whole)
    keys = [*rows[0]]
    lines = [json.dumps(row) for row in rows] if name == "in.jsonl" else [",".join(keys)]
    lines += [",".join(map(str, row.values())) for row in rows] if name == "in.csv" else []
    text = "\n".join(lines) + "\n"
    for _ in range(0 if whole else rng.randint(0, 2)):
        text = spoilt(rng, text, PIECES)
    Path(name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return values.shown(text)


def _parquet(rng: random.Random, name: str, rows: list[dict[str, Any]], whole: bool) -> str:
    import pyarrow
    from pyarrow import parquet

    try:
        parquet.write_table(pyarrow.Table.from_pylist(rows), name)
    except (ValueError, TypeError, pyarrow.ArrowException):  # no Parquet file can hold them
        parquet.write_table(pyarrow.table({"text": [1, 2]}), name)
    if not whole and rng.random() < 0.3:
        data = bytearray(Path(name).read_bytes())
        data[rng.randrange(4, len(data))] ^= 255
        Path(name).write_bytes(data)
    return repr(rows)


def _asked(rng: random.Random, path: str, whole: bool = False) -> tuple[str, ...]:
    words = ("estimate", "finetune", *MACHINE, "--data", path, *rng.choice(((), ("--format", "json"))))
    more = rng.choice(((), ("--set", "broken_lines=skip"), ("--set", "samples=5")))
    return words if whole else (*words, *more)


STRANGE: tuple[Callable[[str], None], ...] = (
    files.fifo,
    files.bound,
    files.null,
    files.zeros,
    files.loop,
    files.dangling,
)


def _folder(rng: random.Random, turn: int) -> Trial:
    """Good samples, and beside them something that holds none: it is refused, never passed over."""
    Path("data/deep").mkdir(parents=True)
    Path("data/deep/good.jsonl").write_text(json.dumps({"text": "Once"}) + "\n")
    Path("data/deep/notes.txt").write_text("not of the samples")
    if turn % 8 == 0:
        Path("data/deep/again").symlink_to("../deep")  # a circle of links ends
        return command("plain folder of samples", _asked(rng, "data", whole=True), "data/deep/again -> ../deep", 0)
    strange = rng.choice(STRANGE)
    strange("data/deep/in.jsonl" if strange is not files.loop else "data/deep/loop.jsonl")
    shown = f"data/deep/in.jsonl is {strange.__name__}: {strange.__doc__}"
    return command(f"folder of samples: {strange.__name__}", _asked(rng, "data"), shown, 2)


def _corpus(rng: random.Random, turn: int) -> Trial:
    """Documents, spoilt or not, and in half of the folders something strange."""
    Path("corpus").mkdir()
    names = rng.sample([*DOCUMENTS][:3] if turn % 8 == 0 else [*DOCUMENTS], 2)
    for name in names:
        text = DOCUMENTS[name] if turn % 8 == 0 else spoilt(rng, DOCUMENTS[name], PIECES)
        Path("corpus", name).write_bytes(text.encode("utf-8", "surrogatepass"))
    strange = rng.choice(STRANGE) if turn % 2 else None
    if strange is not None:
        strange("corpus/in.txt" if strange is not files.loop else "corpus/loop.txt")
    words = ("estimate", "rag", *MACHINE, "--set", "corpus=corpus")
    shown = f"corpus: {', '.join(names)}{f', in.txt is {strange.__name__}' if strange else ''}"
    return command("corpus", words, shown, 2 if strange else 0 if turn % 8 == 0 else None)


def _tokenizer(rng: random.Random, turn: int) -> Trial:
    """A tokenizer.json, spoilt or not, or something else in its place."""
    Path("in.jsonl").write_text(json.dumps({"text": "a b a"}) + "\n")
    text = json.dumps(TOKENIZER)
    for _ in range(rng.randint(1, 3) if turn % 8 else 0):
        text = spoilt(rng, text, PIECES)
    Path("tokenizer.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    words = ("estimate", "finetune", *MACHINE, "--data", "in.jsonl", "--set", "tokenizer_json=tokenizer.json")
    return command("tokenizer", words, f"tokenizer.json: {values.shown(text)}", None if turn % 8 else 0)
