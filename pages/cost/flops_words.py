"""The words of the lesson on FLOPs (pages/cost/flops.py)."""

INTERVIEW = [
    ("At what length does attention cost more than the FFN?",
     "For a plain block a layer costs 8nd² for the projections, 4n²d for the n² products and 16nd² for the FFN. With "
     "the projections counted they meet at n = 2d, by the n² products alone at n = 4d: thousands of tokens for real "
     "models, so “attention is the bottleneck because it is quadratic” is wrong for short texts."),
    ("Why do people say 2N FLOPs a token for a forward pass, and 6N for training?",
     "Each weight is used in one multiply-accumulate a token: 2 FLOPs. The backward pass needs two such products, one "
     "for the inputs' gradient and one for the weights': 4 more. It leaves out scores and z, so it holds while n is "
     "small beside d, and N should leave out embeddings that are only looked up."),
    ("What do grouped-query attention and the causal mask save?",
     "Grouped heads make W_K and W_V and the KV cache smaller by h / h_kv; every query head still scores every key, so "
     "the n² products cost the same. The mask makes half of the scores useless, and saves their FLOPs only where a "
     "kernel skips the blocks above the diagonal."),
]  # fmt: skip
SOURCES = [
    "Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), table 1: complexity per layer",
    "Kaplan et al. 2020, [Scaling laws](https://arxiv.org/abs/2001.08361), §2.1: 2N FLOPs a token",
    "Hoffmann et al. 2022, [Chinchilla](https://arxiv.org/abs/2203.15556), appendix F: the same sum, part by part",
    "Ainslie et al. 2023, [GQA](https://arxiv.org/abs/2305.13245)",
    "Dao et al. 2022, [FlashAttention](https://arxiv.org/abs/2205.14135): why FLOPs are not time",
    "`torch.utils.flop_counter`, whose formulas count here",
]  # fmt: skip
