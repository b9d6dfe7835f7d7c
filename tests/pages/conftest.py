"""Pages are tested as on the first start: nothing fetched, nothing in the cache."""

import functools

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from pages.shared.lesson import Lesson

ROOT = __file__.rsplit("/tests/", 1)[0]


@pytest.fixture(scope="session", autouse=True)
def packages_searched_once():
    """Every AppTest looks through all installed packages for components; they are the same for each, and it takes 65 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", functools.cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(autouse=True)
def nothing_fetched(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GLASSFORMER_CACHE", str(tmp_path_factory.getbasetemp() / "empty-cache"))


def _ask(app: AppTest, query: dict[str, str]) -> None:
    for key, value in query.items():
        app.query_params[key] = value


@pytest.fixture
def open_page():
    """open_page("pages/…/x.py", text="…") -> the AppTest after its first run on that page with those URL parameters."""

    def opened(file: str, **query: str) -> AppTest:
        app = AppTest.from_file(f"{ROOT}/app.py", default_timeout=120)
        _ask(app, query)  # a choice that the whole app shares, such as the model, is taken from the first link
        app.run()
        app.switch_page(file)
        _ask(app, query)  # switching dropped what is bound to the first page's controls
        return app.run()

    return opened


@pytest.fixture
def downloads(monkeypatch):
    """What the page last gave to its downloads: figure, table, config."""
    given = {}

    def keep(self, figure=None, table=None, config=None) -> None:
        given.update(figure=figure, table=table, config=config)

    monkeypatch.setattr(Lesson, "downloads", keep)
    return given
