"""A page in headless Chromium, driven over the DevTools protocol: no driver program, no framework."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import websocket

BINARY = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), "chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars", "--remote-allow-origins=*"]


class Chromium:
    """One browser with one tab. Everything that the page says or asks for is kept in `events`."""

    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        folder = pathlib.Path(self.profile.name)
        command = [BINARY, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.events, self.last_id, self.session = [], 0, None
        port, path = self._wait_for(folder / "DevToolsActivePort").splitlines()
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", timeout=60)
        target = next(t["targetId"] for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log"]:
            self.call(f"{domain}.enable")

    def _wait_for(self, path):
        for _ in range(600):
            if path.is_file() and path.read_text().count("\n") >= 1:
                return path.read_text()
            assert self.process.poll() is None, f"{BINARY} ended with status {self.process.returncode}"
            time.sleep(0.1)
        raise TimeoutError(f"{BINARY} does not answer")

    def call(self, method, **parameters):
        """One command; its result."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.last_id:
                assert "error" not in answer, f"{method}: {answer.get('error')}"
                return answer["result"]
            self.events.append(answer)

    def open(self, address, width=1280, height=900, is_phone=False):
        """Loads a page, to the end, in a window of this size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone)
        self.call("Page.navigate", url=address)
        for _ in range(300):
            if self.value("document.readyState") == "complete" and self.value("location.href") == address:
                return
            time.sleep(0.1)
        raise TimeoutError(address)

    def value(self, expression):
        """Value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path, of="document.documentElement"):
        """An element of the page as PNG."""
        measure = "(e) => { const b = e.getBoundingClientRect(); return [b.x + scrollX, b.y + scrollY, b.width, b.height]; }"
        box = self.value(f"({measure})({of})")
        clip = dict(zip(["x", "y", "width", "height"], box)) | {"scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, path):
        """The page as it would be printed on A4."""
        answer = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def seen(self, method):
        """Parameters of the events of a kind so far."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=30)
        self.profile.cleanup()
