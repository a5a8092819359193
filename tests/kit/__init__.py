"""What tests share: databases, load, faults, mutants, the simulation."""
