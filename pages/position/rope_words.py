"""The words of the lesson on rotary position (pages/position/rope.py)."""

VIEWS = TURN, DISTANCE, BESIDE, LAYOUTS, LONGER = (
    "One pair turns", "Score by distance", "Beside sinusoids", "Two layouts", "Longer texts"
)
BASE = "Base of θ"
TURN_SAYS = ("A pair is two of the {d} numbers of the query, or of the key, drawn as one hand of a dial. The words "
             "keep their vectors; you move only their places. In the big dial the hands have their true lengths, "
             "dashed where they are not turned yet; the small dials show directions.")  # fmt: skip
DISTANCE_SAYS = ("The first panel is this head on your text: all pairs of its words, each moved to every distance. The "
                 "second is 200 pairs of normal random vectors of your seed: k = ρq + √(1−ρ²) · another.")  # fmt: skip
BESIDE_SAYS = ("{title} was trained with RoPE; its weights stand in for any learned ones. A model trained with "
               "sinusoids has others, but nothing makes them keep the property. All panels have the same speeds. "
               "“Explains” is a share of the scores' variance.")  # fmt: skip
LAYOUTS_SAYS = ("Which coordinates make a pair is a convention: halves (Llama, Hugging Face) or neighbours (the "
                "paper, GPT-J, llama.cpp's files). Permute the rows of W_Q and W_K and the other layout gives the "
                "same scores; forget it, and every score off the diagonal is another one, while the text still looks "
                "almost right.")  # fmt: skip
LONGER_SAYS = ("{title} was trained on {most:,} positions. A pair above that line never finished a turn: further on it "
               "shows angles that the model has not seen.")  # fmt: skip

LOOK_FOR = {
    TURN: "Walk both words on together: all the hands turn, each pair at its own speed, and the score does not move. "
          "Only the distance between the two words counts.",
    DISTANCE: "The same words, moved to every distance: a real head need not decay. The decay that RoPE is known for "
              "comes with likeness of q and k. Pull ρ down to 0 and it is gone.",
    BESIDE: "Five starts, the same distances. Sinusoids give one curve until $W_Q$ and $W_K$ touch them; RoPE gives "
            "one curve even after $W_Q$ and $W_K$.",
    LAYOUTS: "The first two maps are one: the same head with its coordinates in another order. The third is what a "
             "loader computes that mixes the layouts up. Its diagonal alone is right, for there nothing is turned "
             "against anything.",
    LONGER: "Every way to stretch a model turns the slow pairs more slowly. They differ in what they do to the fast "
            "ones, which tell neighbours apart.",
}

FORMULAS = {  # a line each, so that a phone has room
    TURN: (
        r"\scores{S} = \frac{(R_m\query{q})\cdot(R_n\key{k})}{\sqrt{d_k}} = "
        r"\frac{\query{q}^\top R_{n-m}\,\key{k}}{\sqrt{d_k}}",
        r"R_m \binom{a_i}{b_i} = \binom{a_i\cos m\theta_i - b_i\sin m\theta_i}{a_i\sin m\theta_i + b_i\cos m\theta_i}",
        r"\theta_i = \text{base}^{-2i/d_k}",
    ),
    DISTANCE: (
        r"(R_m\query{q})\cdot(R_n\key{k}) = \operatorname{Re}\sum_i h_i\,e^{\mathrm{i}(m-n)\theta_i}",
        r"|\dots| \le \max_i|h_{i+1}-h_i| \sum_j |S_j|",
        r"h_i = \query{\tilde q_i}\,\key{\tilde k_i^*},\quad S_j = \sum_{i<j} e^{\mathrm{i}(m-n)\theta_i}",
        r"\query{\tilde q_i} = a_i + \mathrm{i}\,b_i,\quad \mathrm{i}^2 = -1",
    ),
    BESIDE: (
        r"P_m\cdot P_n = \sum_i\cos\,(m-n)\,\theta_i",
        r"W_Q(\residual{x}+P_m)\cdot W_K(\residual{y}+P_n) \ne f(m-n)",
        r"(R_m W_Q\residual{x})\cdot(R_n W_K\residual{y}) = f(m-n)",
    ),
    LAYOUTS: (
        r"\text{halves: }(x_i,\ x_{i + d_k/2})\qquad \text{neighbours: }(x_{2i},\ x_{2i+1})",
        r"P R^{\text{halves}}_m \query{q} = R^{\text{neighbours}}_m P \query{q},\quad P: i \mapsto 2i,\ i + d_k/2 "
        r"\mapsto 2i + 1",
        r"(P\query{q})\cdot(P\key{k}) = \query{q}\cdot\key{k}",
    ),
    LONGER: (
        r"\text{linear: }\theta_i' = \theta_i/s",
        r"\text{NTK-aware: base}' = \text{base}\cdot s^{d_k/(d_k-2)}",
        r"\text{YaRN, Llama 3: } \theta_i' = (1-\gamma_i)\,\theta_i + \gamma_i\,\theta_i/s",
        r"\gamma_i = 0 \text{ for fast pairs, } 1 \text{ for slow ones}",
    ),
}

SNIPPET = """
import dataclasses, torch, transformer
from transformer import rope, scores

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
at, head = "layers.{layer}.attention.", {head}
trace = model.run(ids, record=(at + "Q_unrotated", at + "K_unrotated", at + "scores")).trace
config = dataclasses.replace(model.config, rope_base={rope_base})
q = trace[at + "Q_unrotated"][0, head]                                          # [query, d_head]
k = trace[at + "K_unrotated"][0, head * config.n_kv_heads // config.n_heads]    # [key, d_head]

theta, factor = rope.scaled_frequencies(config)
distance = torch.arange(65.0)
curve = rope.scores_by_distance(q[-1], k[max(0, len(ids) - 2)], theta, distance) * scores.scale(config) * factor**2
print(curve[:4])                            # the last word and the one before it, at distance 0, 1, 2, 3
print(trace[at + "scores"][0, head, -1])    # what the model itself computed, at the words' own places
"""

INTERVIEW = [
    ("Why rotate queries and keys, and not add positions to the embeddings?",
     "Added positions go through $W_Q$ and $W_K$ and mix with the word: four terms, and the score depends on "
     "absolute places. RoPE turns after the projections: $(R_m q)^\\top R_n k = q^\\top R_{n-m}\\,k$, content and "
     "distance only. Values are not turned: $\\sum_n A_{mn} R_n v_n$ would carry absolute places, with nothing to turn "
     "them back. Lengths stay, no parameter is added, and cached keys never have to change."),
    ("What do the fast and the slow pairs do?",
     "$\\theta_i$ falls geometrically from 1 to about 1/base. Fast pairs turn within a few words and can single out "
     "a precise offset, such as the previous word. Slow pairs hardly turn, so they behave like plain content "
     "matching at any distance. A larger base makes more of them slow, which long contexts want."),
    ("You convert a checkpoint, the text is fluent, and perplexity is four times too high. Where do you look first?",
     "At RoPE's layout. Halves and neighbours pair other coordinates; the scores agree only if the rows of $W_Q$ and "
     "$W_K$ are permuted head by head ($i \\to 2i$, $i + d_k/2 \\to 2i + 1$; with grouped keys, $W_K$ by its own "
     "number of heads). Unpermuted, lengths and the diagonal are right, so nothing crashes, but every distance is "
     "wrong. Values have no rotation and must not be permuted. Then: the base, and a scaling that the config names."),
    ("How do you run a RoPE model on texts longer than it was trained on?",
     "Positions beyond the training length turn slow pairs to angles never seen. Linear scaling divides all speeds "
     "by $s$: angles are familiar, but neighbouring words blur. NTK-aware scaling raises the base, so fast pairs "
     "hardly change. YaRN and Llama 3 keep fast pairs, squeeze slow ones, ramp between (YaRN also sharpens the "
     "softmax a little). A short fine-tuning helps all of them."),
]  # fmt: skip

SOURCES = [
    "Su et al. 2021, [RoFormer: Enhanced Transformer with Rotary Position "
    "Embedding](https://arxiv.org/abs/2104.09864), §3.4; the envelope: §3.4.3.",
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762), §3.5: the sinusoids.",
    "Chen et al. 2023, [Position Interpolation](https://arxiv.org/abs/2306.15595); Peng et al. 2023, "
    "[YaRN](https://arxiv.org/abs/2309.00071), with NTK-aware scaling in its §3.1.",
    "Barbero et al. 2024, [Round and Round We Go! What makes Rotary Positional Encodings "
    "useful?](https://arxiv.org/abs/2410.06205): what fast and slow pairs are used for in a real model.",
]  # fmt: skip

PROSE = {
    "what": "The numbers of a query and of a key are taken in pairs, and each pair is a hand on a dial. At position "
            "$m$ every hand is turned by $m\\theta_i$: the first pair by a radian a word, the last so slowly that a "
            "book is too short for one turn. The score compares hands, so what counts is the angle between them, "
            "and that depends on $m - n$ alone. Nothing is added to the words and no length changes.",
    "why": "The same two words score the same wherever the text starts, a cached key stays good for ever, and a "
           "head can tell “one word back” from “two words back” by its fast pairs while its slow pairs carry "
           "meaning over any distance. Because only angles matter, a model can be stretched to longer texts by "
           "turning more slowly.",
    "catch": "Two of them. Sinusoids have the property as well: $P_m \\cdot P_n$ depends on the distance alone. "
             "They lose it once $W_Q$, $W_K$ and the words' own vectors mix in, and RoPE keeps it because it turns "
             "afterwards. And “RoPE's scores decay with distance” is a bound for aligned $\\query{q}$ and "
             "$\\key{k}$, not a law: independent vectors do not decay at all, and a real head may rise, peak one "
             "word back, or hardly care.",
}  # fmt: skip
PREDICT = {
    "question": "Two words stand at positions 9 and 8. You put 1,000 other words in front of both. What happens to "
                "their score before the softmax?",
    "options": ["It shrinks, as they are farther from the start", "It stays exactly the same",
                "It changes, as the angles are different now"],
    "answer": "It stays exactly the same",
    "reveal": "Both hands of every pair have turned on by the same angle, so the angle between them is what it was. "
              "Try it: drag the grip “both”, or choose “Beside sinusoids” and compare the starts from 0 to 4,096. "
              "(In a deep model the words' vectors would change, as they read those 1,000 words; the rotation is "
              "innocent of that.)",
}  # fmt: skip
