"""Makes assets/experts: a small mixture of experts with and without the loss that balances it, and dense models.

    python -m transformer.training.experts                          # all, 3 seeds each
    python -m transformer.training.experts --only balanced --steps 100 --out elsewhere
    python -m transformer.training.experts --recorded               # only the short runs that the page can repeat
    python -m transformer.training.experts --favourites             # only what the shipped experts read most surely

``VARIANTS`` differ in their feed-forward part and in the weight α of the balance loss alone; all see the same windows of
the plays in the same order (the seed decides them). "dense" costs a token what the mixture costs it: as many neurons as
its k experts have together. "wide" has as many neurons as all its experts have, and uses them all on every token. The
balance loss is added for each layer (Fedus et al. 2021); in "joint" it is taken once, over the routers of all layers
counted together, as the widespread Mixtral code has it. The first seed of each is kept in float16: "balanced" is
``transformer.load("experts")``, and "free" lies in assets/experts/free.

``live`` is the same at a size that trains while the learner looks on, on the play that ships with the repository.
"""

import argparse
import datetime
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer import names
from transformer.build import build
from transformer.config import Config
from transformer.experiments.routing import crowding, favourites, information, shares, used
from transformer.experts import balance_loss
from transformer.models import Model
from transformer.pretrained import load, native
from transformer.tap import RecordingTap
from transformer.training import play
from transformer.training.loop import Batch, Loss, Metrics, evaluate, fit
from transformer.training.patterns import held_out, windows
from transformer.training.plays import plays, source
from transformer.training.tiny import HELD_OUT

FOLDER = Path(__file__).parents[2] / "assets" / "experts"
RECORDED = Path(__file__).parents[2] / "assets" / "measured" / "experts.json"
EXPERTS, K = 8, 2
BASE = dict(
    vocab_size=1024, d_model=48, n_layers=3, n_heads=4, max_len=256, position="rope", norm="rms", activation="silu",
    gated=True, tie_embeddings=True,
)  # fmt: skip
D_FF = 48  # neurons of one expert


class Variant(NamedTuple):
    options: dict
    alpha: float  # weight of the balance loss beside the language loss
    joint: bool = False  # balance all layers counted together, not each


MIXTURE = dict(experts=EXPERTS, experts_per_token=K, d_ff=D_FF)
VARIANTS = {
    "balanced": Variant(MIXTURE, 0.01),
    "joint": Variant(MIXTURE, 0.01, joint=True),
    "free": Variant(MIXTURE, 0.0),
    "dense": Variant(dict(d_ff=K * D_FF), 0.0),
    "wide": Variant(dict(d_ff=EXPERTS * D_FF), 0.0),
}
COMMON = 40  # times that a piece comes in the held-out plays, to be called a favourite
KEPT = ("balanced", "free")  # whose first seed is shipped
SEEDS = (0, 1, 2)
LENGTH, BATCH, MEASURED = 128, 6, 72
ROUTERS = "layers.*.ffn.router"

LIVE_BASE = dict(d_model=32, n_layers=2, n_heads=4, max_len=64, d_ff=32, position="rope", norm="rms", activation="silu",
                 gated=True, tie_embeddings=True)  # fmt: skip
LIVE_STEPS, LIVE_EVERY, LIVE_LENGTH, LIVE_BATCH, LIVE_LR = 120, 4, 48, 12, 1e-2
LIVE_ALPHAS, LIVE_KS = (0.0, 0.01, 0.03), (1, 2)


class Report(NamedTuple):
    """Where a run stands, every few steps."""

    step: int
    loss: float  # of language, mean of the batches since the last report, nats a token
    unseen: float  # of language, on text that no run learns from
    balance: float  # E · Σ f p̄ of the last batch, mean of the layers; k where even. 0 of a dense model
    load: tuple[tuple[float, ...],
        ...]  # [layer][expert], of the last batch: the share of all readings. () of a dense one


def config_of(variant: str) -> Config:
    """The decoder of a variant. Raises ValueError for one that is not there."""
    if variant not in VARIANTS:
        raise ValueError(f"there is no variant {variant!r}; there are {', '.join(VARIANTS)}.")
    return Config(**BASE, **VARIANTS[variant].options)


def with_balance(config: Config, alpha: float, joint: bool = False) -> Loss:
    """The loss that ``fit`` makes small, L = CE + α · Σ_layers E Σ_e f_e p̄_e (once, over all layers counted together,
    where ``joint``); reports the language part, the mean of the layers' balance losses and the experts' shares."""
    if config.experts == 1:
        return _language_alone
    tap = RecordingTap(ROUTERS, names=names.of(config), gradients=True)

    def loss(model: Model, ids: Tensor) -> tuple[Tensor, Metrics]:
        seen = tap.fresh()
        CE = _language(model(ids[:, :-1], tap=seen), ids)
        router = torch.stack(list(seen.trace.values()))  # [layer, batch, token, expert]
        each_layer = torch.stack([balance_loss(of, config.experts_per_token) for of in router])
        push = balance_loss(router, config.experts_per_token) if joint else each_layer.sum()
        load = torch.zeros_like(router[:, 0, 0]).index_add(
            1, torch.arange(config.experts, device=router.device), _chosen(router, config.experts_per_token)
        )
        load = load / load.sum(-1, keepdim=True)
        each = {f"{layer}.{e}": load[layer, e] for layer in range(len(load)) for e in range(config.experts)}
        return CE + alpha * push, {"language": CE, "balance": each_layer.mean(), **each}

    return loss


def _chosen(router: Tensor, k: int) -> Tensor:
    """How many tokens chose each expert.   router [layer, batch, token, expert] -> [layer, expert]"""
    top = router.topk(k, dim=-1).indices.flatten(1)  # [layer, choice]
    return F.one_hot(top, router.shape[-1]).sum(1).to(router.dtype)


def _language(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def _language_alone(model: Model, ids: Tensor) -> tuple[Tensor, Metrics]:
    CE = _language(model(ids[:, :-1]), ids)
    return CE, {"language": CE}


def follow(
    model: Model, loss: Loss, batch: Batch, unseen: Tensor, steps: int, every: int, lr: float, seed: int
) -> Iterator[Report]:
    """Train ``model`` in place and report every ``every`` steps."""
    experts, layers = model.config.experts, model.config.n_layers
    since = []
    for step, _, _, _, metrics in fit(model, batch, steps, loss=loss, lr=lr, warmup=max(1, steps // 10), seed=seed):
        since.append(metrics["language"])
        if step % every and step != steps:
            continue
        load = tuple(
            tuple(metrics[f"{layer}.{e}"] for e in range(experts)) for layer in range(layers)
        ) if experts > 1 else ()  # fmt: skip
        yield Report(step, sum(since) / len(since), evaluate(model, unseen), metrics.get("balance", 0.0), load)
        since = []


def live(k: int, alpha: float, seed: int, steps: int = LIVE_STEPS, every: int = LIVE_EVERY) -> Iterator[Report]:
    """A run that the page makes: characters of one play, ``EXPERTS`` experts of which ``k`` read a token. k = 0: the dense
    model that costs a token as much as two of them."""
    data = play.load()
    mix = dict(experts=EXPERTS, experts_per_token=k) if k else dict(d_ff=2 * LIVE_BASE["d_ff"])
    config = Config(**LIVE_BASE | mix, vocab_size=data.tokenizer.vocab_size)
    unseen = held_out(data.unseen, length=LIVE_LENGTH, count=16).transpose(0, 1)  # one batch
    return follow(
        build(config, seed), with_balance(config, alpha), windows(data.ids, LIVE_LENGTH, LIVE_BATCH), unseen, steps,
        every, LIVE_LR, seed
    )


@torch.no_grad()
def routed(model: Model, unseen: Tensor) -> tuple[Tensor, Tensor]:
    """(first choices [layer, token], gates [layer, token, expert]) on held-out windows [window, 1, token]."""
    first, gates = [], []
    for window in unseen:
        run = model.run(window[:, :-1], record=(ROUTERS, "layers.*.ffn.gates"))
        first.append(torch.stack([run.trace[f"layers.{i}.ffn.router"][0].argmax(-1)
            for i in range(model.config.n_layers)]))
        gates.append(torch.stack([run.trace[f"layers.{i}.ffn.gates"][0] for i in range(model.config.n_layers)]))
    return torch.cat(first, 1), torch.cat(gates, 1)


def specialities(model: Model, texts: list[Tensor], seed: int = 0) -> dict:
    """What tells a token's first expert, by layer: the token itself, the one before it, its place, and whose play it is.

    texts: the ids of each held-out play."""
    every = [text.unfold(0, LENGTH + 1, LENGTH)[:, None] for text in texts]
    first, gates = routed(model, torch.cat(every))  # [layer, token]
    ids = torch.cat(every)[:, 0, :-1]  # [window, token]
    features = {
        "token": ids.flatten(),
        "token before": torch.cat((ids[:, :1], ids[:, :-1]), 1).flatten(),
        "place": (torch.arange(LENGTH) // 8).expand(len(ids), -1).flatten(),
        "play": torch.cat([torch.full((part.shape[0] * LENGTH,), i) for i, part in enumerate(every)]),
    }
    dice = torch.Generator().manual_seed(seed)
    told = {name: [round(information(choice, feature, dice), 4) for choice in first] for name,
        feature in features.items()}
    share = shares(gates)
    return {
        "tokens": first.shape[1],
        "load": [[round(x, 4) for x in row] for row in share.tolist()],
        "crowding": [round(x, 3) for x in crowding(share).tolist()],
        "used": [round(x, 3) for x in used(share).tolist()],
        "told_by": told,
    }


def favourites_of(name: str) -> list[list[list[tuple[str, float]]]]:
    """[layer][expert]: the pieces of the held-out plays that it reads first most surely, with the share of their
    occurrences. Pieces that come ``COMMON`` times or more, each under its most frequent expert."""
    model, tokenizer = load(FOLDER if name == "balanced" else FOLDER / name)
    texts = [torch.tensor([*tokenizer.encode(plays()[title]), tokenizer.end_id]) for title in HELD_OUT]
    every = torch.cat([text.unfold(0, LENGTH + 1, LENGTH)[:, None] for text in texts])
    first, _ = routed(model, every)
    ids = every[:, 0, :-1].flatten()
    found = []
    for choice in first:
        rows = favourites(choice, ids, model.config.experts, COMMON)
        found.append([[(tokenizer.pieces([i])[0], round(share, 3)) for i, share, _ in sorted(
            (row for row in of if row[1] > 0.5), key=lambda row: -row[1] * row[2])[:16]] for of in rows])  # fmt: skip
    return found


def train(variant: str, seed: int, ids: Tensor, texts: list[Tensor], steps: int, lr: float) -> tuple[Model, dict]:
    """(the model, rounded to float16 as its file will keep it; what the run came to)."""
    model, options = build(config_of(variant), seed), VARIANTS[variant]
    unseen = held_out(torch.cat(texts), LENGTH, MEASURED)
    few = unseen[::9].transpose(0, 1)  # [1, window, token]: one batch, for the curve
    started = time.process_time()
    loss = with_balance(model.config, options.alpha, options.joint)
    curve = list(follow(model, loss, windows(ids, LENGTH, BATCH), few, steps, max(1, steps // 40), lr, seed))
    seconds = time.process_time() - started
    model = model.half().float().eval()
    run = {
        "seed": seed,
        "held_out_loss": round(evaluate(model, unseen), 4),
        "processor_seconds": round(seconds, 1),
        "curve": {"step": [r.step for r in curve], "loss": [round(r.loss, 4) for r in curve],
                  "unseen": [round(r.unseen, 4) for r in curve]},
    }  # fmt: skip
    if curve[-1].load:
        run["curve"]["crowding"] = [
            round(crowding(torch.tensor(r.load)).max().item(), 3) for r in curve
        ]  # of the most crowded layer
        run |= specialities(model, texts)
    shown = {key: value for key, value in run.items() if key not in ("curve", "load")}
    print(f"{variant:9} {shown}", flush=True)
    return model, run


def record_live() -> dict:
    """What the page's own runs came to where they were made, so that it has something to show before one is started."""
    runs = {}
    for k, alpha in [*itertools.product(LIVE_KS, LIVE_ALPHAS), (0, 0.0)]:
        started = time.process_time()
        seeds = [[rounded(report) for report in live(k, alpha, seed)] for seed in SEEDS]
        runs[f"{k}/{alpha}"] = seeds
        print(f"k {k}, α {alpha}: {(time.process_time() - started) / len(SEEDS):.1f} s a seed, ends {seeds[0][-1][:4]}",
            flush=True)
    return {
        "made": {"command": "python -m transformer.training.experts --recorded",
        "date": datetime.date.today().isoformat(),
                 "data": f"assets/play/{play.TITLE}.txt, in characters", "seeds": list(SEEDS), "steps": LIVE_STEPS},
        "runs": runs,
    }  # fmt: skip


def rounded(report: Report) -> list:
    """A report as it is written: [step, loss, unseen, balance, load]."""
    load = [[round(x, 3) for x in layer] for layer in report.load]
    return [report.step, round(report.loss, 3), round(report.unseen, 3), round(report.balance, 3), load]


def about(steps: int, lr: float, tokens: int) -> dict:
    """What all variants share."""
    return {
        "command": f"python -m transformer.training.experts --steps {steps} --lr {lr}",
        **source(),
        "tokenizer": "of assets/tiny",
        "tokens": tokens,
        "held_out": list(HELD_OUT),
        "held_out_tokens": MEASURED * LENGTH,
        "steps": steps,
        "tokens_a_step": LENGTH * BATCH,
        "seeds": list(SEEDS),
        "alpha": {name: variant.alpha for name, variant in VARIANTS.items()},
        "unit": "nats a token",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), metavar="VARIANT", help=", ".join(VARIANTS))
    parser.add_argument("--recorded", action="store_true", help="make only the short runs that the page can repeat")
    parser.add_argument("--favourites", action="store_true", help="make only the list of what each expert reads")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=6e-3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.recorded:
        RECORDED.write_text(json.dumps(record_live(), separators=(",", ":")) + "\n", encoding="utf-8")
        return
    if options.favourites:
        found = {name: favourites_of(name) for name in KEPT}
        (options.out / "favourites.json").write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    for variant in options.only:
        config_of(variant)  # said before anything is trained
    _, tokenizer = load("tiny")
    every = plays()
    end = [tokenizer.end_id]
    ids = torch.tensor([i for title, text in every.items() if title not in HELD_OUT
                        for i in [*tokenizer.encode(text), *end]])  # fmt: skip
    texts = [torch.tensor([*tokenizer.encode(every[title]), *end]) for title in HELD_OUT]
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "runs.json"
    rows = json.loads(file.read_text("utf-8"))["variants"] if file.is_file() else {}
    shared, today = about(options.steps, options.lr, len(ids)), datetime.date.today().isoformat()
    for variant in options.only:
        rows[variant] = []
    for seed in SEEDS:  # outermost: a run that is cut short has all variants
        for variant in options.only:
            model, run = train(variant, seed, ids, texts, options.steps, options.lr)
            rows[variant].append(run)
            if seed == SEEDS[0] and variant in KEPT:
                made = {**shared, "variant": variant, "date": today, **{k: v for k, v in run.items() if k != "curve"}}
                folder = options.out if variant == "balanced" else options.out / variant
                native.save(model.half(), tokenizer, folder, made)
            file.write_text(json.dumps({"made": {**shared, "date": today}, "variants": rows}, separators=(",", ":"))
            + "\n", "utf-8")


if __name__ == "__main__":
    main()
