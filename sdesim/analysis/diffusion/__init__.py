"""Diffusions on the line: quadrature and eigen-expansions."""
