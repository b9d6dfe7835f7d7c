"""The text that lessons train on live."""

from transformer.training import play


def test_the_play_is_cut_in_two_and_reads_back():
    tokenizer, ids, unseen = play.load()
    text = tokenizer.decode(ids.tolist()) + tokenizer.decode(unseen.tolist())
    assert text == (play.FOLDER / f"{play.TITLE}.txt").read_text("utf-8")
    assert "But, soft! what light through yonder window breaks?" in text
    assert abs(len(unseen) / len(text) - 0.1) < 1e-4


def test_it_is_the_play_of_the_package_that_the_others_come_from(plays):
    assert plays[play.TITLE] == (play.FOLDER / f"{play.TITLE}.txt").read_text("utf-8")
