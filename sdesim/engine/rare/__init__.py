"""Adaptive multilevel splitting: excursions, levels, and the two engines that run the clones."""
