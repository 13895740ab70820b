"""The command line: `billing`.

Each module holds the commands of one kind of user: `work` runs the engine, `ready` compiles it, `traffic` feeds it,
`look` reads what it wrote, `keys` lets callers of the API in, `closing` ends periods, `quarantine` is for what could
not be billed, `books` for who writes prices, `shards` and `servers` for who keeps databases, `demo` for who is new. A
module is imported when one of its commands is called: a worker keeps no other command in its memory.
"""

from cyclopts import App

from billing.cli.commands import add, command_line, run

app = command_line("billing", "Exactly-once billing of microtransactions.")
app.register_install_completion_command()
for _path in (
    "demo:demo", "shards:init", "work:run", "traffic:generate", "traffic:replay", "shards:audit",
    "look:balance", "look:usage", "look:transactions", "look:explain", "look:export", "look:serve",
    "closing:close",
):  # fmt: skip
    add(app, f"billing.cli.{_path}")
add(app, "billing.cli.ready:compile_", "compile")
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
    """Run one command of `billing`."""
    run(app)
