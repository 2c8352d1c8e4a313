"""Answers that were bought once and may be given again: their keys, their form, and where they are kept."""
