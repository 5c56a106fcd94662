"""Diffusions in the plane: finite volumes."""
