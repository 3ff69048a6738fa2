"""A server measured through its API: a stand-in that streams with delays that are known."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from estimator import serving
from estimator.catalog.served_profile import measured_server
from estimator.errors import InvalidInput
from estimator.measure import server as measure
from estimator.measure.server import address, calibrate_server, fitted

STEP_S, OTHER_S, TOKEN_S = 0.002, 0.0005, 0.00005


class Handler(BaseHTTPRequestHandler):
    """Streams `max_tokens` tokens, each after a step that grows with the number under way."""

    active = 0
    usage = True
    context = 10_000  # tokens, of which a word is one

    def log_message(self, *_):
        """Nothing."""

    def do_GET(self):
        self._send(200)
        self.wfile.write(b'{"data": [{"id": "tiny"}]}')

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt, output = len(asked["prompt"].split()), asked["max_tokens"]
        if prompt + output > self.context:
            self._send(400)
            self.wfile.write(b'{"error": "the request exceeds the available context"}')
            return
        Handler.active += 1
        try:
            self._send(200)
            time.sleep(TOKEN_S * prompt)
            for _ in range(output):
                time.sleep(STEP_S + OTHER_S * Handler.active)
                self._event({"choices": [{"text": "a"}]})
            if self.usage:
                self._event({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": output}})
        finally:
            Handler.active -= 1

    def _send(self, status):
        self.send_response(status)
        self.end_headers()

    def _event(self, content):
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()


@pytest.fixture
def url(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(measure, "BATCHES", (1, 3))
    monkeypatch.setattr(measure, "OUTPUT", 9)
    monkeypatch.setattr(measure, "LEAST_ROUNDS", 1)
    monkeypatch.setattr(measure, "LEAST_S", 0.1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_is_measured_and_answers_for_itself(url, tmp_path):
    calibrate_server(url, 0.1, tmp_path / "mine.json")

    found = measured_server("server")
    assert found == measured_server(str(tmp_path / "mine.json"))
    assert found.llm == "tiny"
    assert found.step[0] + found.step[1] >= STEP_S  # a sleep takes at least as long as it says
    assert found.prompt[1] >= 0.5 * TOKEN_S
    load = {"prompt_tokens": 100, "output_tokens": 20, "concurrency": [1, 8]}
    answer = serving(model="llama-3.2-1b", gpu="l4", measured="server", **load)
    alone, many = (one.figures["tpot_s"] for one in answer.loads)
    assert alone.value == pytest.approx(found.step[0] + found.step[1] + 110 * found.step[2], rel=0.01)
    assert alone.low < alone.value < many.value
    assert any("tiny" in note for note in answer.notes)


def test_prompts_of_a_measured_server_are_read_as_its_engine_reads_them(tmp_path):
    times = {"llm": "tiny", "step_s": [0.0165, 0.0008, 0.0], "prompt_s": [0.024, 0.0004, 0.0], "noise": 0.0}
    path = tmp_path / "server.json"
    path.write_text(json.dumps({"server": times}))
    load = {"prompt_tokens": 128, "output_tokens": 64, "concurrency": [1, 8], "start": "spread"}

    def asked(engine):
        return serving(model="llama-3.2-1b", gpu="l4", measured=str(path), engine=engine, max_num_seqs=64, **load).loads

    alone, mixed = (one.figures["tpot_s"].value for one in asked("vllm"))
    beside = [one.figures["tpot_s"].value for one in asked("llama.cpp")]
    assert alone == pytest.approx(beside[0])
    passes = times["step_s"][0] + times["step_s"][1]
    others = 7 * passes / 64  # each of the others' prompts waits for none of its steps, and reads the weights itself
    assert beside[1] == pytest.approx(mixed + others, rel=0.03)
    assert asked("vllm")[0].figures["ttft_s"].value == pytest.approx(asked("llama.cpp")[0].figures["ttft_s"].value)


def test_a_short_context_is_measured_with_shorter_prompts(url, monkeypatch):
    monkeypatch.setattr(Handler, "context", 500)

    calibrate_server(url, 0.1)

    assert measured_server("server").prompt[1] >= 0.5 * TOKEN_S


def test_a_context_that_holds_no_prompt_is_said(url, monkeypatch):
    monkeypatch.setattr(Handler, "context", 100)

    with pytest.raises(InvalidInput, match="exceeds the available context"):
        calibrate_server(url, 0.1)


def test_streams_without_usage_are_refused(url, monkeypatch):
    monkeypatch.setattr(Handler, "usage", False)

    with pytest.raises(InvalidInput, match="include_usage"):
        calibrate_server(url, 10.0)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("https://127.0.0.1:8000", "plain http"),
        ("http://example.org", "not this machine"),
        ("http://me@127.0.0.1", "plain http"),
        ("http://127.0.0.1:99999", "plain http"),
        ("", "plain http"),
    ],
)
def test_addresses_of_other_kinds_are_refused(bad, word):
    with pytest.raises(InvalidInput, match=word):
        address(bad)


def test_another_machine_is_measured_where_that_is_asked():
    assert address("http://example.org:8000/api/v1", anywhere=True) == ("example.org", 8000, "/api")


@pytest.mark.usefixtures("url")
def test_nobody_there_is_said():
    with pytest.raises(InvalidInput, match="no server answers"):
        calibrate_server("http://127.0.0.1:1", 10.0)


def test_a_profile_that_is_none_is_refused(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('{"server": {"step_s": [1, 2], "prompt_s": [0, 0, 0]}}', encoding="utf-8")

    with pytest.raises(InvalidInput, match="no profile of a server"):
        measured_server(str(path))
    with pytest.raises(InvalidInput, match="there is no profile"):
        measured_server(str(tmp_path / "none.json"))


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody" + "y" * 90, "~\0", "\udcff", "", "/", "x/" * 3000])
def test_a_name_that_no_file_can_have_is_no_profile(name):
    with pytest.raises(InvalidInput, match="there is no profile"):
        measured_server(name)


def test_terms_that_would_be_negative_are_left_out():
    prompts = [measure.Seen(1, length, 0.05) for length in (10, 100, 1000)]

    found = fitted("llm", prompts, [measure.Seen(1, 50, 0.02), measure.Seen(2, 40, 0.02), measure.Seen(4, 30, 0.019)])

    assert min(found["step_s"]) >= 0
    assert found["prompt_s"][0] == pytest.approx(0.05, rel=0.01)
