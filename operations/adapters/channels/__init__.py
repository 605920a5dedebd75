"""The ways to people: one module each, which knows its limits and what its errors mean."""
