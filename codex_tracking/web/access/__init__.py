"""Who may see figures: staff, API tokens, share links."""
