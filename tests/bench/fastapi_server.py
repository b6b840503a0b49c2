"""The model M(width) behind FastAPI, uvicorn and PyTorch: prints its address once it listens, and serves until it is killed.

Usage: fastapi_server.py WIDTH CORE. Written as fast as its users would: uvloop and httptools, no access log, the model on the event
loop's own thread (a pool of threads only adds changes of thread on one core), rows read and answers written by pydantic's
compiled code, as FastAPI's documentation advises for speed.
"""

import os
import socket
import sys

width, core = int(sys.argv[1]), int(sys.argv[2])
os.sched_setaffinity(0, {core})

import torch  # noqa: E402  (after the core is chosen)
import uvicorn  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from fastapi.responses import Response  # noqa: E402
from pydantic import BaseModel  # noqa: E402

torch.set_num_threads(1)
model = torch.nn.Sequential(
    torch.nn.Linear(784, width), torch.nn.ReLU(),
    torch.nn.Linear(width, width), torch.nn.ReLU(),
    torch.nn.Linear(width, 10), torch.nn.Softmax(-1),
).eval()


class Rows(BaseModel):
    rows: list[list[float]]


class Prediction(BaseModel):
    classes: list[int]
    probabilities: list[list[float]]
    version: int


app = FastAPI()


@app.post("/predict")
async def predict(body: Rows) -> Prediction:
    with torch.inference_mode():
        probabilities = model(torch.tensor(body.rows))
    return Prediction(classes=probabilities.argmax(-1).tolist(), probabilities=probabilities.tolist(), version=1)


@app.get("/ready")
async def ready():
    return Response("ready\n")


if __name__ == "__main__":
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
