"""The frame: its parts, what a link may hide, the prediction that is made before the answer, the code that is shown."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared.lesson import Lesson
from pages.shared.lessons import LESSONS, lesson as entry, sections


def page():
    import pandas as pd
    import streamlit as st

    from pages.shared import url
    from pages.shared.lesson import Lesson
    from transformer import scores

    url.open_page("frame")
    lesson = Lesson("C3")
    lesson.header(look_for=r"The \query{query} turns.")
    text = lesson.text("a default", examples={"cats": "cats and dogs"})
    st.text(f"read: {text}")
    picture, controls = lesson.stage()
    with controls:
        depth = st.slider("Depth", 0, 9, 3, key="depth", bind="query-params")
        layer = url.url_state("layer", 2, int, lambda layer: 0 <= layer < 5)
    picture.text(f"picture {depth} {layer}")
    lesson.formula(r"\query{Q}\key{K}^\top", shapes=[("Q", ("head 9", 64), "query")], numbers=r"\value{0.5}")
    lesson.prose(what=r"A \key{key} and $\query{q}$.", why="Because.", catch="Not always.")
    lesson.predict("Which?", ["this", "that"], answer="that", reveal="See the picture.")
    lesson.code([scores.scale], "import transformer")
    lesson.interview([("Why?", "So."), ("How?", "Thus."), ("When?", "Then.")])
    lesson.sources(["A paper"])
    lesson.downloads(table=pd.DataFrame({"x": [1]}), config={"depth": depth})
    url.report()


def run(**query: str) -> AppTest:
    app = AppTest.from_function(page, default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


def words(app: AppTest) -> str:
    return "\n".join(block.value for block in app.markdown)


def test_one_token_is_not_tokens():
    from pages.shared import models

    def page():
        from pages.shared import url
        from pages.shared.lesson import Lesson

        url.open_page("frame")
        lesson = Lesson("A2")
        lesson.header()
        lesson.look("Found: *this*.")
        lesson.read(lesson.text("a"), record=("*.attention.A",), name="tiny")

    app = AppTest.from_function(page, default_timeout=60).run()
    most = models.limit("tiny", ("*.attention.A",))
    assert [caption.value for caption in app.caption] == [f"1 token of at most {most}"]
    assert "**What to look for.** Found: *this*." in words(app), "said after the header, shown in its place"


def test_every_part_is_there():
    app = run()
    assert not app.exception and not app.warning
    assert app.title[0].value == entry("C3").title
    said = words(app)
    assert "What to look for." in said and ":blue[**query**]" in said
    assert ":orange[**key**]" in said and r"$\textcolor{#0231ED}{q}$" in said, "prose and formula share the colours"
    assert app.latex[0].value.replace("$", "").strip() == r"\textcolor{#0231ED}{Q}\textcolor{#7D381B}{K}^\top"
    assert "[head 9, 64]" in said
    assert [e.label for e in app.expander] == ["Code: what computed this picture", "In a notebook: the same numbers",
                                               "In an interview", "Sources"]
    assert "def scale(" in app.code[0].value


def test_numbers_go_in_on_demand():
    app = run()
    assert len(app.latex) == 1
    app.toggle(key="numbers").set_value(True).run()
    assert r"{0.5}" in app.latex[1].value


def test_the_prediction_comes_before_the_answer():
    app = run()
    assert app.button(key="commit").disabled and "See the picture." not in words(app)
    app.radio(key="prediction").set_value("this").run()
    assert "See the picture." not in words(app), "choosing is not yet committing"
    app.button(key="commit").click().run()
    assert "See the picture." in words(app)
    assert "You said “this”; it is “that”." in app.info[0].value
    assert app.radio(key="prediction").disabled


def test_a_right_prediction_is_said_to_be():
    app = run()
    app.radio(key="prediction").set_value("that").run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."


@pytest.mark.parametrize("part, gone", [
    ("look", "What to look for"), ("prose", "What happens"), ("predict", "Predict, then look"), ("interview", "Why?"),
    ("sources", "A paper"), ("formula", "[head 9, 64]"),
])
def test_a_link_hides_one_part_and_no_other(part, gone):
    whole, without = words(run()), words(run(hide=part))
    assert gone in whole and gone not in without
    others = {"What to look for", "What happens", "Predict, then look", "Why?", "A paper"} - {gone}
    assert all(other in without for other in others)


def test_hiding_the_code_and_the_text():
    app = run(hide="code, text")
    assert not app.code and not app.text_input
    assert "read: a default" in [text.value for text in app.text]


def test_a_shared_link_sets_the_controls():
    app = run(depth="7", layer="4", text="hello")
    assert {text.value for text in app.text} == {"read: hello", "picture 7 4"} and not app.warning


@pytest.mark.parametrize("query, sentence", [
    ({"depth": "deep"}, "The link says depth = “deep”, which this page cannot take; it shows 3."),
    ({"depth": "99"}, "The link says depth = “99”"),
    ({"layer": "x"}, "The link says layer = “x”, which this page cannot take; it shows 2."),
    ({"layer": "7"}, "The link says layer = “7”, which this page cannot take; it shows 2."),
    ({"colour": "red"}, "The link sets “colour”, which this page does not have; everything else in it is in force."),
    ({"hide": "prose,nonsense"}, "The link hides “nonsense”"),
    ({"<img src=x>": "1"}, "The link sets “img src=x”"),
])
def test_what_a_link_cannot_mean_is_one_sentence(query, sentence):
    app = run(**query)
    assert not app.exception
    assert len(app.warning) == 1 and sentence in app.warning[0].value


def labelled():
    import streamlit as st

    from pages.shared import url

    names = {1: "one", 2: "two", 3: "three"}
    url.open_page("labelled")
    box = st.selectbox("Box", list(names), format_func=names.get, key="box", bind="query-params")
    step = st.select_slider("Step", list(names), format_func=names.get, key="step", bind="query-params")
    pill = st.segmented_control("Pill", list(names), default=1, format_func=names.get, key="pill", bind="query-params")
    st.text(f"{box} {step} {pill}")
    url.report()


@pytest.mark.parametrize("query, shown, warns", [
    ({"box": "two", "step": "three", "pill": "two"}, "2 3 2", False),
    ({"box": "one", "step": "one", "pill": "one"}, "1 1 1", False),  # the defaults: Streamlit takes them out of the URL
    ({"box": "four"}, "1 1 1", True),
    ({"step": "2"}, "1 1 1", True),
    ({"pill": "nonsense"}, "1 1 1", True),
])
def test_a_label_is_what_a_link_says_where_options_have_labels(query, shown, warns):
    app = AppTest.from_function(labelled, default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception and app.text[0].value == shown
    assert len(app.warning) == warns
    assert not warns or "it shows one." in app.warning[0].value


def test_the_sentence_goes_when_the_learner_moves_on():
    app = run(colour="red", depth="4")
    assert app.warning
    app.slider(key="depth").set_value(5)
    app.query_params["depth"] = "5"  # as the browser does
    app.run()
    assert not app.warning


def test_examples_and_the_way_back():
    app = run()
    app.button(key="text_cats").click().run()
    assert "read: cats and dogs" in [text.value for text in app.text]
    app.button(key="text_default").click().run()
    assert "read: a default" in [text.value for text in app.text]


def test_an_answer_that_is_no_option_is_refused():
    with pytest.raises(ValueError, match="'that' is not one of the options"):
        Lesson("C3").predict("Which?", ["this"], answer="that", reveal="")


def test_the_table_of_lessons():
    assert [e for group in sections().values() for e in group] == list(LESSONS)
    with pytest.raises(ValueError, match="no lesson 'Z9'; the lessons are A1, A2"):
        entry("Z9")
    assert LESSONS[0].path == "" and LESSONS[1].path == "attention-maps"


def test_what_a_link_would_say_for_a_picture_sent_ahead_leaves_the_link_alone():
    def page():
        import streamlit as st

        from pages.shared import url

        url.open_page("frame")
        small, large = (url.would_state("tile", 1, int, lambda tile, count=count: tile <= count) for count in (5, 9))
        st.text(f"{small} {large} {url.would_state('other', 3, int)} {st.query_params['tile']}")
        url.url_state("tile", 1, int, lambda tile: tile <= 9)
        url.report()

    app = AppTest.from_function(page, default_timeout=60)
    app.query_params["tile"] = "7"
    app.run()
    assert app.text[0].value == "1 7 3 7" and not app.warning and app.query_params["tile"] == "7"
