"""Training speed: our ``fit`` beside a plain nanoGPT-style loop on torch.nn parts; same model, batches and start.

    python -m benchmarks.train [--steps 500] [--threads 2] [--turn 20]

4 layers, 4 heads, d 128, 64 tokens, 12 texts a step, characters of Shakespeare's plays (fetched once, 2 MB): nanoGPT's
setting for a laptop. They take turns of ``--turn`` steps, so that whatever else the machine does hits all alike; ours runs
twice, in float32 as the plain loop does, and with its matrices multiplied in bfloat16.
The table gives steps per second in the median turn (the first is left out) and in the fastest, the ratios, and the loss
on a play that neither has read.
"""

import argparse
import math
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import transformer
from transformer.tokenizers import Characters
from transformer.training.loop import evaluate, fit
from transformer.training.plays import plays

BATCH, LENGTH = 12, 64
LR, WARMUP, DECAY, CLIP = 1e-3, 100, 0.1, 1.0
HELD_OUT = "macbeth"


class PlainBlock(nn.Module):
    def __init__(self, d: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.c_attn, self.c_proj = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d, bias=False), nn.GELU(), nn.Linear(4 * d, d, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).split(C, dim=2)
        q, k, v = (each.view(B, T, self.n_heads, C // self.n_heads).transpose(1, 2) for each in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))
        return x + self.mlp(self.ln_2(x))


class PlainGPT(nn.Module):
    """nanoGPT's model (Karpathy 2022) without dropout and biases, its head tied."""

    def __init__(self, vocab: int, d: int, n_layers: int, n_heads: int):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, d), nn.Embedding(LENGTH, d)
        self.h = nn.ModuleList(PlainBlock(d, n_heads) for _ in range(n_layers))
        self.ln_f, self.lm_head = nn.LayerNorm(d), nn.Linear(d, vocab, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))

    @torch.no_grad()
    def start_from(self, ours: transformer.Model) -> None:
        """The same weights."""
        self.wte.weight.copy_(ours.embedding.W_E.weight)
        self.wpe.weight.copy_(ours.embedding.W_P.weight)
        for block, our in zip(self.h, ours.stack.blocks, strict=True):
            block.c_attn.weight.copy_(torch.cat([our.attention.get_submodule(f"W_{x}").weight for x in "QKV"]))
            block.c_proj.weight.copy_(our.attention.W_O.weight)
            block.mlp[0].weight.copy_(our.ffn.W_1.weight)
            block.mlp[2].weight.copy_(our.ffn.W_2.weight)


def plain_loop(model: PlainGPT, batch, steps: int, seed: int):
    """nanoGPT's training loop: forward, backward, clip, AdamW, warm-up and cosine; the loss is read every 10 steps."""
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": DECAY}, {"params": rest, "weight_decay": 0.0}], lr=LR, betas=(0.9, 0.95)
    )
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for it in range(steps):
        if it < WARMUP:
            lr = LR * (it + 1) / WARMUP
        else:
            lr = LR / 10 + 0.5 * (1 + math.cos(math.pi * (it - WARMUP) / (steps - WARMUP))) * (LR - LR / 10)
        for group in optimizer.param_groups:
            group["lr"] = lr
        ids = batch(generator)
        logits = model(ids[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, logits.size(-1)), ids[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if it % 10 == 0:
            loss.item()
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turn", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    texts = plays()
    tokenizer = Characters.train("".join(texts.values()))
    ids = torch.tensor(tokenizer.encode("".join(text for title, text in texts.items() if title != HELD_OUT)))
    unseen = torch.tensor(tokenizer.encode(texts[HELD_OUT])).unfold(0, LENGTH + 1, LENGTH).split(256)[:-1]

    def batch(generator: torch.Generator) -> Tensor:
        at = torch.randint(len(ids) - LENGTH - 1, (BATCH, 1), generator=generator)
        return ids[at + torch.arange(LENGTH + 1)]

    config = transformer.Config(
        vocab_size=tokenizer.vocab_size, d_model=128, n_layers=4, n_heads=4, max_len=LENGTH, position="learned",
        norm="layer", activation="gelu",
    )  # fmt: skip
    ours, mixed = transformer.build(config, seed=0), transformer.build(config, seed=0)
    plain = PlainGPT(config.vocab_size, 128, 4, 4)
    plain.start_from(ours)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in ours.parameters())

    settings = dict(lr=LR, warmup=WARMUP, weight_decay=DECAY, clip=CLIP, seed=1)
    models = {"plain": plain, "ours": ours, "ours, bfloat16": mixed}
    loops = {
        "plain": plain_loop(plain, batch, args.steps, seed=1),
        "ours": fit(ours, batch, args.steps, **settings),
        "ours, bfloat16": fit(mixed, batch, args.steps, precision="bfloat16", **settings),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(args.steps // args.turn):
        for name in sorted(loops, reverse=turn % 2 == 1):  # who goes first changes
            start = time.perf_counter()
            for _ in range(args.turn):
                next(loops[name])
            seconds[name].append(time.perf_counter() - start)

    print(f"4 layers, d 128, {BATCH} x {LENGTH} characters, {args.steps} steps, {args.threads} threads")
    rates = {name: [args.turn / s for s in turns[1:]] for name, turns in seconds.items()}
    for name, model in models.items():
        loss = evaluate(model, unseen)
        print(
            f"  {name:15} {statistics.median(rates[name]):6.1f} steps/s (fastest turn {max(rates[name]):.1f})   "
            f"held-out loss {loss:.4f} nats a character"
        )
    for name in ("ours", "ours, bfloat16"):
        by_turn = statistics.median(o / p for o, p in zip(rates[name], rates["plain"], strict=True))
        fastest = max(rates[name]) / max(rates["plain"])
        print(f"  {name} is {by_turn:.3f} times as fast, turn by turn; {fastest:.3f} in the fastest turns")


if __name__ == "__main__":
    main()
