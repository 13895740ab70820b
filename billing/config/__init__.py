"""Configuration: `billing.toml` and the environment, read, checked as a whole, and what they name loaded."""
