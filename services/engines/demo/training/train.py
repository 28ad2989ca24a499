"""Makes the demo model: corpus, tokenizer, weights and log, all from one seed.

python -m services.engines.demo.training.train [--steps N] [--out DIR]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, TextIO

import torch
from safetensors.torch import save_file
from torch.nn import functional

from services.engines.demo.corpus import make_documents
from services.engines.demo.shape import Shape
from services.engines.demo.tokenizer import Tokenizer
from services.engines.demo.training.batches import Row, make_batches, make_row
from services.engines.demo.training.merges import learn_merges
from services.engines.demo.training.muon import Muon
from services.engines.demo.training.network import Weights, compute_logits, make_weights

SEED = 2025
STEPS = 2000
BATCH_TOKENS = 3072
TOKENIZER_DOCUMENTS = 4000
MATRIX_RATE, OTHER_RATE = 0.02, 0.004
"""Peak learning rates of Muon (hidden matrices) and AdamW (embedding and norms)."""
WARM_UP, COOL_DOWN = 0.03, 0.6
"""Shares of the steps in which the rate rises, and in which it falls to zero."""
LOG_EVERY = 50


def learn_tokenizer() -> Tokenizer:
    """A tokenizer from the first documents of the corpus."""
    texts: list[str] = []
    for document in make_documents(SEED, TOKENIZER_DOCUMENTS):
        texts += [document.plain, document.system]
        texts += [text for exchange in document.exchanges for text in exchange]
    return Tokenizer(learn_merges(texts, Shape().vocabulary))


def stream_batches(tokenizer: Tokenizer, shape: Shape) -> Iterator[list[Row]]:
    """Batches without end; no document is drawn twice on purpose."""
    documents = make_documents(SEED + 1, 10_000_000)
    rows = (make_row(tokenizer, document, shape.context) for document in documents)
    usable = (row for row in rows if any(row.weights))
    return make_batches(usable, BATCH_TOKENS, shape.context, Random(SEED + 2))


def to_tensors(batch: list[Row]) -> tuple[Any, Any]:
    """Ids and weights of a batch, padded with zeros."""
    length = max(len(row.ids) for row in batch)
    ids = torch.zeros((len(batch), length), dtype=torch.long)
    weights = torch.zeros((len(batch), length))
    for place, row in enumerate(batch):
        ids[place, : len(row.ids)] = torch.tensor(row.ids)
        weights[place, : len(row.ids)] = torch.tensor(row.weights)
    return ids, weights


def compute_loss(weights: Weights, shape: Shape, batch: list[Row]) -> Any:
    """Weighted mean of how surprised the model is by each next id."""
    ids, counts = to_tensors(batch)
    logits = compute_logits(weights, shape, ids[:, :-1]).flatten(0, 1)
    surprise = functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
    counts = counts[:, 1:].flatten()
    return (surprise * counts).sum() / counts.sum()


def make_optimizers(weights: Weights) -> list[Any]:
    """Muon for the hidden matrices, AdamW for the rest: a lower loss in the same time."""
    hidden = [t for name, t in weights.items() if t.ndim == 2 and "embed" not in name]
    others = [t for name, t in weights.items() if t.ndim != 2 or "embed" in name]
    return [
        Muon(hidden, lr=MATRIX_RATE),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_factor(step: int, steps: int) -> float:
    """Share of the peak rate: a short rise, a level, a cosine down to zero."""
    done = (step + 1) / steps
    rise = min(1.0, done / WARM_UP)
    fall = max(0.0, (done - (1 - COOL_DOWN)) / COOL_DOWN)
    return rise * 0.5 * (1 + math.cos(math.pi * fall))


def train(
    weights: Weights, shape: Shape, batches: Iterator[list[Row]], steps: int, log: TextIO
) -> None:
    """Run the steps, writing a line to the log now and then."""
    optimizers = make_optimizers(weights)
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    seen, losses, started = 0, [], time.process_time()
    for step in range(steps):
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate_factor(step, steps)
        batch = next(batches)
        loss = compute_loss(weights, shape, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seen += sum(len(row.ids) for row in batch)
        losses.append(loss.item())
        if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
            mean = sum(losses[-LOG_EVERY:]) / len(losses[-LOG_EVERY:])
            cpu = time.process_time() - started
            print(
                f"step {step + 1} loss {mean:.4f} tokens {seen} cpu {cpu:.0f} s",
                file=log,
                flush=True,
            )


def main() -> None:
    """Train and write model.safetensors, tokenizer.json and train.log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "weights")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    shape = Shape()
    tokenizer = learn_tokenizer()
    tokenizer.save(arguments.out / "tokenizer.json")
    weights = make_weights(shape, SEED)
    size = sum(tensor.numel() for tensor in weights.values())
    with (arguments.out / "train.log").open("w") as log:
        print(
            f"torch {torch.__version__} seed {SEED} steps {arguments.steps} parameters {size}",
            file=log,
        )
        print(f"{shape}", file=log, flush=True)
        train(weights, shape, stream_batches(tokenizer, shape), arguments.steps, log)
    halves = {
        name: tensor.detach().to(torch.float16).contiguous() for name, tensor in weights.items()
    }
    save_file(halves, arguments.out / "model.safetensors", metadata=shape.to_metadata())


if __name__ == "__main__":
    main()
