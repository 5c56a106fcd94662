"""Leading orders of weak noise and rare jumps."""
