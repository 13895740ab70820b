"""Prices: what instances, storage and I/O cost, and how much a size carries beside another.

Owns the table's format and the sums of money. Must not know loads. `aurora.yaml` is the default.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec
import yaml

from billing.errors import BillingError

DEFAULT_TABLE: Final = Path(__file__).with_name("aurora.yaml")
GIB: Final = 2**30
MILLION: Final = 1e6

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class PricesError(BillingError):
    """A table of prices that cannot be used. Reaction: the command stops and names the key."""

    exit_code = 2


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One size: hourly in the table's currency; speed of one vCPU beside one core of the measured machine."""

    name: str
    vcpus: Positive
    memory_gib: Positive
    hourly: NotNegative
    speed: Positive = 1.0


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to pay for storage: by GiB and month, by million writes of io_bytes, and by a factor on instances."""

    name: str
    gib_month: NotNegative
    io_million: NotNegative
    io_bytes: Positive
    instance_factor: Positive
    gib_max: Positive


class Scaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How capacity grows with vCPUs: contention and coherency of the Universal Scalability Law (`law`)."""

    alpha: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    beta: NotNegative


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of prices."""

    name: str
    currency: str
    hours_per_month: Positive
    vcpu_scaling: Scaling
    instances: Annotated[tuple[Instance, ...], msgspec.Meta(min_length=1)]
    storages: Annotated[tuple[Storage, ...], msgspec.Meta(min_length=1)]

    def instance(self, name: str) -> Instance:
        """Return the size of that name. Raises: PricesError."""
        for each in self.instances:
            if each.name == name:
                return each
        raise PricesError(
            f'no instance is named "{name}"; write one of {", ".join(one.name for one in self.instances)}'
        )


class Cost(msgspec.Struct, frozen=True):
    """Money a month, in the table's currency."""

    instances: float
    storage: float
    io: float

    @property
    def total(self) -> float:
        """Return the sum."""
        return self.instances + self.storage + self.io


def read(path: Path) -> Prices:
    """Read a table.

    Raises: PricesError, one line: file, key, what is wrong.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PricesError(f"{path}: {error.strerror}; name a table of prices") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PricesError(f"{path}: is not YAML; copy {DEFAULT_TABLE.name} and change its figures") from error
    try:
        return msgspec.convert(document, Prices)
    except msgspec.ValidationError as error:
        raise PricesError(f"{path}: {error}; {DEFAULT_TABLE.name} has every key") from error


def monthly(
    prices: Prices, instance: Instance, storage: Storage, servers: int, stored_bytes: float, written_bytes: float
) -> Cost:
    """Return what a month costs. servers: instances in all; stored_bytes: at its end; written_bytes: within it."""
    return Cost(
        instances=servers * instance.hourly * storage.instance_factor * prices.hours_per_month,
        storage=stored_bytes / GIB * storage.gib_month,
        io=written_bytes / storage.io_bytes / MILLION * storage.io_million,
    )
