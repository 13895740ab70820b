"""Rules: which account pays, and how much.

The second step of the path: columns of usage go in, priced lines come out. A leaf: knows nothing of logs, shards or
stores.
"""

from importlib.resources import files
from pathlib import Path


def books_path() -> Path:
    """Return the folder of the books that come with the package."""
    return Path(str(files(__name__))) / "books"
