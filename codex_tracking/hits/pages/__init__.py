"""Page ids, and the reports of the browser script with them."""
