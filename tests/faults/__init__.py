"""Faults on real servers: a campaign that a seed draws, and the changes of a log that must stop every worker."""
