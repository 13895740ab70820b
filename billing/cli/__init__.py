"""The command line: `billing`.

Owns how commands are found, how errors are told (one line each, an exit code) and how logs look. Each module holds the
commands of one kind of user: `work` runs the engine, `traffic` feeds it, `look` reads what it wrote, `keys` lets
callers of the API in, `closing` ends periods, `quarantine` is for what could not be billed, `books` for who writes
prices, `shards` and `servers` for who keeps databases, `demo` for who is new. A module is imported when one of its
commands is called: a worker keeps no other command in its memory.
"""

import logging
import os
import sys
import traceback
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Final, NoReturn

import structlog
from cyclopts import App, CycloptsError

from billing.cli.listing import add
from billing.errors import BillingError
from generators.errors import DeliveryError, FileTargetError, TrafficError
from ops.local.errors import LocalServerError, StackMismatchError, StackSettingError
from rules.errors import BookError
from sharding.errors import ShardMapError

# Exit code 2: a person must correct a file or an option.
_CONFIGURATION_ERRORS: Final = (BookError, ShardMapError, StackMismatchError, StackSettingError, TrafficError)
_FAILURES: Final = (LocalServerError, DeliveryError, FileTargetError)


def version() -> str:
    """Return the installed version."""
    try:
        return f"billing {installed_version('billing-engine')}"
    except PackageNotFoundError:
        return "billing, run from its source"


app = App(name="billing", help="Exactly-once billing of microtransactions.", version=version)
app.register_install_completion_command()
for _path in (
    "demo:demo", "shards:init", "work:run", "traffic:generate", "traffic:replay", "shards:audit",
    "look:balance", "look:usage", "look:transactions", "look:explain", "look:export", "look:serve",
    "closing:close",
):  # fmt: skip
    add(app, f"billing.cli.{_path}")
add(app, "billing.cli.work:compile_", "compile")
for _group, _help, _paths in (
    (
        "keys", "Make and revoke the keys of the HTTP API.",
        {"create": "keys:create", "list": "keys:list_keys", "revoke": "keys:revoke", "log": "keys:log"},
    ),
    (
        "quarantine", "Look at events that could not be billed, and publish them again.",
        {"list": "quarantine:list_entries", "show": "quarantine:show", "retry": "quarantine:retry"},
    ),
    (
        "rules", "Work on rulebooks.",
        {"check": "books:check", "explain": "explanation:explain", "diff": "difference:diff", "test": "books:test"},
    ),
    ("shards", "Look at the shard map and the shards.", {"show": "shards:show", "verify": "shards:verify"}),
    (
        "stack", "Real MySQL or MariaDB servers and Kafka on this machine, without Docker.",
        {"up": "servers:up", "down": "servers:down", "status": "servers:status"},
    ),
):  # fmt: skip
    _commands = App(name=_group, help=_help)
    for _name, _path in _paths.items():
        add(_commands, f"billing.cli.{_path}", _name)
    app.command(_commands)


def main() -> None:
    """Run one command; exit with 0 (done), 1 (a check failed) or 2 (wrong usage or configuration)."""
    _log_to_stderr()
    try:
        result: Any = app(sys.argv[1:], exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        _fail(_usage(error), 2)
    except BillingError as error:
        _fail(str(error), error.exit_code)
    except _CONFIGURATION_ERRORS as error:
        _fail(str(error), 2)
    except _FAILURES as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `billing audit | head` ends quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains again
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    except Exception as error:  # a defect, which still owes the user one line
        if _level() <= logging.DEBUG:
            raise
        _fail(f"unexpected {type(error).__name__} at {_place(error)}; BILLING_LOG_LEVEL=DEBUG shows all of it", 1)
    sys.exit(result if isinstance(result, int) else 0)


def _fail(sentences: str, code: int) -> NoReturn:
    """Say what is wrong, one line for each thing, and exit."""
    for sentence in sentences.splitlines():
        sys.stderr.write(f"billing: {sentence}\n")
    sys.exit(code)


def _place(error: Exception) -> str:
    """Say where an error arose; what it says may hold what events are about, or a password."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def _usage(error: CycloptsError) -> str:
    """Return the usage error as one line, which names the command's help."""
    command = " ".join(("billing", *(error.command_chain or ())))
    return f"{' '.join(str(error).split())} See {command} --help."


def _level() -> int:
    return logging.getLevelNamesMapping().get(os.environ.get("BILLING_LOG_LEVEL", "INFO").upper(), logging.INFO)


def _log_to_stderr() -> None:
    """Log lines for people on a terminal, JSON for machines; BILLING_LOG_LEVEL chooses how much."""
    logging.getLogger("asyncmy").setLevel(logging.ERROR)  # it repeats every server warning, also harmless ones
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
