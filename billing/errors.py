"""Errors that stop a command: one type for each reaction, one sentence each.

Owns the exit codes that supervisors see. Must not know drivers: adapters translate theirs into these.
"""

from typing import ClassVar


class BillingError(Exception):
    """Something that a person must see: what is wrong, where, and what to do instead, in one line.

    exit_code: what the command answers its caller, 2 for wrong usage or configuration, 1 for anything that failed.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.split()))  # drivers put line ends into theirs


class SettingsError(BillingError):
    """The configuration is wrong. Reaction: stop before anything is opened; a person corrects the named key."""

    exit_code = 2


class SourceError(BillingError):
    """The source cannot be read: nothing answers at the broker's address, or the file is missing or not what it says.

    Reaction: a broker may come back, so say so and try again with backoff; that loses nothing, since the cursors
    hold the place. A file does not come back, so stop. may_return says which it is.
    """

    def __init__(self, sentence: str, *, may_return: bool = False) -> None:
        super().__init__(sentence)
        self.may_return = may_return


class LogChangedError(BillingError):
    """The log is not the one that the cursors count: topic re-created, truncated, or shorter than retention promised.

    Reaction: stop and never reset; a person decides, since events may be lost. The runbook has the page "log changed".
    """


class StoreUnreachableError(BillingError):
    """A shard's database does not answer at its address.

    Reaction: commands that need every shard stop; the worker detaches the shard, goes on with the others, retries.
    """


class VersionFencedError(BillingError):
    """The shard was written by a newer shard map or rulebook than this process has.

    Reaction: stop at once and write nothing more; start again with the newer map and book.
    """
