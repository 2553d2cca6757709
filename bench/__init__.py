"""How fast the broker is, as ratios to named baselines measured in the same run."""
