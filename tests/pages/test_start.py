"""After the first picture, and not before: the collector's heap is frozen and the models may load."""

import gc
import time

from pages.shared import models, start


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
