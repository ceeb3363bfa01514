"""Certificates that are asked for by themselves, alone or with other instances."""
