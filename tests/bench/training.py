"""Times training steps of onramp and of PyTorch in turn; prints the seconds of each as JSON.

Usage: training.py WORKER REPEATS < STEPS. Needs a Python that has PyTorch. WORKER is the program onramp-worker; STEPS a list
of its "step_time" experiments in JSON, each with model, rows, threads, and maybe device and precision.
"""

import contextlib
import json
import subprocess
import sys
import time

import torch

SAMPLE_SECONDS, RATE = 0.2, 1e-3


class Attention(torch.nn.Module):
    """Causal attention in heads of 32 numbers, by PyTorch's fused kernel."""

    def __init__(self, width):
        super().__init__()
        self.inward, self.outward = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)

    def forward(self, x):
        rows, context, width = x.shape
        heads = (part.reshape(rows, context, -1, 32).transpose(1, 2) for part in self.inward(x).split(width, -1))
        mixed = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        return self.outward(mixed.transpose(1, 2).reshape(rows, context, width))


class Layer(torch.nn.Module):
    """Attention, then two dense layers, each behind a norm and added to its input."""

    def __init__(self, width):
        super().__init__()
        self.attention_norm, self.attention = torch.nn.LayerNorm(width), Attention(width)
        dense = torch.nn.Linear(width, 4 * width), torch.nn.ReLU(), torch.nn.Linear(4 * width, width)
        self.dense = torch.nn.Sequential(torch.nn.LayerNorm(width), *dense)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.dense(x)


class Transformer(torch.nn.Module):
    """The decoder-only transformer of the course: as many layers as heads."""

    def __init__(self, width, context, vocabulary):
        super().__init__()
        self.tokens = torch.nn.Embedding(vocabulary, width)
        self.positions = torch.nn.Parameter(torch.randn(context, width))
        layers = [Layer(width) for _ in range(width // 32)]
        self.rest = torch.nn.Sequential(*layers, torch.nn.LayerNorm(width), torch.nn.Linear(width, vocabulary))

    def forward(self, rows):
        return self.rest(self.tokens(rows) + self.positions).flatten(0, 1)


def torch_task(model, rows):
    """The same model in PyTorch, and rows for it."""
    [(kind, sizes)] = model.items()
    if kind == "mlp":
        inputs, width, outputs = sizes["inputs"], sizes["width"], sizes["outputs"]
        layers = [torch.nn.Linear(inputs, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers, torch.nn.Linear(width, outputs))
        return network, torch.rand(rows, inputs), torch.randint(outputs, (rows,))
    width, context, vocabulary = sizes["width"], sizes["context"], sizes["vocabulary"]
    tokens = torch.randint(vocabulary, (rows, context))
    return Transformer(width, context, vocabulary), tokens, torch.randint(vocabulary, (rows * context,))


def onramp_step(worker, step):
    experiment = {"step_time": {**step, "samples": 1}}
    done = subprocess.run([worker], input=json.dumps(experiment), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"onramp-worker failed: {done.stderr}")
    return json.loads(done.stdout)["step_time"]["seconds"]["samples"][0]


def torch_step(step):
    """Seconds of a step. On a GPU each step is waited for, as onramp does."""
    torch.set_num_threads(step["threads"])
    place = step.get("device", "cpu")
    device = torch.device("cpu" if place == "cpu" else f"cuda:{place['cuda']['ordinal']}")
    half = step.get("precision") == "bf16"
    network, features, labels = torch_task(step["model"], step["rows"])
    network, features, labels = network.to(device), features.to(device), labels.to(device)
    descent = torch.optim.SGD(network.parameters(), lr=RATE)

    def seconds(steps):
        start = time.perf_counter()
        for _ in range(steps):
            descent.zero_grad()
            with torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext():
                loss = torch.nn.functional.cross_entropy(network(features), labels)
            loss.backward()
            descent.step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        return (time.perf_counter() - start) / steps

    seconds(2)
    steps = max(1, round(SAMPLE_SECONDS / seconds(2)))
    seconds(steps)
    return seconds(steps)


def main():
    worker, repeats, steps = sys.argv[1], int(sys.argv[2]), json.load(sys.stdin)
    points = [{"onramp": [], "pytorch": []} for _ in steps]
    for _ in range(repeats):
        for step, point in zip(steps, points):
            point["onramp"].append(onramp_step(worker, step))
            point["pytorch"].append(torch_step(step))
    json.dump({"version": torch.__version__, "points": points}, sys.stdout)


main()
