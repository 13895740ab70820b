"""The number of examples of properties that name none."""

from hypothesis import settings

from tests.examples import EXAMPLES

if EXAMPLES:
    settings.register_profile("long", max_examples=EXAMPLES, deadline=None)
    settings.load_profile("long")
