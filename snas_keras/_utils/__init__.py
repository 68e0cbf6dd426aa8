"""Shared helpers that know nothing of architecture search."""
