"""The Markov chain of wells, piece by piece."""
