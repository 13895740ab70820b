"""Errors of a measurement."""

from billing.errors import BillingError


class MeasureError(BillingError):
    """A run cannot be measured. Reaction: the command stops and says why."""
