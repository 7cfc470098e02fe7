# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven by its DevTools protocol over two pipes: no driver program, no package."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


def find_chromium():
    """The program, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One page. What it logs as an error, throws, or is refused by the page's policy is kept in `problems`."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="tenon-chromium-")
        (from_browser, browser_out), (browser_in, to_browser) = os.pipe(), os.pipe()
        self.input, self.output = from_browser, to_browser
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 64) for end in (browser_in, browser_out)]

        def give_pipes():
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        command = [find_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
                   "--no-first-run", "--disable-extensions", "--disable-background-networking", "--force-color-profile=srgb",
                   "--user-data-dir=" + self.folder, "about:blank"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        close_fds=False, preexec_fn=give_pipes, env={**os.environ, "HOME": self.folder})
        for end in (browser_in, browser_out, *ends):
            os.close(end)
        self.buffer, self.last_id, self.session, self.problems = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (OSError, RuntimeError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.input)
        os.close(self.output)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _receive(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.input], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise RuntimeError("chromium did not answer")
            data = os.read(self.input, 1 << 20)
            if not data:
                raise RuntimeError("chromium has ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.problems.append(str(params["args"]))

    def call(self, method, timeout=60, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def run(self, script):
        """The value of an expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", "the script failed"))
        return result["result"].get("value")

    def _is_true(self, condition):
        try:
            return self.run(condition)
        except RuntimeError as error:
            if "Inspected target navigated or closed" not in str(error):
                raise
            return False  # asked of the page that is just being left

    def wait(self, condition, timeout=30):
        """Until an expression is true, in the page that is there then."""
        deadline = time.monotonic() + timeout
        while not self._is_true(condition):
            if time.monotonic() > deadline:
                raise RuntimeError(f"did not come true: {condition}\n" + (self.run("document.body.innerText") or "")[:3000])
            time.sleep(0.03)

    def open(self, url):
        self.problems.clear()
        self.call("Page.navigate", url=url)
        self.wait("document.documentElement?.dataset.started === 'yes'")

    def reload(self):
        self.run("window.isOld = true; location.reload()")
        self.wait("!window.isOld && document.documentElement?.dataset.started === 'yes'")

    def size(self, width, height, is_phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone)

    def dark(self, is_dark):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key, code=0, modifiers=0):
        """modifiers: 1 Alt, 2 Control, 8 Shift."""
        codes = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "Tab": 9}
        common = {"key": key, "windowsVirtualKeyCode": code or codes.get(key, ord(key.upper()[0])), "modifiers": modifiers}
        text = "\r" if key == "Enter" else key if len(key) == 1 and modifiers in (0, 8) else None
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
