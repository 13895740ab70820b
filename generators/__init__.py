"""Generators: synthetic and recorded traffic, and the independent oracle that says what it must cost.

Stands before the path (it makes the bytes) and beside it (it checks the balances). A leaf: shares no code with what it
checks.
"""
