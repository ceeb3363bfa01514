"""Tests of the middleware that is built in: one module for each type."""
