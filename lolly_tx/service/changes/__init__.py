"""Other settings for a proxy that runs."""
