"""Trains small models with λ‖W‖₁ in two ways, by the optimiser and by proximal steps, for the lesson on sparsity.

    for report in train("digits", "proximal", 1e-4, seed=0): report.zero, report.kept

    python -m transformer.training.sparse_weights     # 10 minutes; assets/measured/sparsity.json.xz, assets/sparsity

``train`` is what a learner starts live; the file holds the same runs by the same function. Every run learns without the
penalty for its first fifth: gradients of a model that has learnt nothing are so small that λ would outweigh them all.
"""

import argparse
import datetime
import json
import lzma
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from safetensors import torch as tensors
from torch import Tensor

from transformer import sparsity
from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.schedule import Schedule, cosine
from transformer.training import digits, objectives, patterns, play
from transformer.training.loop import Batch, Examples, Loss, Metrics, Progress, State, evaluate, fit, next_token_loss

Problem = Literal["digits", "digits, SGD", "characters"]
Way = Literal["plain", "loss", "proximal"]  # no λ; λ‖W‖₁ in the loss; a soft threshold behind each step
PROBLEMS, WAYS = get_args(Problem), get_args(Way)
LAMBDAS = 1e-5, 3e-5, 1e-4, 3e-4
TELLING = 1e-4  # of the runs that are pruned, and of the models that are kept
SEEDS, OWN_SEED = (0, 1, 2), 3  # recorded; the learner's
STEPS, EVERY, ALONE = 400, 40, 80  # of a run; between two reports; without λ
EDGES = torch.logspace(-8, 0.5, 69, dtype=torch.float64)  # of |w| in the histograms: eight bins for a factor of ten
CUTS = torch.cat(
    (torch.zeros(1, dtype=torch.float64), torch.logspace(-6, 1, 71, dtype=torch.float64))
)  # of neurons; 0: exactly
SHARES = [i / 50 for i in range(51)]  # pruned
LENGTH, BATCH, MEASURED = 48, 12, 64  # characters a window, windows a step, windows that a loss is the mean of
TRACED, TRACED_AT = 48, 3e-4  # weights that are followed step by step, and λ there
FOLDER = Path(__file__).parents[2] / "assets"
FILE = FOLDER / "measured" / "sparsity.json.xz"


class Report(NamedTuple):
    """Where a run stands after ``step`` steps."""

    step: int
    loss: float  # of the task alone, the mean since the last report
    kept: float  # on what it has not seen: accuracy of digits; nats a character of text
    small: float  # share of the matrices' weights below 10⁻³
    zero: float  # exactly 0
    counts: tuple[int, ...]  # by |w| between EDGES, what is exactly 0 left out


class Setting(NamedTuple):
    """What a problem trains on."""

    config: Config
    batch: Batch
    loss: Loss
    lr: float


def setting(problem: Problem) -> Setting:
    """ValueError where there is no such problem."""
    match problem:
        case "digits":
            return Setting(digits.small(patch_size=4), digits.batches(64), objectives.classified(), 5e-3)
        case "digits, SGD":
            return Setting(digits.small(patch_size=4), digits.batches(64), objectives.classified(), 1.0)
        case "characters":
            return Setting(reader(), patterns.windows(play.load().ids, LENGTH, BATCH), next_token_loss, 5e-3)
    raise ValueError(f"there is no problem {problem!r}; there is {', '.join(PROBLEMS)}.")


def rate(problem: Problem, steps: int = STEPS) -> Schedule:
    """The learning rate of a run."""
    return cosine(setting(problem).lr, steps, warmup=20)


def reader() -> Config:
    """The decoder that reads the play in characters; its neurons are ReLUs."""
    return Config(
        vocab_size=play.load().tokenizer.vocab_size, d_model=48, n_layers=2, n_heads=4, max_len=256, position="rope",
        norm="rms", tie_embeddings=True, activation="relu",
    )  # fmt: skip


def with_l1(loss: Loss, lam: float) -> Loss:
    """``loss`` + λ‖W‖₁ over the model's matrices, for ``fit``; reports the loss itself as "loss".

    Autograd's slope of |w| is sign(w), and 0 at 0: of one size however small w is. So an optimiser's step does not stop
    at 0, it jumps over it and comes back.
    """

    def penalised(model: Model, examples: Examples) -> tuple[Tensor, Metrics]:
        L = loss(model, examples)
        L, metrics = L if isinstance(L, tuple) else (L, {})
        return L + lam * sparsity.l1(sparsity.matrices(model).values()), {**metrics, "loss": L.detach()}

    return penalised


def steps_of(
    problem: Problem, way: Way, lam: float, seed: int, steps: int = STEPS, alone: int = ALONE
) -> Iterator[tuple[Model, Progress]]:  # fmt: skip
    """Train, and hand out the model after each step. Adam without decay; "digits, SGD": without momentum."""
    of = setting(problem)
    model = build(of.config, seed)
    state = State.start(model, weight_decay=0.0, seed=seed)
    if problem == "digits, SGD":
        state.optimiser = torch.optim.SGD(model.parameters())
    weights, lr = list(sparsity.matrices(model).values()), rate(problem, steps)
    for at in fit(model, of.batch, min(alone, steps), loss=of.loss, lr=lr, state=state):
        yield model, at
    loss = with_l1(of.loss, lam) if way == "loss" else of.loss
    for at in fit(model, of.batch, steps, loss=loss, lr=lr, state=state):
        if way == "proximal":
            sparsity.proximal_step(state.optimiser, weights, at.lr, lam)
        yield model, at


def train(
    problem: Problem, way: Way, lam: float, seed: int, steps: int = STEPS, every: int = EVERY, alone: int = ALONE
) -> Iterator[Report]:  # fmt: skip
    """Train one model; steps / every reports. The first ``alone`` steps are without λ."""
    recent: list[float] = []
    for model, at in steps_of(problem, way, lam, seed, steps, alone):
        recent.append(at.metrics.get("loss", at.loss))
        if at.step % every == 0:
            yield report(problem, model, at.step, sum(recent) / len(recent))
            recent = []


def report(problem: Problem, model: Model, step: int, loss: float = math.nan) -> Report:
    """Measure a model as ``train`` does."""
    weights = list(sparsity.matrices(model).values())
    counts, _ = sparsity.magnitudes(weights, EDGES)
    return Report(
        step,
        loss,
        measured(problem, model),
        sparsity.share_small(weights),
        sparsity.share_zero(weights),
        tuple(counts.tolist()),
    )


def measured(problem: Problem, model: Model) -> float:
    """On what it has not seen: the share of digits that it names, or nats a character."""
    if problem == "characters":
        return evaluate(model, [patterns.held_out(play.load().unseen, LENGTH, MEASURED)[:, 0]])
    return digits.accuracy(model, digits.load().unseen)


def curve(problem: Problem, model: Model, scope: sparsity.Scope, seed: int) -> list[float]:
    """What ``measured`` says when so much is pruned, for each of SHARES."""
    return [measured(problem, sparsity.pruned(model, share, scope, seed)) for share in SHARES]


def traced(problem: Problem, way: Way, lam: float, seed: int = 0, steps: int = STEPS) -> Tensor:
    """``TRACED`` weights spread over the first FFN's W_1, step by step.   -> [weight, step]"""
    seen = []
    for model, _ in steps_of(problem, way, lam, seed, steps):
        W = model.stack.blocks[0].ffn.W_1.weight.detach().flatten()
        seen.append(W[:: len(W) // TRACED + 1].clone())  # of all rows and columns
    return torch.stack(seen, 1)


def stem(problem: Problem, way: Way) -> Path:
    """Where a trained model's weights lie."""
    return FOLDER / "sparsity" / f"{problem}-{way}.safetensors.xz"


def save(model: Model, path: Path) -> None:
    """Weights in bfloat16, which keeps both what is exactly 0 and what is nearly so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: W.detach().bfloat16().contiguous() for name, W in model.state_dict().items()}
    path.write_bytes(lzma.compress(tensors.save(kept), preset=9 | lzma.PRESET_EXTREME))


def load(problem: Problem, way: Way) -> Model:
    """A model that ``main`` trained with seed 0 and λ = TELLING, in eval mode."""
    model = build(setting(problem).config, 0)
    kept = tensors.load(lzma.decompress(stem(problem, way).read_bytes()))
    model.load_state_dict({name: W.float() for name, W in kept.items()})
    return model.eval()


@torch.no_grad()
def neurons(text: str) -> tuple[list[Tensor], str]:
    """(the ReLU neurons of the decoder in characters, one [character, ff] for each layer; what it read of the text): the
    characters that the play has, the last of them where there are too many. ValueError where none is left."""
    model, tokenizer = load("characters", "plain"), play.load().tokenizer
    read = "".join(c for c in text if c in tokenizer.alphabet)[-model.config.max_len :]
    if not read:
        raise ValueError("our decoder knows the characters of one English play, and the text has none of them.")
    trace = model.run(tokenizer.encode(read), record=("*.ffn.post",)).trace
    return [trace[f"layers.{i}.ffn.post"][0] for i in range(model.config.n_layers)], read


def recorded() -> dict:
    """What ``main`` wrote."""
    return json.loads(lzma.decompress(FILE.read_bytes()))


def key(problem: Problem, way: Way, lam: float) -> str:
    """The name of a run in the file; a plain one has no λ."""
    return f"{problem} {way}" if way == "plain" else f"{problem} {way} {lam:g}"


def _run(problem: Problem, way: Way, lam: float, seed: int) -> tuple[dict[str, list], Model, float]:
    started, reports, recent = time.process_time(), [], []
    for model, at in steps_of(problem, way, lam, seed):
        recent.append(at.metrics.get("loss", at.loss))
        if at.step % EVERY == 0:
            reports.append(report(problem, model, at.step, sum(recent) / len(recent)))
            recent = []
    columns = {field: [_rounded(getattr(one, field)) for one in reports] for field in Report._fields}
    return columns, model.eval(), time.process_time() - started


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FILE)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    found: dict = {"runs": {}, "seconds": {}, "pruned": {}, "traced": {}}
    works: list[tuple[Problem, Way, float]] = [
        (problem, way, lam) for problem in PROBLEMS for way in WAYS for lam in (LAMBDAS if way != "plain" else (0.0,))
    ]
    for problem, way, lam in works:
        name = key(problem, way, lam)
        for seed in SEEDS:
            columns, model, seconds = _run(problem, way, lam, seed)
            if seed != SEEDS[0]:
                del columns["counts"]  # one seed's histogram is drawn
            found["runs"].setdefault(name, []).append(columns)
            found["seconds"].setdefault(name, []).append(round(seconds, 2))
            print(name, seed, {k: v[-1] for k, v in columns.items() if k != "counts"}, round(seconds, 1), flush=True)
            if lam in (0.0, TELLING) and problem != "digits, SGD":
                if seed == SEEDS[0]:
                    save(model, stem(problem, way))
                curves = {
                    scope: [_rounded(v) for v in curve(problem, model, scope, seed)]
                    for scope in get_args(sparsity.Scope)
                }
                found["pruned"].setdefault(f"{problem} {way}", []).append(curves)
    for problem in ("digits", "digits, SGD"):
        for way in ("loss", "proximal"):
            found["traced"][f"{problem} {way}"] = [
                [float(f"{w:.4g}") for w in row] for row in traced(problem, way, TRACED_AT).tolist()
            ]
    made = {
        "command": "python -m transformer.training.sparse_weights", "date": datetime.date.today().isoformat(),
        "data": f"assets/digits; assets/play, {play.TITLE}", "seeds": list(SEEDS), "lambdas": list(LAMBDAS), "steps": STEPS,
    }  # fmt: skip
    out.write_bytes(lzma.compress(json.dumps({"made": made} | found).encode(), preset=9))


if __name__ == "__main__":
    main()
