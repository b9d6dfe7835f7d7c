"""Every page opens in Streamlit's own runner, with its title, and takes what a hostile link gives it."""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.shared.lessons import LESSONS

ANY = ["", " ", "a", "日本語 🙂 x\ty", "def f(x):\n    return x", "</p><script>alert(1)</script> $x$ :red[a]", "word " * 5000]

every_page = pytest.mark.parametrize("entry", LESSONS, ids=lambda entry: entry.row)


@every_page
def test_it_opens(entry, open_page):
    page = open_page(entry.file)
    assert not page.exception
    assert [title.value for title in page.title] == [entry.title]
    assert not page.error


@every_page
def test_any_text_gives_a_picture_or_one_sentence(entry, open_page):
    page = open_page(entry.file)
    if not [box for box in page.text_input if box.key == "text"]:
        pytest.skip("this page reads no text")
    for text in ANY:  # one after the other, as a learner would
        page.text_input(key="text").set_value(text).run()
        assert not page.exception, f"after {text[:40]!r}"
        assert len(page.warning) <= 1, f"after {text[:40]!r}"


@every_page
def test_a_link_may_hide_any_part(entry, open_page):
    parts = "look,text,formula,prose,predict,code,interview,sources,downloads,model"
    page = open_page(entry.file, hide=parts)
    assert not page.exception
    assert not [m for m in page.markdown if "What happens" in m.value or "What to look for" in m.value]
    assert not page.radio or all(radio.key != "prediction" for radio in page.radio)


def settings():
    import json

    import streamlit as st

    names = ["runner.postScriptGC", "runner.magicEnabled", "server.fileWatcherType", "server.maxUploadSize", "client.showErrorDetails",
             "client.toolbarMode", "browser.gatherUsageStats", "global.disableWidgetStateDuplicationWarning"]
    st.text(json.dumps({name: st.get_option(name) for name in names}))


def test_the_settings_are_in_force():
    import json

    shown = AppTest.from_function(settings).run().text[0].value
    assert json.loads(shown) == {
        "runner.postScriptGC": False, "runner.magicEnabled": False, "server.fileWatcherType": "none", "server.maxUploadSize": 5,
        "client.showErrorDetails": "none", "client.toolbarMode": "viewer", "browser.gatherUsageStats": False,
        "global.disableWidgetStateDuplicationWarning": True,
    }
    assert st.get_option("theme.light.backgroundColor") == "#FFFFFF"
