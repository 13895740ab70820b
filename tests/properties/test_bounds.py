"""Compiled loops stay inside their arrays, whatever bytes a log holds: the same tests, with every access checked."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
CHECKED = [
    *(f"properties/test_{name}.py" for name in ("event", "rows")),
    *(f"unit/billing/test_{name}.py" for name in ("columntext", "eights", "event", "intern", "pricing")),
    *(f"unit/billing/test_{name}.py" for name in ("rowtext", "scan")),
    *(f"unit/rules/test_{name}.py" for name in ("memo", "pool", "prefix")),
]


def test_no_compiled_loop_leaves_its_arrays(tmp_path: Path) -> None:
    """A hostile event could read or change other memory of the worker."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(TESTS / name) for name in CHECKED)],
        cwd=TESTS.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,  # most of it compiles
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:]
    assert "passed" in done.stdout
