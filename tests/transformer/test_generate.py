"""Generation and the prefix cache: cached = uncached, step by step = in one go, greedy = Hugging Face's greedy."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import transformer
from transformer import sampling
from transformer.generate import generate_batch
from transformer.prefix import PrefixCache

PROMPT = [5, 17, 3, 88, 41]


def decoder(position="rope", **options):
    config = transformer.Config(
        **dict(vocab_size=120, d_model=32, n_layers=3, n_heads=4, n_kv_heads=2, position=position, max_len=64) | options
    )
    return sharp(transformer.build(config, seed=0).eval())


def sharp(model):
    """Random weights of usual size give almost uniform logits, which would test nothing: make them say something."""
    with torch.no_grad():
        model.embedding.W_E.weight.mul_(20)
    return model


def tokens(model, ids=PROMPT, **settings):
    return [step.token for step in transformer.generate(model, ids, exact=True, **settings)]


@pytest.mark.parametrize("position", ["rope", "learned", "sinusoidal", "none"])
def test_cached_generation_equals_reading_everything_anew(position):
    model, ids = decoder(position), list(PROMPT)
    for step in transformer.generate(model, PROMPT, max_new_tokens=24, temperature=0, exact=True):
        logits = model.run(ids).output[0, -1]
        torch.testing.assert_close(step.logits, logits, rtol=1e-5, atol=1e-5)
        assert step.token == logits.argmax()
        assert step.probability == pytest.approx(logits.softmax(-1).max().item(), rel=1e-4)
        ids.append(step.token)


def hugging_face():
    theirs_config = LlamaConfig(
        vocab_size=120, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, rope_theta=10_000.0,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = LlamaForCausalLM(theirs_config).eval()
    with torch.no_grad():
        theirs.model.embed_tokens.weight.mul_(20)
    return theirs


def test_greedy_equals_huggingface_greedy():
    theirs = hugging_face()
    ours = transformer.from_state_dict("llama", theirs.config.to_dict(), theirs.state_dict())
    expected = theirs.generate(torch.tensor([PROMPT]), max_new_tokens=24, do_sample=False, eos_token_id=None)
    assert tokens(ours, max_new_tokens=24, temperature=0) == expected[0, len(PROMPT) :].tolist()


def test_a_seed_repeats_the_text_and_another_writes_another():
    model = decoder()
    one = tokens(model, max_new_tokens=20, temperature=1.5, seed=1)
    assert one == tokens(model, max_new_tokens=20, temperature=1.5, seed=1)
    assert one != tokens(model, max_new_tokens=20, temperature=1.5, seed=2)


def test_the_whole_process_state_plays_no_part_in_a_seeded_text():
    model = decoder()
    torch.manual_seed(1)
    one = tokens(model, max_new_tokens=10, seed=3)
    torch.manual_seed(2)
    assert one == tokens(model, max_new_tokens=10, seed=3)


def test_probability_is_that_of_the_distribution_drawn_from():
    model = decoder()
    for step in transformer.generate(model, PROMPT, max_new_tokens=8, temperature=0.7, top_k=5, seed=0, exact=True):
        q = sampling.probabilities(step.logits, 0.7, top_k=5)
        assert step.probability == q[step.token] > 0


@pytest.mark.parametrize(
    "setting", [{"temperature": 0}, {}, {"temperature": 1.7, "top_p": 0.8}, {"top_k": 7, "min_p": 0.05}]
)
def test_separate_steps_write_what_one_call_writes(setting):
    """As the page does it: each step only knows the ids so far, the settings, the seed and its own number."""
    model, written = decoder(), []
    prefixes = PrefixCache(model)
    for u in sampling.dice(11, 16).tolist():
        p = sampling.probabilities(prefixes.logits(PROMPT, written), **setting)
        written.append(int(sampling.pick(p, u)))
    assert written == tokens(model, max_new_tokens=16, seed=11, **setting)


def test_prefix_logits_are_the_generators_bit_for_bit_whichever_way_one_came():
    model = decoder()
    steps = list(transformer.generate(model, PROMPT, max_new_tokens=12, seed=5, exact=True))
    written = [step.token for step in steps]
    cold, walked = PrefixCache(model), PrefixCache(model)
    assert torch.equal(cold.logits(PROMPT, written[:11]), steps[11].logits)
    for t in (3, 0, 11, 7, 11):  # forward, back, far ahead, back, again
        assert torch.equal(walked.logits(PROMPT, written[:t]), steps[t].logits)
    # another token in the middle must not disturb what was written after the first choice
    other = [*written[:4], (written[4] + 1) % 120]
    anew = model.run(PROMPT + other).output[0, -1]
    torch.testing.assert_close(walked.logits(PROMPT, other), anew, rtol=1e-5, atol=1e-5)
    assert torch.equal(walked.logits(PROMPT, written[:11]), steps[11].logits)


def test_a_step_reads_one_token_and_going_back_reads_none(monkeypatch):
    model = decoder()
    prefixes, read, extend = PrefixCache(model), [], model.extend
    monkeypatch.setattr(model, "extend", lambda ids, *a, **k: (read.append(ids.shape[1]), extend(ids, *a, **k))[1])
    prefixes.logits(PROMPT)
    prefixes.logits(PROMPT, [7])
    prefixes.logits(PROMPT, [7, 9])
    prefixes.logits(PROMPT, [7])
    prefixes.logits(PROMPT)
    assert read == [len(PROMPT), 1, 1]


def test_prefix_memory_is_bounded_and_what_was_dropped_is_read_again():
    model = decoder()
    prefixes = PrefixCache(model, most_bytes=200_000)
    first = prefixes.logits(PROMPT).clone()
    for i in range(60):
        prefixes.logits([i, *PROMPT])
        assert prefixes.nbytes <= 200_000
    assert torch.equal(prefixes.logits(PROMPT), first)


def test_the_caller_may_differentiate_what_a_step_gives():
    target = torch.randn(120, requires_grad=True)
    for exact in (False, True):
        for step in transformer.generate(decoder(), PROMPT, max_new_tokens=2, exact=exact):
            assert not torch.is_inference_mode_enabled()
            (step.logits * target).sum().backward()
            torch.testing.assert_close(target.grad, step.logits)
            target.grad = None


def test_generation_stops_where_told_and_where_positions_end():
    model = decoder("learned")
    all_tokens = tokens(model, max_new_tokens=20, temperature=0)
    stop = all_tokens[6]
    assert tokens(model, max_new_tokens=20, temperature=0, stop=stop) == all_tokens[: all_tokens.index(stop) + 1]
    assert len(tokens(model, max_new_tokens=500, temperature=0)) == 64 - len(PROMPT) + 1


@pytest.mark.parametrize("wrong, said", [
    ({"max_new_tokens": -1}, "max_new_tokens"), ({"temperature": -1.0}, "temperature"), ({"top_k": 0}, "top_k"),
    ({"record": "layers.9.attention.A"}, "no tensor"), ({"ids": []}, "no token"), ({"ids": [500]}, "outside"),
    ({"ids": [[1], [2]]}, "one text"),
])  # fmt: skip
def test_bad_calls_are_refused_at_the_call_in_one_sentence(wrong, said):
    ids = wrong.pop("ids", PROMPT)
    with pytest.raises(ValueError, match=said):
        transformer.generate(decoder(), ids, **wrong)


def test_an_encoder_has_no_next_token():
    encoder = transformer.build(transformer.Config(kind="encoder", vocab_size=50, d_model=16, n_heads=2), seed=0)
    with pytest.raises(ValueError, match="only a decoder"):
        transformer.generate(encoder, [1, 2])
    with pytest.raises(ValueError, match="only a decoder"):
        PrefixCache(encoder)


def test_prefix_refuses_what_the_model_cannot_read():
    prefixes = PrefixCache(decoder("learned"))
    with pytest.raises(ValueError, match="no token"):
        prefixes.logits([])
    with pytest.raises(ValueError, match="outside the vocabulary"):
        prefixes.logits(PROMPT, [5000])
    with pytest.raises(ValueError, match="positions"):
        prefixes.logits([1] * 64, [2])


def test_a_drawn_text_can_be_likelier_than_the_greedy_one(smollm2):
    """What the lesson on the next token says of SmolLM2, and the link that it gives."""
    model, tokenizer = smollm2
    prompt = tokenizer.encode("Water boils at 100 degrees")
    settings = {"temperature": 0}, {"temperature": 0.7, "seed": 9}
    texts, bits = [], []
    for setting in settings:
        steps = list(transformer.generate(model, prompt, max_new_tokens=8, exact=True, **setting))
        texts.append([step.token for step in steps])
        bits.append(-sum(sampling.tempered(step.logits, 1.0)[step.token].log2().item() for step in steps))
    assert tokenizer.decode(texts[0]) == " Celsius, which is approximately 21"
    assert tokenizer.decode(texts[1]) == " Celsius (212 degrees Fahrenheit)"
    assert texts[1] == [20590, 365, 34, 33, 34, 5027, 21391, 25]
    assert [f"{b:.1f}" for b in bits] == ["9.0", "6.7"]


# ---- repetition penalty

@pytest.mark.parametrize("penalty", [1.0, 1.3, 3.0, 0.7])
def test_greedy_with_a_penalty_is_hugging_faces(penalty):
    theirs = hugging_face()
    ours = transformer.from_state_dict("llama", theirs.config.to_dict(), theirs.state_dict())
    expected = theirs.generate(
        torch.tensor([PROMPT]), max_new_tokens=24, do_sample=False, eos_token_id=None, repetition_penalty=penalty
    )
    said = tokens(ours, max_new_tokens=24, temperature=0, repetition_penalty=penalty)
    assert said == expected[0, len(PROMPT) :].tolist()


def test_a_penalty_turns_a_text_away_from_itself():
    model = decoder()
    plain, penalised = (tokens(model, max_new_tokens=30, temperature=0, repetition_penalty=p) for p in (1.0, 5.0))
    assert len(set(plain)) < len(set(penalised)) and not set(penalised) & set(PROMPT)
    assert len(set(penalised)) == 30
    for step in transformer.generate(model, PROMPT, max_new_tokens=4, repetition_penalty=2.0, seed=1):
        p = sampling.probabilities(sampling.penalised(step.logits, torch.tensor(PROMPT), 2.0))
        assert step.probability == p[step.token]
        break


# ---- several texts at once

PROMPTS = [[5, 17, 3, 88, 41], [9], [100, 2, 2, 54, 7, 81, 33, 12], [60, 61]]


@pytest.mark.parametrize("options", [
    {}, {"position": "learned"}, {"position": "sinusoidal"}, {"position": "none"}, {"position": "alibi"},
    {"position": "t5"}, {"attention": "window", "window": 3}, {"attention": "dilated", "dilation": 2},
    {"experts": 3, "experts_per_token": 2}, {"attention": "linear", "n_kv_heads": 4},
    {"attention": "latent", "n_kv_heads": 4}, {"attention": "performer", "n_kv_heads": 4},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("setting", [{"temperature": 0}, {"temperature": 0.8, "top_k": 20}])
def test_texts_of_unequal_length_go_on_as_each_would_alone(options, setting):
    model = decoder(**{"position": "rope"} | options).double()
    together: list[list[int]] = [[] for _ in PROMPTS]
    probabilities: list[list[float]] = [[] for _ in PROMPTS]
    for steps in generate_batch(model, PROMPTS, max_new_tokens=10, seed=40, repetition_penalty=1.2, **setting):
        for i, step in enumerate(steps):
            together[i].append(step.token)
            probabilities[i].append(step.probability)
    for i, prompt in enumerate(PROMPTS):
        usual = dict(max_new_tokens=10, repetition_penalty=1.2, exact=True)
        alone = list(transformer.generate(model, prompt, seed=40 + i, **usual, **setting))
        assert together[i] == [step.token for step in alone]
        assert probabilities[i] == pytest.approx([step.probability for step in alone], rel=1e-6)


def test_each_text_of_a_batch_stops_by_itself():
    model = decoder()
    alone = [tokens(model, prompt, max_new_tokens=12, temperature=0) for prompt in PROMPTS]
    stop = {alone[0][3], alone[2][7]}
    expected = [tokens(model, prompt, max_new_tokens=12, temperature=0, stop=stop) for prompt in PROMPTS]
    assert len({len(text) for text in expected}) > 1
    steps = list(generate_batch(model, PROMPTS, max_new_tokens=12, temperature=0, stop=stop))
    assert [[step[i].token for step in steps if step[i]] for i in range(4)] == expected
    assert len(steps) == max(map(len, expected))


def test_texts_of_equal_length_may_be_a_tensor_and_unseeded():
    model = decoder("learned")
    steps = list(generate_batch(model, torch.tensor([[1, 2, 3], [4, 5, 6]]), max_new_tokens=500))
    assert len(steps) == 64 - 3 + 1 and all(len(step) == 2 for step in steps)


def test_a_batch_is_refused_at_the_call():
    for wrong, said in (({"temperature": -1}, "temperature"), ({"repetition_penalty": 0}, "repetition_penalty"),
                        ({"max_new_tokens": 1.5}, "max_new_tokens")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            generate_batch(decoder(), PROMPTS, **wrong)
    with pytest.raises(ValueError, match="no token"):
        generate_batch(decoder(), [[1], []])
    encoder = transformer.build(transformer.Config(kind="encoder", vocab_size=50, d_model=16, n_heads=2), seed=0)
    with pytest.raises(ValueError, match="decoders"):
        generate_batch(encoder, [[1, 2]])


# ---- an encoder–decoder

def translator():
    config = transformer.Config(
        kind="encoder-decoder", vocab_size=60, d_model=32, n_layers=2, n_heads=4, position="sinusoidal", max_len=64,
        tie_embeddings=False,
    )  # fmt: skip
    model = transformer.build(config, seed=3).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.normal_(0, 0.4, generator=torch.Generator().manual_seed(p.numel()))
    return model


def test_an_encoder_decoder_reads_its_source_once_and_writes():
    model, source, target = translator(), [9, 8, 7, 6], [1]
    for step in transformer.generate(model, [1], source=source, max_new_tokens=8, temperature=0):
        logits = model.run(target, source).output[0, -1]
        torch.testing.assert_close(step.logits, logits, rtol=1e-4, atol=1e-4)
        target.append(step.token)
    assert len(target) == 9
    assert tokens(model, [1], source=source, max_new_tokens=8, temperature=0) == target[1:]
    others = [tokens(model, [1], source=[s, s + 1], max_new_tokens=8, temperature=0) for s in (1, 20, 40)]
    assert len({tuple(text) for text in (*others, target[1:])}) > 1


def test_a_source_is_for_encoder_decoders_alone():
    with pytest.raises(ValueError, match="needs a source"):
        transformer.generate(translator(), [1])
    with pytest.raises(ValueError, match="no encoder"):
        transformer.generate(decoder(), PROMPT, source=[1])
