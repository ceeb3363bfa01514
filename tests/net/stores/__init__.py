"""Tests of net.stores."""
