"""Ensembles of different dynamics held against each other: where their laws part, when and by how much."""
