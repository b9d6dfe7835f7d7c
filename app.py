"""The router: page config, navigation, nothing else. `streamlit run app.py`"""

import streamlit as st

from pages.shared import style, url
from pages.shared.lessons import HOME, sections

st.set_page_config(page_title="Glassformer", page_icon=style.ICON, layout="wide")
style.apply()
page = st.navigation({
    section: [
        st.Page(entry.file, title=entry.title, icon=entry.icon, url_path=entry.url_path, default=entry is HOME)
        for entry in entries
    ]
    for section, entries in sections().items()
})
url.open_page(page.url_path)

from pages.shared import models, start  # noqa: E402  torch takes a second: the browser draws the navigation meanwhile

models.warm()
models.sidebar()
notices = st.container(key="gf-notices")
page.run()
start.after_first_picture(models.shelf())
with notices:
    url.report()
