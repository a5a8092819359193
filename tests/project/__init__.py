"""Tests of the project as a whole: documents, packaging, rooms, migrations."""
