"""Shared helpers of all rooms."""
