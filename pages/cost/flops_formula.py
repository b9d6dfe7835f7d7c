"""The sum of a forward pass as LaTeX, for the lesson on FLOPs (pages/cost/flops.py)."""

from charts import cost as pictures
from transformer import Config, cost


def times_d(n: float, d: int) -> str:
    return f"{n / d:.3g} d"


def whole(number: float) -> str:
    return f"{number:,.0f}"


def unit(flops: int) -> str:
    """Three digits and a unit, as LaTeX: 30.6 G."""
    power = min(max(0, (len(str(flops)) - 1) // 3), 6)
    return rf"{flops / 1000**power:.3g}\,\text{{{' KMGTPE'[power].strip()}}}"


def tex(number: int) -> str:
    return f"{number:,}".replace(",", r"\,")


def is_plain(config: Config) -> bool:
    """Plain multi-head attention and d_ff = 4d, for which the textbook's short formula holds."""
    square = config.n_heads * config.d_head == config.d_model and config.n_kv_heads == config.n_heads
    return square and config.d_ff == 4 * config.d_model and not config.gated


def formula_of(config: Config) -> str:
    """The sum, a line for each way of growing; where the block is plain, each line in the textbook's short form too."""
    ffn = r"\ffn{6nd\,d_{ff}}" if config.gated else r"\ffn{4nd\,d_{ff}}"
    rows = [
        (r"\phantom{+}\;\query{2nd\,hd_k} + \residual{2nd\,hd_k}", "4nd^2", "Q, W_O"),
        (r"+\;\key{2nd\,h_{kv}d_k} + \value{2nd\,h_{kv}d_k}", "4nd^2", "K, V"),
        (r"+\;\scores{2n^2\,hd_k} + \attention{2n^2\,hd_k}", "4n^2d", "S, z"),
        (r"+\;" + ffn, "16nd^2", r"\text{FFN}"),
    ]
    short_too = is_plain(config)
    lines = [r"F(n) =\;& \text{layers}\times\big("]
    lines += [rf"& {long}{f' = {short}' if short_too else ''} && \small {made}" for long, short, made in rows]
    lines.append(r"& \big)" + (r" + \output{2nd\,V} && \small \ell" if config.head == "lm" else ""))
    return r"\begin{aligned}" + r"\\".join(lines) + r"\end{aligned}"


def numbers_of(config: Config, n: int, logits: bool) -> str:
    """The matrix products of this n, one a line (2 · rows · inner · columns · times), and their sum."""
    symbols = dict(zip(
        [part.key for part in pictures.PARTS], ["z", "S", "W_O", "V", "K", "Q", r"\text{FFN}", r"\ell"], strict=True,
    ))  # fmt: skip
    role = {part.key: part.role for part in pictures.PARTS}
    products = [p for p in cost.matmuls(config, n) if logits or p.part != "logits"]
    lines = []
    for p in products:
        factors = r"\cdot".join(tex(size) for size in (2, p.rows, p.inner, p.columns, p.times))
        lines.append(rf"\{role[p.part]}{{{symbols[p.part]}}}:\;& {factors} = {unit(p.flops)}")
    lines.append(rf"\textstyle\sum:\;& {tex(sum(p.flops for p in products))}")
    return r"\small\begin{aligned}" + r"\\".join(lines) + r"\end{aligned}"
