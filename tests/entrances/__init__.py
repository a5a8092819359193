"""Tests of the public modules in the package's root."""
