# SPDX-License-Identifier: Apache-2.0
"""Load that slows servers down, and a normal client beside it: what test_overload.py asserts and bench/serve-overload measures."""

import http.client
import json
import pathlib
import resource
import socket
import statistics
import threading
import time
import urllib.parse
import urllib.request

NORMAL = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 16, "temperature": 0, "ignore_eos": True}


class Client:
    """A normal one: a connection that stays, one request at a time."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
        self.seconds, self.answers = [], []

    def ask(self):
        begin = time.perf_counter()
        self.connection.request("POST", "/v1/chat/completions", json.dumps(NORMAL), {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        answer = response.read()
        self.seconds.append(time.perf_counter() - begin)
        assert response.status == 200, answer
        self.answers.append(json.loads(answer)["choices"])

    def close(self):
        self.connection.close()


class Crowd:
    """Clients between two requests, and readers of streams who take 128 bytes a second each and have more waiting than sockets hold.
    When it is made, the answers of all of them are computed: from then on they cost the server what they cost by being there."""

    def __init__(self, url, num_idle=1000, num_slow=200, max_tokens=250):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        parts = urllib.parse.urlsplit(url)
        self.address, self.num_lost, self.number = (parts.hostname, parts.port), 0, 0
        body = json.dumps({**NORMAL, "max_tokens": max_tokens, "stream": True, "logprobs": True, "top_logprobs": 20}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.readers = [self.connect(head.encode() + body, 2048) for _ in range(num_slow)]
        self.is_over, self.thread = threading.Event(), threading.Thread(target=self.sip)
        self.thread.start()
        self.wait_until_computed(url)
        self.idle = [self.connect(f"GET /health HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()) for _ in range(num_idle)]
        for one in self.idle:
            assert one.recv(4096).startswith(b"HTTP/1.1 200")

    def connect(self, request, buffer_bytes=None):
        one = socket.socket()
        if buffer_bytes:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        one.connect(self.address)
        one.sendall(request)
        return one

    def sip(self):
        while not self.is_over.wait(1 / len(self.readers)):
            self.number = (self.number + 1) % len(self.readers)
            try:
                self.num_lost += self.readers[self.number].recv(128, socket.MSG_DONTWAIT) == b""
            except BlockingIOError:
                pass
            except ConnectionError:
                self.num_lost += 1

    def wait_until_computed(self, url):
        while True:
            metrics = urllib.request.urlopen(url + "/metrics").read().decode().splitlines()
            if sum(float(line.rsplit(" ", 1)[1]) for line in metrics if line.startswith(("tenon_num_requests_running{", "tenon_num_requests_waiting{"))) == 0:
                return
            time.sleep(0.05)

    def num_waiting(self):
        """Readers for whom there is more than was sent: their sockets are full."""
        return len([line for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
                    if int(line.split()[1].split(":")[1], 16) == self.address[1] and int(line.split()[4].split(":")[0], 16) > 65536])

    def close(self):
        self.is_over.set()
        self.thread.join()
        for one in self.readers + self.idle:
            one.close()


def processor_seconds(pid):
    """Of all threads so far."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) * 1e-9


def measure(serving, num_requests):
    """The client, asked so often; and the server's processor time for each request, in seconds."""
    client = Client(serving.url)
    client.ask()
    client.seconds.clear()
    before = processor_seconds(serving.process.pid)
    for _ in range(num_requests):
        client.ask()
    seconds = (processor_seconds(serving.process.pid) - before) / num_requests
    client.close()
    return client, seconds


def describe(name, client, processor):
    return (f"{name}: {len(client.seconds)} requests, median {1e3 * statistics.median(client.seconds):.2f} ms, slowest {1e3 * max(client.seconds):.2f} ms, "
            f"processor time of the server {1e3 * processor:.2f} ms a request")
