"""The page of the server in a browser: what a reader does with mouse, keyboard, link, phone, or without script."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest

from estimator import compare
from estimator.text import human

pytest.importorskip("fastapi", reason="the server's tests need the extra serve")
pytest.importorskip("python_multipart", reason="the server's tests need the extra serve")
from estimator.web.models import EXAMPLES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server():
    """A server of its own on a free port, stopped by a signal: nothing is left behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "estimator", "serve", "--port", str(port)]
    running = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{base}/healthz") as answer:
            assert json.load(answer)["status"] == "ok"
            break
        time.sleep(0.1)
    yield base
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) in (0, -signal.SIGTERM)


def running(port, *more):
    """A server at a port, once it answers."""
    words = [sys.executable, "-m", "estimator", "serve", "--port", str(port), *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz"):
            return found
        time.sleep(0.1)
    raise AssertionError("no answer")


def ended(group: int, within_s: float = 60.0) -> bool:
    """Whether no process of a group is left, once workers have seen that their server is gone."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="processes are killed as a group where there are groups")
def test_killed_at_work_it_leaves_nothing_behind():
    """Neither workers nor files; and its port is free for the next one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = set(Path(tempfile.gettempdir()).glob("estimator-*"))
    first = running(port, "--workers", "2")
    try:
        link = http.client.HTTPConnection("127.0.0.1", port)
        link.request("GET", "/api/v1/compare?model=7b&gpu=a100")  # in work
        first.kill()
        first.wait()
        link.close()
        for _ in range(600):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        second = running(port, "--workers", "2")
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) in (0, -signal.SIGTERM)
        assert ended(first.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
    assert set(Path(tempfile.gettempdir()).glob("estimator-*")) <= before


def total(**asked):
    """What prompt engineering comes to, as the command says it."""
    return human(compare(**asked)["prompt"].total_usd)


def test_the_first_answer_is_in_the_page_itself(server, opened):
    with opened(server, java_script_enabled=False) as page:
        assert total(model="7b", gpu="a100") in page.locator("#verdict").inner_text()
        assert page.locator("#question input[name=samples]").get_attribute("placeholder") == "5,000"
        page.fill("#f-model", "8b")
        page.fill("#f-gpu", "h100")
        page.fill("#f-samples", "5000")  # what is assumed anyway
        page.click("button.ask")

        assert "llama-3.1-8b" in page.locator("h1").inner_text()
        assert re.search(r"\?model=8b&gpu=h100&v=[\d.]+$", page.url)


def test_another_model_and_a_slider_need_no_new_page(server, opened):
    with opened(server) as page:
        page.evaluate("window.kept = 1")
        page.fill("#f-model", "8b")
        page.locator("h1", has_text="llama-3.1-8b").wait_for()
        slider = page.locator("#f-requests_per_month ~ input[type=range]")
        slider.focus()
        page.keyboard.press("End")
        page.wait_for_url("**requests_per_month=3000000*")

        shown = page.locator("#verdict").inner_text()
        cheapest = min(
            compare(model="8b", gpu="a100", requests_per_month=3e6).estimates, key=lambda one: one.total_usd.value
        )
        assert human(cheapest.total_usd) in shown
        assert page.evaluate("window.kept") == 1


def test_a_link_opened_afresh_says_the_same(server, opened):
    address = f"{server}/?model=8b&gpu=h100&samples=2000&b.gpu=a100&v=0.1.0"
    with opened(address) as page:
        first = page.locator("#answer table").first.inner_text()
        link = page.locator("#say-link").inner_text()
    with opened(link) as page:
        assert page.locator("#answer table").first.inner_text() == first
        assert page.locator("#f-samples").input_value() == "2000"
        assert page.locator("#f-b\\.gpu").input_value() == "a100"


def test_scenarios_stand_side_by_side_with_their_differences(server, opened):
    with opened(f"{server}/?model=7b&gpu=a100&b.samples=20000&v=0.1.0") as page:
        text = page.locator("#answer").inner_text()

        assert "Scenario A" in text
        assert "B less A" in text
        assert "the same" in text
    with opened(f"{server}/?model=7b&gpu=a100&v=0.0.1") as page:
        assert "0.0.1" in page.locator("p.warn").inner_text()


STARTS = {
    "budget.xlsx": b"PK",
    "report.html": b"<!doctype",
    "compare.csv": b"stage,figure",
    "detail=full": b"{",
    "totals.png": b"\x89PNG",
}


def test_downloads(server, opened):
    pytest.importorskip("xlsxwriter")
    pytest.importorskip("vl_convert")
    with opened(server) as page:
        for name, start in STARTS.items():
            with page.expect_download() as coming:
                page.locator(f"a[download][href*='{name}']").click()
            assert Path(coming.value.path()).read_bytes().startswith(start), name


def test_files_of_ones_own_and_files_that_are_none(server, opened, tmp_path):
    good, bad, rows = tmp_path / "config.json", tmp_path / "bad.json", tmp_path / "rows.csv"
    shape = {"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32}
    good.write_text(json.dumps({**shape, "intermediate_size": 8192, "vocab_size": 32000, "num_key_value_heads": 8}))
    bad.write_text("{not json")
    rows.write_text("samples\n1000\n5000\n")
    with opened(server) as page:
        page.set_input_files("#config_file", good)
        page.locator("form[action='/'] button", has_text="Send").click()
        page.locator("h1", has_text="uploaded on").wait_for()
        page.fill("#f-samples", "2000")
        page.locator("td", has_text="2k samples").wait_for()
        assert "uploaded on" in page.locator("h1").first.inner_text()
    with opened(server) as page:
        with page.expect_download() as coming:
            page.set_input_files("#rows_file", rows)
            page.locator("form[action='/upload/rows'] button").click()
        assert coming.value.suggested_filename == "answers.csv"
    with opened(server, refusals=True) as page:
        page.set_input_files("#config_file", bad)
        page.locator("form[action='/'] button", has_text="Send").click()
        page.wait_for_selector(".wrong")
        assert "config.json" in page.locator(".wrong").inner_text()


def test_every_question_is_asked_without_script(server, opened, tmp_path):
    path = tmp_path / "run.sh"
    path.write_text("vllm serve meta-llama/Llama-3.1-8B-Instruct --max-model-len 8192")
    with opened(server, java_script_enabled=False) as page:
        page.locator("nav a", has_text="Serving").click()
        page.fill("#f-model", "8b")
        page.fill("#f-gpu", "h100")
        page.fill("#f-more", "engine = sglang\nmax_num_seqs = 64")
        page.click("button.ask")
        assert "sglang" in page.locator("#answer h1").inner_text()
        page.locator("nav a", has_text="Check a run").click()
        page.set_input_files("#f-files-sent", path)
        page.fill("#f-gpu", "1xh100")
        page.click("button.ask")
        assert "Fits on 1 x H100" in page.locator("#verdict").inner_text()
        assert "estimator check run.sh" in page.locator("#answer").inner_text()
        page.locator("nav a", has_text="Layout").click()
        page.locator("#answer a", has_text="An example").click()
        assert "The best layout" in page.locator("#answer h1").inner_text()
    with opened(f"{server}/ask/serving?model=8b&gpu=h1000", refusals=True) as page:
        assert "Did you mean" in page.locator(".wrong").inner_text()
        assert page.locator("#f-gpu").input_value() == "h1000"


def test_every_questions_page_says_of_what_it_is(server, opened):
    asked = {"stage": "finetune", "model": "8b", "gpu": "h100"}
    with opened(f"{server}/ask/estimate?{urlencode(asked)}", java_script_enabled=False) as page:
        assert "Fine-tuning: llama-3.1-8b on NVIDIA H100" in page.locator("#answer h1").inner_text()
        assert human(compare(model="8b", gpu="h100")["finetune"].total_usd) in page.locator("#verdict").inner_text()
        page.locator("#answer a", has_text="Where figures come from").click()
        assert "Total over the horizon: " in page.locator("#answer .reasons").text_content()
    with opened(f"{server}/ask/compare?model=8b&gpu=h100") as page:  # which has a page of its own
        assert re.search(r"/\?model=8b&gpu=h100&v=[\d.]+$", page.url)


def test_a_phone_scrolls_in_one_direction(server, opened):
    with opened(server, viewport={"width": 360, "height": 740}, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("#verdict").bounding_box()["y"] < 740
        page.locator(".to-question a").click()
        assert page.locator("#f-model").bounding_box()["y"] < 740


def test_keyboard_alone(server, opened):
    with opened(server) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "answer"
        page.focus("#f-model")
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.name || document.activeElement.id"))
        assert {"gpu", "samples", "method", "find"} <= reached
        page.focus("#find")
        page.keyboard.type("overlap")
        page.wait_for_selector("#f-overlap_tokens", state="visible")
        assert not page.locator("#f-samples").is_visible()


def test_dark_is_dark(server, opened):
    with opened(server, color_scheme="dark") as page:
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(20, 23, 26)"
        assert "theme=dark" in page.locator("picture source").first.get_attribute("srcset")


def test_no_serious_fault_of_accessibility(server, opened):
    """By axe-core, where its package is at hand (ESTIMATOR_AXE names axe.min.js)."""
    axe = os.environ.get("ESTIMATOR_AXE", "")
    if not Path(axe).is_file():
        pytest.skip("axe-core is not at hand: npm pack axe-core, and name axe.min.js with ESTIMATOR_AXE")
    examples = {name: urlencode(asked) for name, asked in EXAMPLES.items() if name not in ("compare", "sweep")}
    asked = [f"{server}/ask/{name}?{query}" for name, query in examples.items()]
    addresses = [
        *asked,
        f"{server}/ask/check",
        f"{server}/reasons/rag?model=7b&gpu=a100",
        f"{server}/",
        f"{server}/?model=8b&gpu=h100&b.gpu=a100&v=0.1.0",
        f"{server}/api/docs",
    ]
    for address in addresses:
        for scheme in ("light", "dark"):
            with opened(address, color_scheme=scheme, bypass_csp=True) as page:
                page.add_script_tag(path=axe)
                found = page.evaluate("async () => (await axe.run()).violations")
                serious = [one for one in found if one["impact"] in ("serious", "critical")]

                assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in serious]
