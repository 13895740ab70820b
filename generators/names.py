"""Names of companies, for the few places where a person reads them. Never used as an identifier."""

from functools import lru_cache

from faker import Faker


@lru_cache(maxsize=1)
def _faker() -> Faker:
    return Faker("en_US")


@lru_cache(maxsize=1024)  # a person reads a page of names, not a population
def display_name(account_index: int, seed: int = 1) -> str:
    """Return an invented company's name for an account, the same for the same account and seed."""
    faker = _faker()
    faker.seed_instance(f"{seed}/{account_index}")
    return str(faker.company())
