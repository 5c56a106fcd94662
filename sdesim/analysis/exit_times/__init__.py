"""Estimates of exit times, sides and places from datasets."""
