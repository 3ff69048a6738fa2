"""The API says what the command says, refuses with its sentences, and lets nothing in that it should not."""

import asyncio
import csv
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from estimator import compare, estimate
from estimator.cli import main
from estimator.export.page.html import figure as broken
from estimator.shown import rendered
from estimator.text import human

pytest.importorskip("fastapi", reason="the API's tests need the extra serve")
pytest.importorskip("python_multipart", reason="the API's tests need the extra serve")
pytest.importorskip("starlette.testclient", reason="the API's tests need a client")
from starlette.testclient import TestClient

from estimator.web import events, safety
from estimator.web.app import create
from estimator.web.asking import COMMANDS, argv
from estimator.web.models import EXAMPLES, model

ASKED = {"model": "7b", "gpu": "a100"}
BRIEF = 40_000  # bytes


@pytest.fixture(scope="module")
def client():
    """The application, on this machine's own name."""
    return TestClient(create(), base_url="http://127.0.0.1", raise_server_exceptions=False)


def test_json_has_what_python_says(client):
    found = client.post("/api/v1/compare", json={**ASKED, "samples": {"low": 1000, "value": 2000, "high": 9000}}).json()
    again = compare(**ASKED, samples=(1000, 2000, 9000))

    for stage, one in found["stages"].items():
        figure = again[stage].total_usd
        shown = one["figures"]["total_usd"]
        assert [shown["value"], shown["low"], shown["high"]] == pytest.approx(
            [figure.value, *figure.interval()], rel=1e-9
        )
    assert found["command"] == "estimator compare --model=7b --gpu=a100 --set=samples=1000..2000..9000"
    assert broken(human(again["rag"].total_usd)) in client.get(found["page"]).text


@pytest.mark.parametrize("command", COMMANDS)
def test_answers_are_brief_unless_asked_in_full(client, command):
    brief = client.post(f"/api/v1/{command}", json=EXAMPLES[command])
    full = client.post(f"/api/v1/{command}?detail=full", json=EXAMPLES[command])
    by_query = client.get(
        f"/api/v1/{command}", params={k: v for k, v in EXAMPLES[command].items() if isinstance(v, str | int)}
    )

    assert brief.status_code == full.status_code == by_query.status_code == 200
    assert len(brief.content) < BRIEF
    assert brief.json()["schema_version"] == full.json()["schema_version"]


def test_full_detail_is_what_the_command_writes(client):
    found = client.get("/api/v1/estimate", params={**ASKED, "stage": "rag", "detail": "full"})

    assert found.text == rendered(estimate("rag", **ASKED), "json")


def test_tables_as_csv_for_spreadsheets(client):
    found = client.get("/api/v1/compare.csv", params=ASKED)

    assert found.headers["content-type"].startswith("text/csv")
    assert found.text == rendered(compare(**ASKED), "csv")


SENTENCES = [
    ("compare", {"model": "7b", "gpu": "a10x"}),
    ("compare", {"model": "7b"}),
    ("compare", {**ASKED, "samples": "many"}),
    ("compare", {**ASKED, "samples": -1}),
    ("compare", {**ASKED, "smaples": 5}),
    ("compare", {**ASKED, "method": "lorra"}),
    ("compare", {**ASKED, "gpus": "1.5"}),
    ("compare", {**ASKED, "price_per_hour": "cheap"}),
    ("compare", {**ASKED, "level": "1.5"}),
    ("compare", {**ASKED, "currency": "EUR"}),
    ("estimate", {**ASKED, "stage": "rga"}),
    ("estimate", {"model": "70b", "gpu": "1xrtx-4090", "stage": "finetune", "method": "full"}),
    ("layout", {"model": "7b", "gpu": "a100", "task": "srve"}),
    ("layout", {"model": "7b"}),
    ("recommend", {**ASKED, "skils": "app"}),
    ("recommend", {**ASKED, "fit": "serving"}),
    ("catalog", {"kind": "model"}),
    ("serving", {**ASKED, "concurrency": "many"}),
    ("serving", {**ASKED, "burst": 5, "batch": 5}),
    ("serving", {**ASKED, "engine": "vlmm"}),
    ("serving", {**ASKED, "price": 3}),
]


@pytest.mark.parametrize("data", ["/etc/passwd", "/", "/nowhere.jsonl", __file__])
def test_whether_a_file_is_there_is_not_told(client, data):
    found = client.post("/api/v1/estimate", json={**ASKED, "stage": "finetune", "data": data})

    assert found.status_code == 422
    assert found.json()["detail"].startswith("files of this machine are not read here")


@pytest.mark.parametrize(("command", "question"), SENTENCES)
def test_refusals_are_the_commands_own_sentences(client, capsys, command, question):
    assert main(argv(command, question)) == 2
    said = capsys.readouterr().err.strip().removeprefix("estimator: ")
    for found in (
        client.post(f"/api/v1/{command}", json=question),
        client.get(f"/api/v1/{command}", params={k: str(v) for k, v in question.items()}),
    ):
        assert found.status_code == 422
        assert found.headers["content-type"] == "application/problem+json"
        assert found.json()["detail"] == said
        assert found.json()["status"] == 422


TRAINING = "base_model: meta-llama/Llama-3.1-8B\nadapter: lora\nmicro_batch_size: 2\n{more}"


def test_a_run_configuration_is_checked_as_the_command_does(client, tmp_path, capsys):
    pytest.importorskip("yaml")
    path = tmp_path / "train.yaml"
    path.write_text(TRAINING.format(more="sequence_len: 4096\n"))
    assert main(["check", str(path), "--gpu", "1xa100", "--data", "1k", "--format", "json"]) == 0
    said = {**json.loads(capsys.readouterr().out), "files": ["train.yaml"]}
    asked = {"files": {"../x/train.yaml": path.read_text()}, "gpu": "1xa100", "data": "1k"}
    found = client.post("/api/v1/check?detail=full", json=asked).json()

    assert found == said


WRONG_FILES = [
    ({}, "name a run configuration"),
    ({"files": ""}, "name a run configuration"),
    ({"files": ["/etc/passwd"]}, "files must be the text of a file, or texts by the names of files"),
    ({"files": {"a.json": "{"}}, "cannot read the run configuration 'a.json': it is not JSON"),
    ({"files": {"a/x.json": "{}", "b/x.json": "{}"}}, "files: two files have one name"),
    ({"files": {str(n): "x" for n in range(17)}}, "17 files are no one run"),
    ({"files": {"a.sh": "\ud800"}}, "cannot read the run configuration 'a.sh': it is not text"),
]


@pytest.mark.parametrize(("asked", "said"), WRONG_FILES, ids=lambda one: str(one)[:30])
def test_files_that_are_none(client, asked, said):
    found = client.post("/api/v1/check", content=json.dumps(asked))

    assert found.status_code == 422
    assert said in found.json()["detail"]


def test_what_a_file_names_is_not_read_from_this_machine(client, tmp_path):
    pytest.importorskip("yaml")
    there = tmp_path / "ds.json"
    there.write_text('{"zero_optimization": {"stage": 3}}')
    for name in (there, "ds.json"):
        text = TRAINING.format(more=f"deepspeed: {name}\n")
        alone = client.post("/api/v1/check?detail=full", json={"files": {"t.yaml": text}, "gpu": "2xa100"}).json()
        both = {"t.yaml": text, "ds.json": there.read_text()}
        given = client.post("/api/v1/check?detail=full", json={"files": both, "gpu": "2xa100"}).json()

        assert alone["outcomes"][0]["plan"]["zero"] != 3
        assert given["outcomes"][0]["plan"]["zero"] == 3


def test_runs_that_are_recorded_here_are_not_kept(client, tmp_path, monkeypatch):
    monkeypatch.setenv("ESTIMATOR_RUNS", str(tmp_path / "runs"))
    found = client.post("/api/v1/record", json=EXAMPLES["record"]).json()

    assert found["kept_in"] is None
    assert found["runs"][0]["predicted"] > 0
    assert not (tmp_path / "runs").exists()


def test_sweeps_as_rows_text_and_events(client):
    rows = [{"samples": 1000}, {"samples": 5000}, {"samples": "x"}]
    asked = {**ASKED, "rows": rows, "stages": ["finetune"], "figures": ["total_usd"]}
    found = client.post("/api/v1/sweep", json=asked).json()["rows"]
    text = client.post("/api/v1/sweep.csv", json={**asked, "rows": None, "csv": "samples\n1000\n5000\nx\n"}).text
    events = client.post("/api/v1/sweep", json=asked, headers={"accept": "text/event-stream"}).text

    assert found[1]["finetune_total_usd"] == pytest.approx(estimate("finetune", **ASKED, samples=5000).total_usd.value)
    assert "samples" in found[2]["error"]
    first = next(csv.DictReader(io.StringIO(text)))
    assert float(first["finetune_total_usd"]) == pytest.approx(found[0]["finetune_total_usd"])
    assert re.findall(r"event: (\w+)", events) == ["progress", "rows", "done"]


EVENTS = {"accept": "text/event-stream"}


def test_a_search_tells_how_far_it_is(client, monkeypatch):
    heard = events.Watch.__call__

    def slowly(watch, count):
        heard(watch, count)
        time.sleep(0.3 * (watch.done == count))  # after the first: a search may else end before anybody looks

    monkeypatch.setattr(events, "EVERY_S", 1e-3)
    monkeypatch.setattr(events.Watch, "__call__", slowly)
    found = client.post("/api/v1/layout", json=EXAMPLES["layout"], headers=EVENTS).text
    wrong = client.post("/api/v1/layout", json={"model": "7b"}, headers=EVENTS).text
    last = json.loads(found.rstrip().rpartition("data: ")[2])

    assert re.findall(r"event: (\w+)", found)[-1] == "answer"
    assert re.search(r'event: progress\ndata: {"done": [1-9]', found)
    assert last == client.post("/api/v1/layout", json=EXAMPLES["layout"]).json()
    assert re.findall(r"event: (\w+)", wrong)[-1] == "problem"
    assert "name an LLM and accelerators" in wrong


def test_a_search_that_nobody_waits_for_stops():
    from estimator.web.api import in_thread
    from estimator.web.asking import answer

    class Gone:
        async def is_disconnected(self):
            return True

    stopped = threading.Event()

    def work():
        try:
            for _ in range(1000):
                answer("layout", {"model": "7b", "gpu": "64xh100", "task": "pretrain"})
        except events.Stopped:
            stopped.set()
        return "{}"

    async def ask():
        return [one async for one in events.progress(work, Gone(), in_thread)]

    assert asyncio.run(ask()) == []
    assert stopped.wait(60)


HOSTILE = [
    ("GET", "/api/v1/compare?model=/etc/passwd&gpu=a100", {}, 422),
    ("GET", "/api/v1/compare?model=..%2F..%2Fetc%2Fpasswd&gpu=a100", {}, 422),
    ("GET", "/api/v1/compare?model=file:///etc/passwd&gpu=a100", {}, 422),
    ("GET", "/api/v1/compare?model=estimator&gpu=a100", {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=a100&corpus=/etc", {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=../../fitted/serving", {}, 422),
    ("GET", "/api/v1/check?files=vllm+serve+/etc/passwd&gpu=a100", {}, 422),
    ("GET", "/api/v1/check?files=vllm+serve+8b+--config+/etc/x.yaml&gpu=a100&facts=/etc", {}, 422),
    ("GET", "/api/v1/record?files={}&keep=true", {}, 422),
    ("POST", "/api/v1/record", {"json": {"files": "x" * 200_000}}, 422),
    ("POST", "/api/v1/sweep", {"json": {**ASKED, "csv": "x" * 200_000}}, 422),
    ("POST", "/api/v1/variance", {"json": {"budget": "a\rb\r\r,c", "actuals": "x" * 200_000}}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=a100&corpus=x&tokenizer_json=/etc/passwd", {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=a100&facts=/etc", {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=a100&scenario_file=/etc/passwd", {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=a100&data=/etc/hostname.jsonl", {}, 422),
    ("GET", "/api/v1/catalog?kind=refresh&name=prices", {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=a100&output=/tmp/x", {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=a100&samples=1&samples=2", {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=a100&samples=" + "9" * 5000, {}, 422),
    ("GET", "/api/v1/compare?model=7b&gpu=" + "a" * 9000, {}, 414),
    ("POST", "/api/v1/compare", {"content": b"[" * 100_000}, 422),
    ("POST", "/api/v1/compare", {"content": b'{"samples":' + b"9" * 6000 + b"}"}, 422),
    ("POST", "/api/v1/compare", {"content": b'{"samples": NaN}'}, 422),
    ("POST", "/api/v1/compare", {"content": b"x" * 1_000_001}, 413),
    ("POST", "/api/v1/compare", {"json": {**ASKED, "config": {"model_type": "llama"}}}, 422),
    ("POST", "/api/v1/sweep", {"json": {**ASKED, "rows": [{"samples": 1}] * 10_001}}, 422),
    ("GET", "/healthz", {"headers": {"host": "evil.example"}}, 403),
    ("GET", "/healthz", {"headers": {"host": "127.0.0.1.evil.example"}}, 403),
    ("GET", "/healthz", {"headers": {"origin": "https://evil.example"}}, 403),
    ("GET", "/healthz", {"headers": {"origin": "null"}}, 403),
    ("GET", "/healthz", {"headers": {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}}, 403),
    ("GET", "/static/../app.py", {}, 404),
    ("GET", "/static/%2e%2e%2fapp.py", {}, 404),
    ("GET", "/picture/totals.exe", {}, 422),
    ("GET", "/download/passwd", {}, 422),
    ("DELETE", "/api/v1/compare", {}, 405),
]


@pytest.mark.parametrize(("method", "address", "more", "status"), HOSTILE, ids=lambda one: str(one)[:40])
def test_hostile_requests_are_refused(client, method, address, more, status):
    found = client.request(method, address, **more)

    assert found.status_code == status
    assert "Traceback" not in found.text
    assert "root:" not in found.text
    assert found.headers["content-type"] == "application/problem+json"


def test_every_answer_is_guarded(client):
    for address in ("/", "/api/v1/compare?model=7b&gpu=a100", "/api/docs", "/nothing"):
        headers = client.get(address).headers

        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_slow_bodies_are_not_waited_for(monkeypatch):
    async def slow():
        await asyncio.sleep(5)

    async def ask():
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/api/v1/compare", "query_string": b""}
        await create()({**scope, "headers": [(b"host", b"127.0.0.1")]}, slow, send)
        return sent[0]["status"]

    monkeypatch.setattr(safety, "BODY_S", 0.05)

    assert asyncio.run(ask()) == 408


def test_uploaded_config_is_read_and_not_kept(client, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shape = {"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32}
    whole = {**shape, "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 32000}
    found = client.post("/api/v1/compare", json={"gpu": "a100", "config": whole}).json()

    assert found["llm"] == "uploaded"
    assert str(tmp_path) not in json.dumps(found)
    assert not list(tmp_path.iterdir())


def test_openapi_describes_every_input(client):
    described = client.get("/openapi.json").json()
    schema = described["components"]["schemas"]["CompareQuestion"]["properties"]["samples"]

    assert described["openapi"] == "3.1.0"
    assert schema["x-unit"] == "1"
    assert "thousands of examples" in schema["description"]
    assert set(described["paths"]) >= {f"/api/v1/{name}" for name in (*COMMANDS, "sweep")}
    assert "http" not in re.sub(r"http-equiv|https?://json-schema\S*", "", client.get("/api/docs").text)
    assert model("compare").model_validate(EXAMPLES["compare"]).samples["low"] == 1000


def test_guides_are_the_site_that_was_built(client, tmp_path, monkeypatch):
    from estimator.web import guides

    guides._files.cache_clear()
    monkeypatch.setattr(guides, "SITE", tmp_path / "none")
    missing = client.get("/docs/")
    guides._files.cache_clear()
    monkeypatch.setattr(guides, "SITE", tmp_path / "site")
    (tmp_path / "site" / "how-to").mkdir(parents=True)
    (tmp_path / "secret.html").write_text("secret")
    for name in ("index.html", "how-to/index.html"):
        (tmp_path / "site" / name).write_text("<script>var a = 1;</script><p>guide</p>")
    found = client.get("/docs/")
    others = [client.get(f"/docs/{name}") for name in ("../secret.html", "%2e%2e/secret.html", "/etc/passwd", "x.html")]
    within = client.get("/docs/how-to/")
    guides._files.cache_clear()

    assert missing.status_code == 404
    assert "sphinx" in missing.text
    assert found.status_code == within.status_code == 200
    assert "script-src 'self' 'sha256-" in found.headers["content-security-policy"]
    assert {one.status_code for one in others} == {404}
    assert not any("secret<" in one.text for one in others)


def test_counts_are_kept_of_routes_not_of_addresses(client):
    client.get("/api/v1/compare?model=7b&gpu=h100")
    client.get("/whatever/1")
    text = client.get("/metrics").text

    assert 'route="/api/v1/compare",status="200"' in text
    assert "whatever" not in text


def test_words_of_pages_have_one_file(client):
    assert broken(human(compare(**ASKED)["rag"].total_usd)) in client.get("/").text


def test_nothing_goes_wrong_whatever_is_asked():
    """A small run of schemathesis; ESTIMATOR_FUZZ_CASES asks for more."""
    pytest.importorskip("schemathesis", reason="fuzzing needs schemathesis")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz_api.py")), os.environ.get("ESTIMATOR_FUZZ_CASES", "44")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def test_a_server_is_there_before_what_answers_is_loaded():
    """Its own modules are light, and what supervises workers is lighter still."""
    said = "print(sorted({'numpy', 'fastapi', 'uvicorn'} & set(sys.modules)))"
    words = f"import sys; from estimator.cli import serve; {said}; import estimator.web.app; {said}"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)

    assert done.stdout.split("\n")[:2] == ["[]", "['fastapi']"]


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "python_multipart"])
def test_a_missing_library_is_one_friendly_line(missing, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)

    assert main(["serve"]) == 2
    assert "[serve]" in capsys.readouterr().err
