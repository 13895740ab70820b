"""Bench: drives the whole engine on real servers and prints figures with the machine beside them."""
