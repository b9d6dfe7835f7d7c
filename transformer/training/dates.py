"""Makes assets/dates: a small encoder–decoder that reads a date as people write it and writes it as ISO 8601 does.

    python -m transformer.training.dates --out assets/dates

"Tuesday, the 3rd of May 1998" -> "1998-05-03". The pairs are generated, so that it is known which characters of the
source each character of the target comes from: its alignment can be checked, not only looked at. Days that the model
never reads in any spelling are held out. What came out, seed by seed, is written into config.json under "made".
"""

import argparse
import datetime
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer import names
from transformer.build import build
from transformer.cache import Cache
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import native
from transformer.tap import RecordingTap
from transformer.tokenizers import Characters
from transformer.training.loop import fit

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FIRST, LAST = datetime.date(1930, 1, 1), datetime.date(2029, 12, 31)  # two digits of a year: 30–99 are 19.., the others 20..
FIELDS = {"year": (0, 4), "month": (5, 7), "day": (8, 10)}  # where each stands in what is written
START = "▸"
ALPHABET = START + " ,./-'" + string.digits + string.ascii_letters

# Y four digits, y two; M the name, m three letters, n the number, N two digits; d the day, D two digits, o as an ordinal;
# W the weekday, w three letters. Slashes put the month first, dots the day.
SPELLINGS = (
    "d M Y", "M d, Y", "M d Y", "W, M d, Y", "W, M d Y", "W, d M Y", "w d m Y", "w, m d, Y", "the o of M Y", "the o of M, Y",
    "o of M Y", "o M Y", "M o, Y", "M the o, Y", "W, the o of M Y", "d m Y", "m d, Y", "m d Y", "d m 'y", "m d 'y", "d-m-Y", "d-m-y",
    "n/d/Y", "n/d/y", "N/D/Y", "N/D/y", "d.n.Y", "d.n.y", "D.N.Y", "D.N.y", "Y M d", "Y, M d", "Y-N-D", "Y/N/D", "Y m d", "YND",
    "M Y, the o", "in Y, on M d", "in Y, on the o of M",
)  # fmt: skip

CONFIG = Config(
    kind="encoder-decoder", vocab_size=len(ALPHABET), d_model=64, n_heads=4, n_layers=1, n_encoder_layers=2, d_ff=128,
    max_len=64, position="sinusoidal", norm="layer", norm_place="pre", activation="relu", init="xavier",
    scale_embeddings=True,
)  # fmt: skip
BATCH = 64
HELD_OUT = 10  # one day in ten is never read
GUIDE = 0.5  # weight of the guided alignment's loss


@dataclass(frozen=True)
class Pair:
    """A date as it is written, its ISO form, and the characters of ``text`` that each field comes from."""

    text: str
    iso: str
    spans: dict[str, tuple[int, int]]  # field -> (begin, end)


def spelled(date: datetime.date, spelling: str, weekday: int | None = None, case: Callable[[str], str] = str) -> Pair:
    """``date`` written out as one of ``SPELLINGS`` says, with its own weekday unless another is given."""
    text, spans = "", {}
    for field, part in _parts(date, spelling, DAYS[date.weekday() if weekday is None else weekday]):
        if field is not None:
            spans[field] = (len(text), len(text) + len(part))
        text += part
    return Pair(case(text), date.isoformat(), spans)


def _parts(date: datetime.date, spelling: str, weekday: str) -> list[tuple[str | None, str]]:
    """The spelling's pieces in order, each with the field that it gives, if any."""
    day, month, year = date.day, MONTHS[date.month - 1], f"{date.year:04}"
    of_letter = {
        "Y": ("year", year), "y": ("year", year[2:]), "M": ("month", month), "m": ("month", month[:3]),
        "n": ("month", str(date.month)), "N": ("month", f"{date.month:02}"), "d": ("day", str(day)),
        "D": ("day", f"{day:02}"), "o": ("day", f"{day}{_ordinal(day)}"), "W": (None, weekday), "w": (None, weekday[:3]),
    }  # fmt: skip
    words = ("the", "of", "in", "on")
    found, i = [], 0
    while i < len(spelling):
        word = next((w for w in words if spelling.startswith(w, i) and not spelling[i + len(w) :][:1].isalpha()), None)
        if word is not None:
            found.append((None, word))
            i += len(word)
        else:
            found.append(of_letter.get(spelling[i], (None, spelling[i])))
            i += 1
    return found


def _ordinal(day: int) -> str:
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def is_held_out(date: datetime.date) -> bool:
    """Whether this day is one that training never reads, in any spelling: a tenth of all, spread evenly."""
    return date.toordinal() * 7919 % HELD_OUT == 0


def days(held_out: bool) -> list[datetime.date]:
    """All days between FIRST and LAST that are held out, or all the others."""
    every = (FIRST + datetime.timedelta(i) for i in range((LAST - FIRST).days + 1))
    return [date for date in every if is_held_out(date) == held_out]


def test_pairs(n: int, seed: int = 1) -> list[Pair]:
    """``n`` pairs of held-out days, spellings in turn."""
    return draw(days(held_out=True), [i % len(SPELLINGS) for i in range(n)], torch.Generator().manual_seed(seed))


def draw(pool: list[datetime.date], how: list[int], generator: torch.Generator) -> list[Pair]:
    """A day of ``pool`` for each spelling. The weekday is any of the seven: people err in it, and the date should not;
    one text in eight is all small letters, and one all capitals."""
    n = len(how)
    which = torch.randint(len(pool), (n,), generator=generator).tolist()
    weekday = torch.randint(7, (n,), generator=generator).tolist()
    case = torch.randint(8, (n,), generator=generator).tolist()
    return [spelled(pool[i], SPELLINGS[k], w, {0: str.lower, 1: str.upper}.get(c, str))
            for i, k, w, c in zip(which, how, weekday, case, strict=True)]  # fmt: skip


def tensors(pairs: list[Pair], tokenizer: Characters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """source [batch, key], real [batch, key], target [batch, 11] with its start, and where each character of it comes
    from, [batch, 10, key] bool: the field's own characters; nothing for the hyphens."""
    width = max(len(pair.text) for pair in pairs)
    source, real = torch.zeros(len(pairs), width, dtype=torch.long), torch.zeros(len(pairs), width, dtype=torch.bool)
    origin = torch.zeros(len(pairs), 10, width, dtype=torch.bool)
    for i, pair in enumerate(pairs):
        ids = tokenizer.encode(pair.text)
        source[i, : len(ids)], real[i, : len(ids)] = torch.tensor(ids), True
        for field, (begin, end) in pair.spans.items():
            first, last = FIELDS[field]
            origin[i, first:last, begin:end] = True
    target = torch.tensor([[tokenizer.start_id, *tokenizer.encode(pair.iso)] for pair in pairs])
    return source, real, target, origin


def train(steps: int, seed: int, lr: float, guide: float = GUIDE) -> tuple[Model, Characters, float]:
    """(model with weights rounded to float16, tokenizer, minutes)."""
    tokenizer, pool = Characters(ALPHABET, START), days(held_out=False)

    def batch(generator: torch.Generator) -> tuple[Tensor, ...]:
        return tensors(draw(pool, torch.randint(len(SPELLINGS), (BATCH,), generator=generator).tolist(), generator), tokenizer)

    model, started = build(CONFIG, seed), time.monotonic()
    for step, loss, *_, metrics in fit(model, batch, steps, loss=guided(guide), lr=lr, warmup=200, seed=seed):
        if step % 200 == 0 or step == steps:
            print(f"seed {seed}  step {step}/{steps}  loss {loss:.3f}  {metrics}  {time.monotonic() - started:.0f} s", flush=True)
    return model.half().float().eval(), tokenizer, (time.monotonic() - started) / 60


def guided(weight: float):
    """Next-character cross-entropy, and ``weight`` times −log of what head 0 of the last layer's cross-attention gives
    to the field that the character comes from (guided alignment: Chen et al. 2016, arXiv:1607.01628, which is how
    Marian's students are trained, too). 0 leaves attention to find its own way."""

    def loss(model: Model, examples: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        source, real, target, origin = examples
        name = f"layers.{model.config.n_layers - 1}.cross.A"
        tap = RecordingTap(name if weight else (), names=names.of(model.config), gradients=True)
        logits = model(target[:, :-1], source, source_real=real, tap=tap)  # [batch, 10, vocab]
        plain = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten())
        if not weight:
            return plain, {"cross_entropy": plain}
        right = (tap.trace[name][:, 0] * origin).sum(-1)[origin.any(-1)]  # [digit]
        aligned = -right.clamp(min=1e-9).log().mean()
        return plain + weight * aligned, {"cross_entropy": plain, "alignment": aligned}

    return loss


@torch.no_grad()
def measure(model: Model, tokenizer: Characters, pairs: list[Pair]) -> dict:
    """Greedy writing and alignment on ``pairs``.

    exact: the share written without a fault. aligned: the share of digits whose strongest cross-attention lies in the
    right field, for each head of the last layer, and for the mean of its heads; read from the rows that write the true
    date, hyphens left out.
    """
    source, real, target, origin = tensors(pairs, tokenizer)
    ids = written = target[:, :1]
    cache, read = Cache.empty(model.config.n_layers), {"source": source, "source_real": real}
    for _ in range(10):
        logits, cache = model.extend(ids, cache, **read)
        ids, read = logits.argmax(-1), {}
        written = torch.cat((written, ids), 1)
    name = f"layers.{model.config.n_layers - 1}.cross.A"
    A = model.run(target[:, :-1], source, source_real=real, record=name).trace[name]  # [batch, head, 10, key]
    heads = torch.cat((A, A.mean(1, keepdim=True)), 1).argmax(-1)  # [batch, head + 1, 10]
    hit = origin.gather(-1, heads.transpose(1, 2)).transpose(1, 2)  # [batch, head + 1, 10]
    shares = [hit[:, h][origin.any(-1)].float().mean().item() for h in range(hit.shape[1])]
    return {
        "exact": round((written == target).all(1).float().mean().item(), 4),
        "aligned_heads": [round(share, 4) for share in shares[:-1]],
        "aligned_mean": round(shares[-1], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "assets" / "dates")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--guide", type=float, default=GUIDE)
    arguments = parser.parse_args()
    pairs, runs, kept = test_pairs(2000), [], None
    for guide in (arguments.guide, 0.0):  # without a guide for contrast
        for seed in range(arguments.seeds):
            model, tokenizer, minutes = train(arguments.steps, seed, arguments.lr, guide)
            runs.append({"guide": guide, "seed": seed, "minutes": round(minutes, 1), **measure(model, tokenizer, pairs)})
            print(runs[-1], flush=True)
            kept = (model, tokenizer) if kept is None else kept  # the first is shipped, however it did
    made = {
        "command": f"python -m transformer.training.dates --steps {arguments.steps} --seeds {arguments.seeds} "
        f"--lr {arguments.lr} --guide {arguments.guide}",
        "date": datetime.date.today().isoformat(),
        "data": f"generated: days from {FIRST} to {LAST} in {len(SPELLINGS)} spellings, one day in {HELD_OUT} held out",
        "steps": arguments.steps, "pairs_a_step": BATCH, "threads": torch.get_num_threads(),
        "tested_on": f"{len(pairs)} pairs of held-out days", "shipped": {"guide": arguments.guide, "seed": 0}, "runs": runs,
    }  # fmt: skip
    native.save(kept[0].half(), kept[1], arguments.out, made)


if __name__ == "__main__":
    main()
