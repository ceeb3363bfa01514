"""A shared cache at work: answers stored, fetched once for many, streamed to those who wait, and found again."""
