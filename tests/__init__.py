"""The tests: values where values suffice, real servers where the claim is about them."""
