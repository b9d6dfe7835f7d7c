"""Beam search against every text there is, against Hugging Face's, and against greedy generation."""

import itertools

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import transformer
from tests.transformer.test_generate import translator
from transformer.beam import beam_search


def sharp(model, std=0.5):
    """Weights large enough that the likeliest token is not always the same, and the best text not the greedy one."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.normal_(0, std, generator=generator)
    return model.eval()


def decoder(vocab=4, **options):
    config = transformer.Config(
        vocab_size=vocab, d_model=16, n_layers=2, n_heads=2, max_len=32, tie_embeddings=False, **options
    )
    return sharp(transformer.build(config, seed=0)).double()


def last(model, ids, **settings):
    *_, beams = beam_search(model, ids, **settings)
    return beams


def every_text(model, prompt, length, stop, alpha):
    """(score, tokens) of each text that ends with a stop token or at the length, from runs without a cache."""
    found = []
    for n in range(1, length + 1):
        for text in itertools.product(range(model.config.vocab_size), repeat=n):
            if any(token in stop for token in text[:-1]) or (n < length and text[-1] not in stop):
                continue
            log_p = model.run([*prompt, *text]).output[0].log_softmax(-1)
            total = sum(float(log_p[len(prompt) - 1 + i, token]) for i, token in enumerate(text))
            found.append((total / n**alpha, text))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, -0.5])
@pytest.mark.parametrize("stop", [(), (2,), (0, 3)])
def test_wide_enough_it_finds_the_best_of_all_texts(alpha, stop):
    model, prompt = decoder(), [1, 3]
    best = every_text(model, prompt, 4, set(stop), alpha)
    done = last(model, prompt, width=256, max_new_tokens=4, length_penalty=alpha, stop=stop).done
    assert [beam.tokens for beam in done] == [text for _, text in best][: len(done)]
    assert [beam.score for beam in done] == pytest.approx([score for score, _ in best][: len(done)], rel=1e-9)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_each_beams_number_is_its_texts_log_probability(width):
    model, prompt = decoder(vocab=12), [1, 3, 7]
    for beams in beam_search(model, prompt, width=width, max_new_tokens=6, length_penalty=0.7, stop=5):
        for beam in (*beams.live, *beams.done):
            log_p = model.run([*prompt, *beam.tokens]).output[0].log_softmax(-1)
            total = sum(float(log_p[2 + i, token]) for i, token in enumerate(beam.tokens))
            assert beam.log_probability == pytest.approx(total, rel=1e-9)
            assert beam.score == pytest.approx(total / len(beam.tokens) ** 0.7, rel=1e-9)
        assert len(beams.live) <= width and len(beams.done) <= width
        assert all(5 not in beam.tokens for beam in beams.live)
        assert all(5 not in beam.tokens[:-1] for beam in beams.done)


@pytest.mark.parametrize("position", ["rope", "learned", "alibi"])
def test_width_one_is_greedy(position):
    model = decoder(vocab=30, position=position)
    greedy = [step.token for step in transformer.generate(model, [4, 2], max_new_tokens=12, temperature=0, exact=True)]
    assert last(model, [4, 2], width=1, max_new_tokens=12).done[0].tokens == tuple(greedy)


def test_it_beats_greedy_where_the_likeliest_start_leads_nowhere():
    better = 0
    for prompt in ([1], [2, 3], [5, 5], [7], [9, 1]):
        model = decoder(vocab=12)
        one, four = (last(model, prompt, width=w, max_new_tokens=6, length_penalty=0.0).done[0] for w in (1, 6))
        better += four.log_probability > one.log_probability + 1e-6
    assert better


def gpt2():
    torch.manual_seed(0)
    return sharp(GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=64)), 0.2)


def llama():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    return sharp(LlamaForCausalLM(config), 0.3)


@pytest.mark.parametrize("make", [gpt2, llama])
@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 1.6])
@pytest.mark.parametrize("stops", [0, 1, 3])
def test_it_is_hugging_faces(make, width, alpha, stops):
    theirs = make()
    ours = transformer.from_state_dict(theirs.config.model_type, theirs.config.to_dict(), theirs.state_dict())
    prompt = [5, 17, 3]
    usual = [step.token for step in transformer.generate(ours, prompt, max_new_tokens=12, temperature=0)]
    stop = list(dict.fromkeys(usual[4:]))[:stops]  # tokens that really come up
    expected = theirs.generate(
        torch.tensor([prompt]), num_beams=width, max_new_tokens=12, do_sample=False, length_penalty=alpha,
        early_stopping="never", num_return_sequences=width, eos_token_id=stop or None, pad_token_id=0,
        return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    done = last(ours, prompt, width=width, max_new_tokens=12, length_penalty=alpha, stop=stop).done
    texts = []
    for row in expected.sequences[:, 3:].tolist():
        end = next((i + 1 for i, token in enumerate(row) if token in stop), len(row))
        texts.append(tuple(row[:end]))
    assert [beam.tokens for beam in done] == texts
    assert [beam.score for beam in done] == pytest.approx(expected.sequences_scores.tolist(), rel=1e-4)


def test_an_encoder_decoder_searches_too():
    model, source = translator().double(), [9, 8, 7, 6]
    beams = last(model, [1], source=source, width=3, max_new_tokens=5)
    for beam in beams.done:
        log_p = model.run([1, *beam.tokens], source).output[0].log_softmax(-1)
        total = sum(float(log_p[i, token]) for i, token in enumerate(beam.tokens))
        assert beam.log_probability == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("wrong, said", [
    ({"width": 0}, "width"), ({"width": True}, "width"), ({"length_penalty": float("nan")}, "length_penalty"),
    ({"max_new_tokens": -1}, "max_new_tokens"), ({"ids": [[1], [2]]}, "one text"), ({"ids": [99]}, "outside"),
])  # fmt: skip
def test_bad_calls_are_refused_at_the_call(wrong, said):
    with pytest.raises(ValueError, match=said):
        beam_search(decoder(), wrong.pop("ids", [1]), **wrong)


def test_no_tokens_asked_for_is_no_step_at_all():
    assert list(beam_search(decoder(), [1], max_new_tokens=0)) == []
