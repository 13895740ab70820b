import pytest

from billing.errors import (
    BillingError,
    LogChangedError,
    SettingsError,
    SourceError,
    StoreUnreachableError,
    VersionFencedError,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (BillingError, 1),
        (SettingsError, 2),
        (SourceError, 1),
        (LogChangedError, 1),
        (StoreUnreachableError, 1),
        (VersionFencedError, 1),
    ],
)
def test_exit_codes(kind: type[BillingError], code: int) -> None:
    """A supervisor would restart a worker whose configuration is wrong, forever."""
    assert kind.exit_code == code
    assert issubclass(kind, BillingError)


def test_a_message_is_one_line() -> None:
    """Log collectors would cut a driver's message after its first line."""
    error = StoreUnreachableError("shard-0 at db:3306:\n  refused \t(111);  start it")
    assert str(error) == "shard-0 at db:3306: refused (111); start it"
