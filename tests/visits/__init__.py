"""Tests of the visit log's files and questions."""
