"""Active checks: one probe of one target, of every built-in type."""
