"""Times training steps of onramp and of PyTorch in turn; prints the seconds of each as JSON.

Usage: training.py WORKER REPEATS. Runs in an environment of its own that has PyTorch; WORKER is the program onramp-worker.
"""

import json
import subprocess
import sys
import time

import torch

SAMPLE_SECONDS = 0.2
INPUTS, CLASSES, RATE = 784, 10, 1e-3


def onramp_step(worker, width, rows, threads):
    model = {"mlp": {"width": width, "inputs": INPUTS, "outputs": CLASSES}}
    experiment = {"step_time": {"model": model, "rows": rows, "threads": threads, "samples": 1}}
    done = subprocess.run([worker], input=json.dumps(experiment), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"onramp-worker failed: {done.stderr}")
    return json.loads(done.stdout)["step_time"]["seconds"]["samples"][0]


def torch_step(width, rows, threads):
    torch.set_num_threads(threads)
    layers = [torch.nn.Linear(INPUTS, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(width, CLASSES))
    descent = torch.optim.SGD(model.parameters(), lr=RATE)
    features, labels = torch.rand(rows, INPUTS), torch.randint(CLASSES, (rows,))

    def seconds(steps):
        start = time.perf_counter()
        for _ in range(steps):
            descent.zero_grad()
            torch.nn.functional.cross_entropy(model(features), labels).backward()
            descent.step()
        return (time.perf_counter() - start) / steps

    seconds(2)
    steps = max(1, round(SAMPLE_SECONDS / seconds(2)))
    seconds(steps)
    return seconds(steps)


def main():
    worker, repeats = sys.argv[1], int(sys.argv[2])
    points = [(width, rows, threads) for width in (64, 256, 1024) for rows in (64, 512) for threads in (1, 2)]
    samples = []
    for width, rows, threads in points:
        name = f"M({width}), {rows} rows, {threads} thread{'s' if threads > 1 else ''}"
        samples.append({"name": name, "onramp": [], "pytorch": []})
    for _ in range(repeats):
        for point, sample in zip(points, samples):
            sample["onramp"].append(onramp_step(worker, *point))
            sample["pytorch"].append(torch_step(*point))
    json.dump({"version": torch.__version__, "points": samples}, sys.stdout)


main()
