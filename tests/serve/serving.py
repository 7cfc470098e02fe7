# SPDX-License-Identifier: Apache-2.0
"""A `tenon serve` as a process."""

import pathlib
import re
import signal
import subprocess
import tempfile
import time


class Serving:
    """The running program; `url` has no path."""

    def __init__(self, program, model, *options):
        self.log = tempfile.NamedTemporaryFile("w+", prefix="tenon-serve-", suffix=".log")
        self.process = subprocess.Popen([program, "serve", model, "--port", "0", "--threads", "1", *options], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.url = None
        deadline = time.monotonic() + 120
        while self.url is None:
            assert self.process.poll() is None and time.monotonic() < deadline, "the server did not start:\n" + self.said()
            time.sleep(0.05)
            found = re.search(r"serving \S+ on (http://\S+)$", self.said(), re.MULTILINE)
            self.url = found.group(1) if found else None

    def said(self):
        return pathlib.Path(self.log.name).read_text()

    def stop(self):
        """The exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return code
