"""The home page's first picture does not wait for libraries that it does not draw with (plotly: Streamlit does)."""

import subprocess
import sys

from tests.pages.conftest import ROOT

SCRIPT = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=120).run()
assert not app.exception, app.exception
print(*sorted({"altair", "pandas", "vl_convert", "scipy", "sklearn", "transformers"} & set(sys.modules)))
"""


def test_home_imports_no_chart_library():
    ran = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""
