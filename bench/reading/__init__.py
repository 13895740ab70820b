"""Reading: how fast the API answers while events are billed."""
