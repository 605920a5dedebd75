"""Halts: what stops, who may stop it, who may let it go on, and what every order meets."""
