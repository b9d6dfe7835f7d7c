"""The alignment's message holds the translation's own tensors; what does not fit is refused; the figure says the same."""

import numpy as np
import pytest
import torch

from charts import alignment, curves, theme
from tests.messages import unpack
from transformer.translation import links, load, words
from transformer.translation import alignment as of_words

SAID = load("assets/recorded/marian-en-pt-chair.safetensors")
MAPS = [SAID.A(layer, head) for layer in (0, 1) for head in (*range(8), None)]


def parts(**changed):
    found = {
        "heads": curves.Choice("Head", [str(i) for i in range(18)], "9"), "layers": [i // 9 for i in range(18)],
        "of": [-1 if i % 9 == 8 else i - i // 9 for i in range(18)], "weights": torch.stack(MAPS).numpy(),
        "scores": torch.cat([SAID.scores(0), SAID.scores(1)]).numpy(), "Q": torch.cat([SAID.Q(0), SAID.Q(1)]).numpy(),
        "K": torch.cat([SAID.K(0), SAID.K(1)]).numpy(), "source_words": words(SAID.source), "target_words": words(SAID.target),
        "words": torch.stack([of_words(A, SAID.source, SAID.target) for A in MAPS]).numpy(),
        "links": np.array([links(A, SAID.source, SAID.target) for A in MAPS]),
    }  # fmt: skip
    return found | changed


def message(**changed) -> bytes:
    return alignment.message(
        "alignment", "what it reads", SAID.written, SAID.source, SAID.target, SAID.before, SAID.probabilities, **parts(**changed)
    )


def test_what_is_sent_is_what_was_computed():
    header, arrays = unpack(message())
    for i, A in enumerate(MAPS):
        np.testing.assert_array_equal(arrays["weights"][i], A.numpy())
        np.testing.assert_allclose(arrays["words"][i].sum(1), 1, atol=1e-5)
        assert arrays["links"][i].tolist() == links(A, SAID.source, SAID.target)
    for head, place in enumerate(header["of"]):
        if place >= 0:  # the scores, scaled products of what is sent, give the weights that are sent
            S = arrays["Q"][place] @ arrays["K"][place].T / 32**0.5
            np.testing.assert_allclose(arrays["scores"][place], S, atol=1e-4)
            np.testing.assert_allclose(arrays["weights"][head], torch.tensor(S).softmax(-1).numpy(), atol=1e-5)
        else:
            mine = [i for i, (p, layer) in enumerate(zip(header["of"], header["layers"])) if p >= 0 and layer == header["layers"][head]]
            np.testing.assert_allclose(arrays["weights"][head], arrays["weights"][mine].mean(0), atol=1e-6)


def test_words_pieces_and_where_it_starts():
    header, _ = unpack(message(step=3, at=(2, 1), epoch=4))
    assert [word["text"] for word in header["sourceWords"]] == ["The", "black", "cat", "sleeps", "on", "the", "red", "chair", ".", "‹end›"]
    assert header["source"][3:5] == ["sleep", "s"] and header["sourceWords"][3]["end"] == 5
    assert (header["step"], header["at"], header["epoch"], header["written"]) == (3, [2, 1], 4, SAID.written)
    assert unpack(message())[0]["step"] == len(SAID.target) - 1, "all is written at first"
    hidden = unpack(message(hidden=(3, 4)))[0]
    assert hidden["hidden"] == [3, 4] and [word["hidden"] for word in hidden["sourceWords"]].count(True) == 1
    assert len(message()) < 200_000


@pytest.mark.parametrize("changed, says", [
    (dict(weights=np.zeros((17, 10, 11))), "weights has shape"), (dict(K=np.zeros((16, 10, 32))), "K has shape"),
    (dict(links=np.zeros((18, 3), int)), "links has shape"), (dict(of=[0]), "Each look needs"),
    (dict(step=10), "no step 10"), (dict(at=(0, 11)), "no cell"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(changed, says):
    with pytest.raises(ValueError, match=says):
        message(**changed)


def test_the_figure_and_the_table_hold_the_map():
    A = SAID.A(1, 0).numpy()
    table = alignment.table(A, SAID.source, SAID.target)
    np.testing.assert_array_equal(np.array(table["weight"]).reshape(A.shape), A.astype(float))
    assert table["written"][11] == " gato" and table["read"][:2] == [" The", " black"]
    figure = alignment.figure(A, SAID.source, SAID.target, "Layer 1, head 0", theme.LIGHT).to_dict()
    values = next(iter(figure["datasets"].values())) if "datasets" in figure else figure["data"]["values"]
    assert [cell["weight"] for cell in values] == pytest.approx(A.flatten().tolist())
    assert values[11]["written"] == "1 gato" and len({cell["read"] for cell in values}) == 11
