"""What a stack is made of, as its folder keeps it in stack.json.

Owns the limits of a stack and its comparison with what a person asks for. Must not know how servers run.
"""

from pathlib import Path
from typing import Final, Self

import msgspec

from ops.local.errors import StackMismatchError, StackMissingError, StackSettingError
from ops.local.install import Kind
from ops.local.mysql import REDO_MIB, TITLES
from ops.local.process import free_port

STATE_NAME: Final = "stack.json"
SHARDS_DEFAULT: Final = 4
SHARDS_MAX: Final = 64  # a shard takes 120 to 300 MiB of memory when idle
PARTITIONS_DEFAULT: Final = 8
PARTITIONS_MAX: Final = 1024  # each is a folder with open files on the one broker
BOOK_DEFAULT: Final = Path(__file__).parents[2] / "rules" / "books" / "telecom.yaml"


class StackFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stack: one database server for each of `shard_ports`, in the order of shards, and one Kafka.

    cache: the folder that their programs come from; book: absolute path; database_cores: that each database server may
    keep busy, None for all.
    """

    database: Kind
    shard_ports: tuple[int, ...]
    kafka_port: int
    controller_port: int
    partitions: int
    book: str
    buffer_pool_mib: int
    kafka_heap_mib: int
    cache: str
    database_cores: float | None = None
    redo_mib: int = REDO_MIB

    @classmethod
    def new(
        cls,
        *,
        shards: int | None,
        database: Kind | None,
        partitions: int | None,
        book: Path | None,
        buffer_pool_mib: int,
        kafka_heap_mib: int,
        cache: Path,
        database_cores: float | None = None,
        redo_mib: int = REDO_MIB,
    ) -> Self:
        """Plan a stack on free ports; what is None gets its default.

        Raises: StackSettingError.
        """
        shards = SHARDS_DEFAULT if shards is None else shards
        partitions = PARTITIONS_DEFAULT if partitions is None else partitions
        if not 1 <= shards <= SHARDS_MAX:
            raise StackSettingError(f"--shards {shards}: must be from 1 to {SHARDS_MAX}")
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise StackSettingError(f"--partitions {partitions}: must be from 1 to {PARTITIONS_MAX}")
        if database not in {None, *TITLES}:
            raise StackSettingError(f"--database {database}: must be one of {', '.join(TITLES)}")
        if book is not None and not book.is_file():
            raise StackSettingError(f"--book {book}: no such file; name a rulebook")
        return cls(
            database=database or "mariadb",
            shard_ports=tuple(free_port() for _ in range(shards)),
            kafka_port=free_port(),
            controller_port=free_port(),
            partitions=partitions,
            book=str((book or BOOK_DEFAULT).absolute()),
            buffer_pool_mib=buffer_pool_mib,
            kafka_heap_mib=kafka_heap_mib,
            cache=str(cache.absolute()),
            database_cores=database_cores,
            redo_mib=redo_mib,
        )

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the stack of a folder, None when it holds none.

        Raises: StackSettingError when the file is damaged.
        """
        path = folder / STATE_NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (msgspec.DecodeError, OSError) as error:
            raise StackSettingError(f"{path}: {error}; restore the file, or remove the folder") from error

    @classmethod
    def required(cls, folder: Path) -> Self:
        """Return the stack of a folder.

        Raises: StackMissingError when it holds none.
        """
        stack = cls.read(folder)
        if stack is None:
            raise StackMissingError(f"{folder}: no stack here; start one: billing stack up")
        return stack

    def write(self, folder: Path) -> None:
        """Make this the stack of a folder, in one step."""
        writing = folder / f"{STATE_NAME}.writing"
        writing.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        writing.replace(folder / STATE_NAME)

    def require_same(
        self,
        folder: Path,
        *,
        shards: int | None,
        database: Kind | None,
        partitions: int | None,
        book: Path | None,
    ) -> None:
        """Check that this is the stack that a person asks for; None asks for nothing.

        Raises: StackMismatchError, which names the first difference.
        """
        asked_and_held = (
            ("--shards", shards, len(self.shard_ports)),
            ("--database", database, self.database),
            ("--partitions", partitions, self.partitions),
            ("--book", book and str(book.absolute()), self.book),
        )
        for option, asked, held in asked_and_held:
            if asked is not None and asked != held:
                remedy = "leave the option out, or remove this stack first (billing stack down --purge)"
                raise StackMismatchError(f"{folder}: its stack has {option} {held}, not {asked}; {remedy}")
