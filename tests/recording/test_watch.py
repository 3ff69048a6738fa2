"""A server that counts, watched on loopback: what is said and kept of what it did meanwhile."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count

import pytest

from estimator.catalog.own_runs import own_runs
from estimator.cli import main
from estimator.errors import InvalidInput
from estimator.recording.watch import loopback, watch

pytest.importorskip("prometheus_client")
SCRAPE = """# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_count{{model_name="m"}} {requests}
vllm:time_to_first_token_seconds_sum{{model_name="m"}} {ttft}
# TYPE vllm:request_time_per_output_token_seconds histogram
vllm:request_time_per_output_token_seconds_count{{model_name="m"}} {requests}
vllm:request_time_per_output_token_seconds_sum{{model_name="m"}} {tpot}
# TYPE vllm:request_prompt_tokens histogram
vllm:request_prompt_tokens_count{{model_name="m"}} {requests}
vllm:request_prompt_tokens_sum{{model_name="m"}} {prompts}
# TYPE vllm:request_generation_tokens histogram
vllm:request_generation_tokens_count{{model_name="m"}} {requests}
vllm:request_generation_tokens_sum{{model_name="m"}} {written}
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{model_name="m"}} 8
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{model_name="m"}} 0.02
"""


def state(requests: int) -> str:
    """Of a server whose first ten requests, before anybody watched, took ten times as long as the rest."""
    slow = 10 * 9
    seconds = {"ttft": (requests + slow) * 0.06, "tpot": (requests + slow) * 0.008}
    return SCRAPE.format(requests=requests, prompts=512 * requests, written=128 * requests, **seconds)


@pytest.fixture
def server():
    """Its address; ten more requests are answered at each reading. `served` is what it answers with."""
    served = {"text": state, "status": 200}
    readings = count(1)

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(served["status"])
            self.send_header("Location", "http://example.com/metrics")
            self.end_headers()
            self.wfile.write(served["text"](10 * next(readings)).encode())

        def log_message(self, *_):
            """Nothing."""

    one = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{one.server_port}", served
    one.shutdown()
    one.server_close()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ESTIMATOR_RUNS", str(tmp_path / "runs"))


def test_what_a_server_did_meanwhile_is_said_and_kept(server):
    said = []

    found = watch(
        server[0], model="llama-3.1-8b", gpu="1xh100", every_s=0.01, most_s=0.02, accept=True, say=said.append
    )

    measured = {one.metric: one.measured for one in found.runs}
    assert measured["ttft_ms"] == pytest.approx(60.0)  # without what was before
    assert measured["tpot_ms"] == pytest.approx(8.0)
    (kept,) = {(row["input_len"], row["output_len"], row["batch_or_concurrency"]) for row in own_runs("inference")}
    assert kept == ("512", "128", "8")
    assert "TTFT 60 ms (" in said[0]
    assert "cache 2.0%" in said[0]


def test_it_ends_with_the_server_and_on_ctrl_c(server, monkeypatch):
    said, sleeps = [], count()

    def interrupted(_):
        if next(sleeps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("estimator.recording.watch.time.sleep", interrupted)
    found = watch(server[0], model="llama-3.1-8b", gpu="1xh100", accept=True, say=said.append)

    assert said[-1] == "stopped"
    assert found.where


def test_a_server_that_goes_away_is_given_up(server):
    said, (address, served) = [], server
    good = served["text"]
    served["text"] = lambda requests: good(requests) if requests < 25 else "gone"

    found = watch(address, model="llama-3.1-8b", gpu="1xh100", every_s=0.01, accept=True, say=said.append)

    assert sum("no metrics of" in words for words in said) == 3
    assert len(found.runs) == 2


REFUSED = {
    "http://example.com:8000": "no server of this machine",
    "https://127.0.0.1:8000": "no server of this machine",
    "http://me:secret@127.0.0.1:8000": "no server of this machine",
    "http://127.0.0.1:notaport": "no server of this machine",
    "file:///etc/passwd": "no server of this machine",
    "http://127.0.0.1:9": "does not answer",
    "": "no server of this machine",
}


@pytest.mark.parametrize("url", REFUSED)
def test_other_addresses_are_refused_in_one_line(url, capsys):
    assert main(["watch", url, "--model", "8b", "--gpu", "1xh100"]) == 2

    (line,) = capsys.readouterr().err.strip().splitlines()
    assert REFUSED[url] in line
    assert "secret" not in line


SERVED = {
    "nobody's": (lambda _: "up 1\n", 200, "no metrics of"),
    "a redirect": (state, 302, "does not answer"),
    "an error": (state, 500, "does not answer"),
    "damaged": (lambda requests: state(requests) + "vllm:oops{ 1 2 3 4\n", 200, "damaged"),
    "idle": (lambda _: state(10), 200, "no request was answered"),
}


@pytest.mark.parametrize("name", SERVED)
def test_what_it_cannot_use_is_said_in_one_line(name, server):
    address, served = server
    served["text"], served["status"], words = SERVED[name]

    with pytest.raises(InvalidInput, match=words):
        watch(address, model="8b", gpu="1xh100", every_s=0.01, most_s=0.02, say=lambda _: None)
    assert not own_runs("inference")


def test_wrong_words_are_refused_before_anything_is_waited_for(server):
    with pytest.raises(InvalidInput, match="not known"):
        watch(server[0], model="nobody", gpu="1xh100", every_s=60.0)


def test_loopback_by_any_name():
    assert loopback("http://[::1]:8000") == "http://[::1]:8000/metrics"


@pytest.mark.parametrize("name", ["keep", "every_s", "gpu"])
def test_what_an_option_says_is_not_set(name, capsys):
    assert main(["watch", "http://localhost:1", "--model", "8b", "--gpu", "h100", "--set", f"{name}=1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
