"""Every test runs without the app fetching anything by itself."""

import os

os.environ["GLASSFORMER_AUTO_FETCH"] = "0"
