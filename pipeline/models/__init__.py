"""Registered models: one told whole, two compared."""
