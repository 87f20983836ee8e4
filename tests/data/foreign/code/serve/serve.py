"""Answers /ping and /invocations: a line of a request is a number, a line of the answer slope * number + offset."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(os.path.join(os.environ.get("SM_MODEL_DIR", "/opt/ml/model"), "model.json")) as file:
    MODEL = json.load(file)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        numbers = (MODEL["slope"] * float(line) + MODEL["offset"] for line in body.split())
        self.answer(200, "\n".join(f"{number:.4f}" for number in numbers).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
