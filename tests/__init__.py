"""Tests, by kind; what they share lies here."""
