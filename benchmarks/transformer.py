"""A small transformer as nanoGPT trains it on a processor, to hold our figures against.

Sizes, optimiser and schedule are those that nanoGPT's README and its `train_shakespeare_char` give for a
processor: 4 layers of 4 heads and 128 numbers, context 64, 12 windows a step, no dropout; AdamW 0.001 down to
0.0001 by a cosine after 100 steps of warm-up, betas 0.9 and 0.99, decay 0.1 on matrices, clipping at 1. The
network is Hugging Face's GPT-2 of these sizes, with exact GELU. It trains for nanoGPT's own number of steps,
or for as many as the seconds allow where those are more: whichever is better for it.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charloom.insight.heldout import HeldOut, Span
from charloom.text.corpus import Corpus

CONTEXT, ROWS, WIDTH, LAYERS, HEADS = 64, 12, 128, 4, 4
RATE, LOWEST, WARMUP, DECAY, BETAS, CLIP = 1e-3, 1e-4, 100, 0.1, (0.9, 0.99), 1.0
OWN_STEPS = {75: 2000, 300: 7800}  # what nanoGPT's recipe takes for about so many seconds
TIMED = 30  # steps that tell how many there are in the seconds
STRIDE = 16  # in windows longer than the context, every symbol is predicted from 48 to 64 before it
BATCH = 64


def trained(corpus: Corpus, seconds: int, seed: int) -> tuple[Any, dict[str, Any]]:
    """The network, and what its training took."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(corpus.vocabulary),
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu",
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )
    network = GPT2LMHeadModel(config)
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, RATE, BETAS)
    random = np.random.default_rng(seed)
    ids = corpus.train.ids
    network.train()
    steps = OWN_STEPS.get(seconds, TIMED)
    began = half = time.perf_counter()
    step = 0
    while step < steps:
        starts = random.integers(0, len(ids) - CONTEXT - 1, ROWS)
        read = torch.from_numpy(ids[starts[:, None] + np.arange(CONTEXT + 1)].astype(np.int64))
        logits = network(input_ids=read[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), read[:, 1:].flatten())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps)
        optimiser.step()
        step += 1
        if step == TIMED // 2:
            half = time.perf_counter()
        if step == TIMED:
            now = time.perf_counter()
            left = seconds - (now - began)
            steps = max(steps, TIMED + int(left * (TIMED - TIMED // 2) / (now - half)))
    took = time.perf_counter() - began
    return network.eval(), {
        "seconds": took,
        "steps": steps,
        "parameters": sum(p.numel() for p in parameters),
        "trained": steps * ROWS * CONTEXT,
    }


def rate(step: int, steps: int) -> float:
    """nanoGPT's: a linear rise, then a cosine down to a tenth."""
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    return LOWEST + 0.5 * (RATE - LOWEST) * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP)))


@torch.no_grad()
def nats(network: Any, held_out: HeldOut, size: int) -> float:
    """Nats a character in windows of `size`, the same windows and symbols as our `cold_256` (for 256)."""
    blocks = [block for span in held_out.windows(size) for block in cut(held_out, span)]
    total = 0.0
    for first in range(0, len(blocks), BATCH):
        some = blocks[first : first + BATCH]
        read = np.zeros((len(some), CONTEXT + 1), np.int64)
        scored = np.zeros((len(some), CONTEXT), bool)
        for row, (symbols, skip) in enumerate(some):
            read[row, : len(symbols)] = symbols
            scored[row, skip : len(symbols) - 1] = True
        targets, counted = torch.from_numpy(read[:, 1:]), torch.from_numpy(scored)
        logits: Tensor = network(input_ids=torch.from_numpy(read[:, :-1])).logits
        total += float(torch.nn.functional.cross_entropy(logits[counted], targets[counted], reduction="sum"))
        total += float(held_out.spelling[read[:, 1:][scored]].sum())
    return total / held_out.total(held_out.characters)


def cut(held_out: HeldOut, span: Span) -> list[tuple[np.ndarray[Any, Any], int]]:
    """A window as blocks that the context holds, and how many targets of each were scored before."""
    symbols = np.asarray(held_out.ids[span.start : span.stop], np.int64)
    if not span.skip:  # the first of a text is predicted from `<bos>`
        symbols = np.concatenate((np.array([held_out.vocabulary.bos], np.int64), symbols))
    blocks, scored = [(symbols[: CONTEXT + 1], 0)], min(len(symbols) - 1, CONTEXT)
    while scored < len(symbols) - 1:
        more = min(STRIDE, len(symbols) - 1 - scored)
        start = scored + more - CONTEXT
        blocks.append((symbols[start : scored + more + 1], scored - start))
        scored += more
    return blocks
