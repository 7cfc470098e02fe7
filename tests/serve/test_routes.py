# SPDX-License-Identifier: Apache-2.0
"""Each route by curl, metrics by promtool, and `tenon bench serve` against the mock and the server."""

import json
import pathlib
import shutil
import subprocess
import urllib.request

import pytest

from browser import Browser, find_chromium
from mock_server import Server

HERE = pathlib.Path(__file__).resolve().parent


def test_every_route_answers_by_curl(serving):
    if shutil.which("curl") is None:
        pytest.skip("no curl here: apt-get install curl")
    run = subprocess.run([str(HERE / "routes.sh"), serving.url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wrong = [line for line in run.stdout.splitlines() if not line.startswith("ok - ")]
    assert run.returncode == 0 and wrong == [], "\n".join(wrong)


def test_promtool_has_nothing_to_say_about_the_metrics(serving):
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here: apt-get install prometheus")
    metrics = urllib.request.urlopen(serving.url + "/metrics").read()
    run = subprocess.run(["promtool", "check", "metrics"], input=metrics, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0 and run.stdout == b"", run.stdout.decode()


def bench(program, url, *options):
    command = [program, "bench", "serve", "--base-url", url, "--random-input-len", "8", "--random-output-len", "5", "--num-prompts", "6", *options]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("backend", ["openai", "openai-chat"])
def test_bench_serve_measures_the_server(program, serving, tmp_path, backend):
    result = tmp_path / "result.json"
    run = bench(program, serving.url, "--backend", backend, "--ignore-eos", "--max-concurrency", "3", "--result-filename", str(result), "--save-detailed")
    assert run.returncode == 0 and run.stderr == "", run.stderr
    assert "============ Serving Benchmark Result ============\nSuccessful requests:                     6         \n" in run.stdout
    report = json.loads(result.read_text())
    assert report["completed"] == 6 and report["failed"] == 0 and report["total_output_tokens"] == 30 and report["model_id"] == "smollm2"
    if backend == "openai":
        assert report["total_input_tokens"] == 48
    assert 0 < report["mean_ttft_ms"] <= report["mean_e2el_ms"] and len(report["ttfts"]) == 6


def test_bench_serve_reads_datasets_and_sends_the_key(program, tmp_path):
    server = Server()
    server.key = "secret"
    dataset = tmp_path / "requests.jsonl"
    dataset.write_text('{"prompt": "Once upon a time", "output_tokens": 3}\n{"input_ids": [5, 6], "output_tokens": 2}\n')
    try:
        run = bench(program, server.url + "/v1", "--dataset", str(dataset), "--key", "secret", "--model", "m", "--request-rate", "50")
        assert run.returncode == 0, run.stderr
        assert sorted(str(body["prompt"]) for body in server.requests[1:]) == ["Once upon a time", "[5, 6]"]
        assert "Total generated tokens:                  5         \n" in run.stdout
        run = bench(program, server.url, "--key", "wrong", "--model", "m")
        assert run.returncode == 1 and run.stderr == "tenon: the first request failed: HTTP 401: no key was given, or a wrong one\n"
    finally:
        server.close()


@pytest.mark.skipif(find_chromium() is None, reason="no chromium here: apt-get install chromium")
def test_the_page_talks_to_the_server(serving):
    browser = Browser()
    try:
        browser.size(1280, 860)
        browser.open(serving.url)
        browser.run("localStorage.setItem('tenon.sampling', JSON.stringify({ temperature: 0 }))")
        browser.reload()
        browser.wait("document.getElementById('model').value === 'smollm2' && document.getElementById('ready-dot').className === 'dot ok'")
        browser.run("document.getElementById('composer-text').focus()")
        browser.type("What is the capital of France? Answer in one short sentence.")
        browser.press("Enter")
        browser.wait("document.querySelector('.message:last-child .stats')?.textContent.includes('tok/s')", 60)
        assert "Paris" in browser.run("document.querySelector('.message.assistant .markdown').textContent")
        browser.press("2", modifiers=1)
        browser.wait("document.querySelectorAll('.view.status .card').length === 8 && document.querySelectorAll('.chart .bar').length > 2", 20)
        assert browser.problems == []
    finally:
        browser.close()
