"""The router: page config, navigation, nothing else. `streamlit run app.py`"""

import streamlit as st

from pages.shared import start, style, url
from pages.shared.lessons import HOME, sections


def route() -> None:
    """One run for one visitor."""
    st.set_page_config(page_title="Glassformer", page_icon=style.ICON, layout="wide")
    style.apply()
    page = st.navigation({
        section: [
            st.Page(entry.file, title=entry.title, icon=entry.icon, url_path=entry.url_path, default=entry is HOME)
            for entry in entries
        ]
        for section, entries in sections().items()
    }, expanded=True)  # all lessons in sight, not the first ten and "View more"
    url.open_page(page.url_path)

    from pages.shared import models  # torch takes a second: the browser draws the navigation meanwhile

    models.warm()
    models.sidebar()
    notices = st.container(key="gf-notices")
    page.run()
    start.after_first_picture(models.shelf())
    with notices:
        url.report()


if __name__ == "__main__":  # a visitor
    route()
else:  # `streamlit run`, which imports a file that makes an App once before it serves it
    start.before_first_visitor()
    app = st.App(__file__)
