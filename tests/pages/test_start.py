"""Before the first visitor the router is known and the first picture's recording is read; after the first picture, and not
before, the collector's heap is frozen and the models may load."""

import gc
import threading
import time

from streamlit.runtime.pages_manager import PagesManager

from pages.shared import models, recorded, start


def test_before_the_first_visitor_the_folder_pages_is_not_the_pages_and_home_is_read(monkeypatch):
    monkeypatch.setattr(PagesManager, "uses_pages_directory", True)
    recorded._load.cache_clear()
    start.before_first_visitor()
    assert PagesManager.uses_pages_directory is False
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join(60)
    assert recorded._load.cache_info().currsize == 1


def test_the_process_settles_a_moment_later(monkeypatch):
    monkeypatch.setattr(start, "AFTER", 0.2)
    start.after_first_picture.clear()
    gc.unfreeze()
    shelf = models.Shelf(lambda name: (None, None), lambda name, **_: None, lambda name: False)
    start.after_first_picture(shelf)
    assert gc.get_freeze_count() == 0 and not shelf._drawn.is_set()
    for _ in range(200):
        if shelf._drawn.is_set():
            break
        time.sleep(0.02)
    assert shelf._drawn.is_set() and gc.get_freeze_count() > 10_000
    gc.unfreeze()


def test_the_router_asks_for_it_after_the_page(open_page, monkeypatch):
    asked = []
    monkeypatch.setattr(start, "after_first_picture", asked.append)
    open_page("pages/position/rope.py")
    assert asked and asked[0] is models.shelf()
