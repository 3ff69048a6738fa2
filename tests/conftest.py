"""Property tests draw the same examples every time: a failure is a change of the code, not of the dice."""

from hypothesis import settings

settings.register_profile("seeded", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("seeded")
