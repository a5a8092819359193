"""The cost of tracking, measured on this machine: ``nox -s bench``, or ``python -m tests.bench --help``.

Each part is a module: what is measured runs in a process of its own (``python -m tests.bench.<part>``), so that its
memory and CPU time are its alone, and ``measure`` compares processes by turns, so that the noise of a shared machine
falls on both sides. Nothing is asserted: the table shows medians, what the samples ranged over, and the target.
"""
