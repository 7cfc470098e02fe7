# SPDX-License-Identifier: Apache-2.0
"""A small OpenAI-compatible server with the page of src/server/page: what the page is tested against without a model.

The last user message says what is answered: "echo:TEXT" gives TEXT back, "slow" never ends, "fail:N" is an error of status N,
"break" ends in the middle, "think" thinks first; anything else gets a text that has all of Markdown in it."""

import http.server
import json
import pathlib
import re
import threading
import time

PAGE = pathlib.Path(__file__).resolve().parents[2] / "src" / "server" / "page"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

ANSWER = """A **mortise and tenon** joint holds because one piece is shaped to fit *inside* the other:

1. The **tenon** is a tongue at the end of a rail.
2. The **mortise** is a hole of the same shape in the post.
   - Shoulders keep the rail square.
   - A tight fit turns every load into friction.

> Cut the mortise first; it is easier to trim a tenon.

| joint | strength | effort |
|:------|---------:|:------:|
| butt | low | low |
| dowel | medium | medium |
| mortise and tenon | **high** | high |

The fit is a matter of tenths of a millimetre:

```python
def fit(mortise_mm: float, tenon_mm: float) -> str:
    \"\"\"Says how a tenon sits in its mortise.\"\"\"
    gap = mortise_mm - tenon_mm
    if gap < 0:
        return "too tight"      # trim it
    return "snug" if gap <= 0.2 else "loose"

print(fit(12.0, 11.9))
```

Measure with `calipers`, or see [a drawing](https://example.org/joint).
"""

BUCKETS = {"time_to_first_token_seconds": [.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5], "inter_token_latency_seconds": [.01, .025, .05, .075, .1, .15, .2, .3],
           "e2e_request_latency_seconds": [.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20], "request_queue_time_seconds": [.3, .5, .8, 1, 1.5], "request_prefill_time_seconds": [.001, .005, .01, .025, .05, .1, .25],
           "request_decode_time_seconds": [.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10]}
SHAPES = {"time_to_first_token_seconds": [0, 2, 8, 31, 64, 40, 22, 9, 14, 6, 2, 1, 0, 0], "inter_token_latency_seconds": [4210, 1610, 240, 61, 20, 8, 3, 1],
          "e2e_request_latency_seconds": [6, 14, 33, 41, 50, 28, 14, 9, 3, 1, 0], "request_queue_time_seconds": [180, 14, 4, 1, 0], "request_prefill_time_seconds": [0, 3, 20, 80, 60, 30, 6],
          "request_decode_time_seconds": [11, 20, 41, 44, 42, 24, 10, 6, 1]}


class Server:
    """Runs on a port of its own until close()."""

    def __init__(self, policy=None):
        self.policy = policy or re.search(r'tn_page_policy\[\] =((?:\s*"[^"]*")+);', (PAGE / "page.c").read_text()).group(1)
        self.policy = "".join(re.findall(r'"([^"]*)"', self.policy))
        self.requests, self.key, self.is_ready, self.seconds_a_token = [], None, True, 0.004
        self.models, self.scrapes, self.num_left = ["SmolLM2-135M-Instruct"], 0, 0
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"owner": self}))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def metrics(self):
        self.scrapes += 1
        wave = 1.0 + 0.4 * ((self.scrapes * 7) % 10) / 10
        label = f'{{model_name="{self.models[0]}"'
        lines = [f"tenon_{name}{label}}} {value}" for name, value in {
            "num_requests_running": 3 + self.scrapes % 4, "num_requests_waiting": self.scrapes % 3, "kv_cache_usage_perc": 0.22 + 0.01 * (self.scrapes % 9),
            "prompt_tokens_total": 52000 + int(310 * self.scrapes * wave), "generation_tokens_total": 91000 + int(162 * self.scrapes * wave),
            "prefix_cache_queries_total": 50000, "prefix_cache_hits_total": 20500}.items()]
        lines += [f'tenon_request_success_total{label},finished_reason="{reason}"}} {n}' for reason, n in (("stop", 171), ("length", 28), ("abort", 0))]
        for name, bounds in BUCKETS.items():
            total = 0
            for bound, count in zip(bounds, SHAPES[name]):
                total += count
                lines.append(f'tenon_{name}_bucket{label},le="{bound}"}} {total}')
            lines += [f'tenon_{name}_bucket{label},le="+Inf"}} {total}', f"tenon_{name}_sum{label}}} {total * bounds[4]}", f"tenon_{name}_count{label}}} {total}"]
        return "# HELP tenon_num_requests_running Requests.\n# TYPE tenon_num_requests_running gauge\n" + "\n".join(lines) + "\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner = None

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json", headers=()):
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(data))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, message):
        self.reply(status, json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}))

    def is_allowed(self):
        return self.owner.key is None or self.headers.get("Authorization") == "Bearer " + self.owner.key

    def do_GET(self):
        path = self.path.split("?")[0]
        file = PAGE / ("index.html" if path == "/" else path.removeprefix("/page/"))
        if path == "/" or (path.startswith("/page/") and file.suffix in TYPES and file.is_file()):
            self.reply(200, file.read_bytes(), TYPES[file.suffix], [("Content-Security-Policy", self.owner.policy), ("Cache-Control", "no-cache")])
        elif path == "/ready":
            self.reply(200 if self.owner.is_ready else 503, "{}")
        elif not self.is_allowed():
            self.fail(401, "no key was given, or a wrong one")
        elif path == "/v1/models":
            self.reply(200, json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in self.owner.models]}))
        elif path == "/version":
            self.reply(200, json.dumps({"version": "0.1.0"}))
        elif path == "/metrics":
            self.reply(200, self.owner.metrics(), "text/plain; version=0.0.4")
        else:
            self.fail(404, "there is no such route")

    def say(self, data):
        body = f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        self.wfile.flush()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.owner.requests.append(body)
        if not self.is_allowed():
            self.fail(401, "no key was given, or a wrong one")
            return
        is_chat = self.path == "/v1/chat/completions"
        last = body["messages"][-1]["content"] if is_chat else str(body["prompt"])
        if last.startswith("fail:"):
            self.fail(int(last[5:]), "the queue is full")
            return
        try:
            self.stream(body, last, is_chat)
        except (BrokenPipeError, ConnectionResetError):
            self.owner.num_left += 1

    def stream(self, body, last, is_chat):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        text = last[5:] if last.startswith("echo:") else "word " * 100000 if last == "slow" else ANSWER
        pieces = re.findall(r"\s*\S{1,6}", text) + re.findall(r"\s*$", text)
        if not is_chat:
            pieces = [" word"] * body.get("max_tokens", 16)
        piece = (lambda text: {"index": 0, "delta": {"content": text}}) if is_chat else (lambda text: {"index": 0, "text": text})
        if is_chat:
            self.say({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        if last == "think":
            for word in ("First ", "I ", "look ", "at ", "both ", "pieces."):
                self.say({"choices": [{"index": 0, "delta": {"reasoning_content": word}}]})
        for number, part in enumerate(pieces):
            if last == "break" and number == 5:
                time.sleep(0.3)  # what was sent is read before the end is seen
                self.close_connection = True
                return
            self.say({"id": "x", "choices": [piece(part)], "usage": None})
            time.sleep(self.owner.seconds_a_token)
        self.say({"choices": [{**piece(""), "finish_reason": "stop"}]})
        if body.get("stream_options", {}).get("include_usage"):
            self.say({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": len(pieces), "total_tokens": 12 + len(pieces)}})
        self.say("[DONE]")
        self.wfile.write(b"0\r\n\r\n")


if __name__ == "__main__":
    server = Server()
    print(server.url, flush=True)
    threading.Event().wait()
