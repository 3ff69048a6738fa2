"""The one file that is fetched when asked for: from a hub of our own on the loopback address."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from estimator.catalog import hub
from estimator.catalog.models import architecture
from estimator.cli import main
from estimator.errors import InvalidInput, UnknownName

CONFIG = {
    "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 64000, "max_position_embeddings": 8192,
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
}  # fmt: skip


@pytest.fixture
def asked_of_hub(monkeypatch, tmp_path):
    """Paths that a hub of our own was asked for; it has one LLM, one that needs consent, and one that is too large."""
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            owner = self.path.split("/")[1]
            self.send_response({"acme": 200, "vast": 200, "gated": 401}.get(owner, 404))
            self.end_headers()
            if owner in ("acme", "vast"):
                self.wfile.write(json.dumps(CONFIG | {"junk": "x" * 2_000_000 * (owner == "vast")}).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield asked
    hub.download_configs(False)
    server.shutdown()
    server.server_close()


def test_nothing_is_fetched_unasked(asked_of_hub):
    with pytest.raises(UnknownName, match=r"resolve/main/config\.json") as caught:
        architecture("acme/New-LLM-1B")
    assert "--download" in str(caught.value)
    assert asked_of_hub == []


def test_one_file_is_fetched_once(asked_of_hub):
    hub.download_configs()
    found = architecture("acme/New-LLM-1B")

    assert (found.name, found.layers, found.published.attention) == ("new-llm-1b", 16, "awq")
    assert architecture("acme/New-LLM-1B") == found
    assert asked_of_hub == [("/acme/New-LLM-1B/resolve/main/config.json", None)]


def test_a_preset_is_not_asked_for(asked_of_hub):
    hub.download_configs()

    assert architecture("meta-llama/Llama-3.1-8B").name == "llama-3.1-8b"
    assert asked_of_hub == []


def test_the_command_fetches_when_asked_to(asked_of_hub, capsys):
    words = ["estimate", "prompt", "--model", "acme/New-LLM-1B", "--gpu", "l4"]

    assert main(words) == 2
    assert main([*words, "--download"]) == 0
    assert "new-llm-1b" in capsys.readouterr().out
    assert len(asked_of_hub) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [("gated/llm", "ask for consent"), ("nobody/llm", "no such repository"), ("vast/llm", "not a config.json")],
)
@pytest.mark.usefixtures("asked_of_hub")
def test_what_cannot_be_had_is_said(name, says):
    hub.download_configs()
    with pytest.raises(InvalidInput) as caught:
        architecture(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(hub.cache_folder().rglob("*.json"))


def test_a_token_is_sent_where_it_is_set(asked_of_hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "of-a-test")
    hub.download_configs()
    architecture("acme/New-LLM-1B")

    assert asked_of_hub[0][1] == "Bearer of-a-test"


@pytest.mark.usefixtures("asked_of_hub")
def test_a_hub_that_is_not_there(monkeypatch):
    hub.download_configs()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InvalidInput, match="cannot reach"):
        architecture("acme/New-LLM-1B")
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(InvalidInput, match="HF_ENDPOINT"):
        architecture("acme/New-LLM-1B")
