"""Rare exits: their probabilities and mean times by splitting."""
