"""Everything that speaks HTTP: the dashboard, the API, and who may see them."""
