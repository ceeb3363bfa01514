"""Certificates of listeners: from files, from an authority, with staples."""
