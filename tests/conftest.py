"""Property tests draw the same examples every time: a failure is a change of the code, not of the dice."""

import os
from importlib.util import find_spec

from hypothesis import settings

settings.register_profile("seeded", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("seeded")
os.environ["ESTIMATOR_RUNS"] = os.devnull  # whoever runs the tests may have runs of their own

collect_ignore = [] if find_spec("transformers") else ["catalog/tiny.py"]  # no tests, but looked through for doctests
