"""Errors of traffic: what was asked for does not exist, or its payloads did not arrive."""


class TrafficError(ValueError):
    """Traffic that cannot be made as it was asked for."""


class ArrivalsError(TrafficError):
    """Arrivals that cannot be placed in time."""


class FaultsError(TrafficError):
    """Faults that cannot be planned."""


class PopulationError(TrafficError):
    """A population that cannot be drawn from."""


class WorkloadError(TrafficError):
    """A workload, or a stretch of one, that does not exist."""


class FileTargetError(OSError):
    """A file of payloads could not be written."""


class DeliveryError(OSError):
    """Payloads did not reach the topic."""
