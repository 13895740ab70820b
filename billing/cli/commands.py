"""Commands: imported when they are called, and listed with what their docstrings say.

Owns how they are found, how errors are told (one line each, an exit code) and how logs look. Must not know which there
are.
"""

import logging
import os
import re
import sys
import traceback
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, NoReturn

import structlog
from cyclopts import App, CycloptsError

from billing.errors import BillingError
from generators.errors import DeliveryError, FileTargetError, TrafficError
from ops.local.errors import LocalServerError, StackMismatchError, StackSettingError
from rules.errors import BookError
from sharding.errors import ShardMapError

# Exit code 2: a person must correct a file or an option.
_CONFIGURATION_ERRORS: Final = (BookError, ShardMapError, StackMismatchError, StackSettingError, TrafficError)
_FAILURES: Final = (LocalServerError, DeliveryError, FileTargetError)


def command_line(name: str, what: str) -> App:
    """Return a program without commands, which knows its version."""
    try:
        version = f"{name} {installed_version('billing-engine')}"
    except PackageNotFoundError:
        version = f"{name}, run from its source"
    return App(name=name, help=what, version=version)


def add(commands: App, path: str, name: str | None = None) -> None:
    """Add the command `module:function`, whose name is the function's unless there is another."""
    commands.command(path, name=name, help=_docstring(path))


def run(app: App) -> NoReturn:
    """Run one command; exit with 0 (done), 1 (a check failed) or 2 (wrong usage or configuration)."""
    _log_to_stderr()
    try:
        result: Any = app(sys.argv[1:], exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        _fail(app, _usage(app, error), 2)
    except BillingError as error:
        _fail(app, str(error), error.exit_code)
    except _CONFIGURATION_ERRORS as error:
        _fail(app, str(error), 2)
    except _FAILURES as error:
        _fail(app, str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `billing audit | head` ends quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains again
        sys.exit(1)
    except OSError as error:
        _fail(app, f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    except Exception as error:  # a defect, which still owes the user one line
        if _level() <= logging.DEBUG:
            raise
        _fail(app, f"unexpected {type(error).__name__} at {_place(error)}; BILLING_LOG_LEVEL=DEBUG shows all of it", 1)
    sys.exit(result if isinstance(result, int) else 0)


def _docstring(path: str) -> str:
    """Read a function's docstring from the source of its module, which is not imported."""
    module, _, function = path.partition(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None, "a module of the product is a file"
    source = Path(spec.origin).read_text(encoding="utf-8")
    found = re.search(rf'^def {function}\(.*?^    """(.*?)"""', source, re.MULTILINE | re.DOTALL)
    assert found is not None, "a command says what it does"
    return cleandoc(found[1])


def _fail(app: App, sentences: str, code: int) -> NoReturn:
    """Say what is wrong, one line for each thing, and exit."""
    for sentence in sentences.splitlines():
        sys.stderr.write(f"{app.name[0]}: {sentence}\n")
    sys.exit(code)


def _place(error: Exception) -> str:
    """Say where an error arose; what it says may hold what events are about, or a password."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def _usage(app: App, error: CycloptsError) -> str:
    """Return the usage error as one line, which names the command's help."""
    command = " ".join((app.name[0], *(error.command_chain or ())))
    return f"{' '.join(str(error).split())} See {command} --help."


def _level() -> int:
    return logging.getLevelNamesMapping().get(os.environ.get("BILLING_LOG_LEVEL", "INFO").upper(), logging.INFO)


class _Forwarding(logging.Handler):
    """Gives what is logged by the standard library to structlog; its arguments are one mapping."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it."""
        structlog.get_logger().log(record.levelno, record.msg, **(record.args if isinstance(record.args, dict) else {}))


def _log_to_stderr() -> None:
    """Log lines for people on a terminal, JSON for machines; BILLING_LOG_LEVEL chooses how much."""
    logging.getLogger("asyncmy").setLevel(logging.ERROR)  # it repeats every server warning, also harmless ones
    rules = logging.getLogger("rules")
    rules.handlers = [_Forwarding()]
    rules.setLevel(_level())
    for_people = [structlog.dev.ConsoleRenderer()]
    for_machines = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(for_people if sys.stderr.isatty() else for_machines),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level()),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
