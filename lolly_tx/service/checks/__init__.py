"""Everything that asks targets how they are."""
