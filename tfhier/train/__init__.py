"""Training: one run, and sweeps over seeds and settings."""
