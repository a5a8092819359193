"""Parts that tests share: databases, load, faults, mutants, the simulation."""
