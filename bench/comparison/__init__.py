"""Comparison: the product beside what people use instead, on the same log, with everybody's sums checked."""
