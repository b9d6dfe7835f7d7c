"""A fresh server's very first visitor may come by a link to any lesson."""

import pytest

from pages.shared.lessons import LESSONS
from tests.browser.conftest import watch
from tests.browser.rig import DESKTOP, ROOT, serve, settle


@pytest.fixture
def fresh(tmp_path):
    env = {"GLASSFORMER_AUTO_FETCH": "0", "GLASSFORMER_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    with serve(ROOT / "app.py", tmp_path / "log.txt", **env) as (url, _):
        yield url


def test_a_deep_link_opens_its_lesson_on_a_fresh_server(fresh, browser):
    lesson = LESSONS[-1]
    page = browser.new_page(viewport=DESKTOP)
    seen = watch(page)
    page.goto(fresh + lesson.path)
    settle(page)
    page.wait_for_timeout(1_000)  # a dialog would come with the navigation, before the picture
    assert page.locator("[role=dialog]").count() == 0
    assert page.locator("h1").inner_text() == lesson.title
    assert seen.console == [] and seen.outside == []
    page.close()


def test_a_lesson_that_does_not_exist_is_said_and_home_opens(fresh, browser):
    page = browser.new_page(viewport=DESKTOP)
    page.goto(fresh + "no-such-lesson")
    settle(page)
    page.wait_for_timeout(3_500)
    assert "Page not found" in page.locator("[role=dialog]").inner_text()
    page.close()
