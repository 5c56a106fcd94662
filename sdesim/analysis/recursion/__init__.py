"""Transfer operators of recursions on the line."""
