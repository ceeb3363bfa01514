"""The passive policies: what counts failures of real traffic, and asks to leave a node alone.

Comparing a node with its peers is in `domain.outlier`.
"""
