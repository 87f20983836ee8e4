"""The same archive behind LitServe, as its documentation writes a server with batches; needs nothing of ours.

PYTHON benchmarks/servers/lit.py ARCHIVE PORT BATCH WORKERS
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import litserve
from fastapi import Body, Response

Raw = Annotated[bytes, Body()]  # FastAPI reads the annotation: no text of it will do

FOLDER, PORT = sys.argv[1], int(sys.argv[2])
sys.path.insert(0, str(Path(FOLDER) / "code"))


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        import inference

        self.predictor = inference.model_fn(FOLDER)

    def decode_request(self, request: Raw) -> Any:
        import payload

        return payload.decode(request, self.predictor.frame)

    def predict(self, pictures: Any) -> Any:
        import inference
        import numpy as np

        batched = isinstance(pictures, list)
        rows = inference.probabilities(self.predictor, np.concatenate(pictures) if batched else pictures)
        return [row[None] for row in rows] if batched else rows

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, rows: Any) -> Response:
        import inference

        content, kind = inference.output_fn(inference.predictions(self.predictor, rows))
        return Response(content, media_type=kind)


if __name__ == "__main__":
    most, workers = int(sys.argv[3]), int(sys.argv[4])
    api = Classifier(max_batch_size=most, batch_timeout=0.005, api_path="/invocations")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning", num_api_servers=1)
