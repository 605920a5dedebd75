"""Actions that stop short of a halt: where each stands, and what is due."""
