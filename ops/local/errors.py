"""Errors of local servers: one type a reaction, each one line that says what, where and what to do."""


class LocalServerError(Exception):
    """A local server, or the stack of them, cannot do what was asked."""


class InstallError(LocalServerError):
    """A server's program is missing and could not be installed."""


class StartError(LocalServerError):
    """A server was started and did not come to answer."""


class PortTakenError(StartError):
    """A server's port is in use by another program; another port may work."""


class StackMissingError(LocalServerError):
    """The folder holds no stack."""


class StackMismatchError(LocalServerError):
    """The folder holds a stack of another shape than the one asked for."""


class StackSettingError(LocalServerError):
    """A setting of the stack is impossible: too many shards, no such rulebook, no room on the disk."""
