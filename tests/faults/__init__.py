"""Tests with servers that die, hang or lie, and with hostile input."""
