"""How many examples a property is tried with: few in every run, as many as EXAMPLES says in the long one."""

import os
from typing import Final

from hypothesis import settings

EXAMPLES: Final = int(os.environ.get("EXAMPLES", "0"))


def examples(count: int) -> settings:
    """Return the settings of a property: so many examples unless EXAMPLES asks for more; the first call compiles."""
    return settings(max_examples=max(count, EXAMPLES), deadline=None)
