"""Adapters: the sources and stores that the ports name; the only code that talks to brokers, files and databases."""
