"""Page ids, and what a browser script reports with them."""
